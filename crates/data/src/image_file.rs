//! Decodes image files.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use flate2::Crc;
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageReader, Limits, RgbImage};

use crate::error::{DataError, Result};

/// Images of more pixels to a side than this are refused, as are those that need more than
/// [`MAX_DECODED`] bytes: a small file can claim to be a huge image.
const MAX_SIDE: u32 = 1 << 14;
const MAX_DECODED: u64 = 256 << 20;
/// Pixels of a byte of a file at most, so that a header alone makes nobody allocate: a PNG of one bit
/// a pixel, which deflate packs 1032 to 1. A JPEG holds fewer.
const PIXELS_OF_A_BYTE: u64 = 8 * 1032;
/// Larger images than this must have a byte for each hundred pixels: what shrinks more is no photograph,
/// and may be a bomb.
const LARGE: u64 = 1 << 24;
const LARGE_PIXELS_OF_A_BYTE: u64 = 100;

/// A decoded image: grey or RGB, 8 bits, without alpha.
pub(crate) enum Decoded {
    Grey(GrayImage),
    Rgb(RgbImage),
}

/// Loads one image file for prediction, in the shape `[channels, height, width]` that a network
/// was trained on, channels 1 (grey) or 3 (RGB), contiguous.
///
/// The image is decoded as for training: 16 bits become 8, what is transparent becomes black.
/// Colour becomes grey as in Pillow (ITU-R 601-2 luma). An image of another size is resized by a
/// triangle filter that widens when it shrinks the image, so that nothing is skipped (Pillow's
/// `BILINEAR`); its proportions are not kept.
///
/// # Errors
///
/// When the file is no readable PNG or JPEG image, is damaged where that shows, or unpacks to more than
/// 16 Mi pixels and a hundred times its own size; or the shape has a dimension of 0 or channels other
/// than 1 or 3.
pub fn load_image(path: &Path, image_shape: [usize; 3]) -> Result<Vec<u8>> {
    let shape = ImageShape::new(image_shape)?;
    Ok(shape.fit(decode(path)?))
}

/// As [`load_image`], from the bytes of a file, which may be any bytes.
///
/// # Errors
///
/// As [`load_image`].
pub fn parse_image(bytes: &[u8], image_shape: [usize; 3]) -> Result<Vec<u8>> {
    let shape = ImageShape::new(image_shape)?;
    Ok(shape.fit(decode_bytes(bytes, Path::new("image data"))?))
}

/// A size that an image can be resized to.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    height: u32,
    width: u32,
}

impl Size {
    pub(crate) fn new(size: [usize; 2]) -> Result<Self> {
        let side = |n: usize| u32::try_from(n).ok().filter(|n| (1..=MAX_SIDE).contains(n));
        let [Some(height), Some(width)] = size.map(side) else {
            let expected = format!("[height, width], sides of 1 to {MAX_SIDE}");
            return Err(DataError::setting("image size", format!("{size:?}"), expected));
        };
        Ok(Self { height, width })
    }
}

/// What an image is to become.
struct ImageShape {
    channels: usize,
    size: Size,
}

impl ImageShape {
    fn new(image_shape: [usize; 3]) -> Result<Self> {
        let [channels, height, width] = image_shape;
        let size = Size::new([height, width]).ok().filter(|_| matches!(channels, 1 | 3));
        let size = size.ok_or_else(|| {
            let expected = format!("[1 or 3, height, width], sides of 1 to {MAX_SIDE}");
            DataError::setting("image shape", format!("{image_shape:?}"), expected)
        })?;
        Ok(Self { channels, size })
    }

    fn fit(&self, image: Decoded) -> Vec<u8> {
        let image = if self.channels == 1 { image.grey() } else { image };
        let mut pixels = vec![];
        image.resized(self.size).append_to(&mut pixels, self.channels);
        pixels
    }
}

/// Reads and decodes one file, PNG or JPEG by its content.
pub(crate) fn decode(path: &Path) -> Result<Decoded> {
    decode_bytes(&fs::read(path).map_err(DataError::io("read", path))?, path)
}

/// Decodes the bytes of a file; an error names `path`.
fn decode_bytes(bytes: &[u8], path: &Path) -> Result<Decoded> {
    let unreadable = |error: &dyn std::fmt::Display| DataError::Image {
        path: path.to_owned(),
        reason: error.to_string().trim().replace('\n', " "),
    };
    if let Some(chunk) = damaged_chunk(bytes) {
        return Err(unreadable(&format!("its chunk {chunk} is damaged")));
    }
    if is_cut_jpeg(bytes) {
        return Err(unreadable(&"it ends before its end marker"));
    }
    let reader = || {
        let mut reader = ImageReader::new(Cursor::new(bytes));
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MAX_DECODED);
        reader.limits(limits);
        reader.with_guessed_format().map_err(|e| unreadable(&e))
    };
    let (width, height) = reader()?.into_dimensions().map_err(|e| unreadable(&e))?;
    let (pixels, size) = (u64::from(width) * u64::from(height), bytes.len() as u64);
    if pixels > PIXELS_OF_A_BYTE * size
        || (pixels > LARGE && pixels > LARGE_PIXELS_OF_A_BYTE * size)
    {
        return Err(unreadable(&format!("{width}x{height} pixels are too many for {size} bytes")));
    }
    Ok(match reader()?.decode().map_err(|e| unreadable(&e))? {
        DynamicImage::ImageLuma8(grey) => Decoded::Grey(grey),
        image @ DynamicImage::ImageLuma16(_) => Decoded::Grey(image.into_luma8()),
        image @ (DynamicImage::ImageLumaA8(_) | DynamicImage::ImageLumaA16(_)) => {
            let image = image.into_luma_alpha8();
            let (width, height) = image.dimensions();
            Decoded::Grey(GrayImage::from_fn(width, height, |x, y| {
                let [grey, alpha] = image.get_pixel(x, y).0;
                [over_black(grey, alpha)].into()
            }))
        }
        image if image.color().has_alpha() => {
            let image = image.into_rgba8();
            let (width, height) = image.dimensions();
            Decoded::Rgb(RgbImage::from_fn(width, height, |x, y| {
                let [r, g, b, alpha] = image.get_pixel(x, y).0;
                [r, g, b].map(|value| over_black(value, alpha)).into()
            }))
        }
        image => Decoded::Rgb(image.into_rgb8()),
    })
}

/// The name of a chunk of a PNG whose checksum is wrong. The decoder passes over chunks that are not
/// vital, such as the one that makes colours transparent, and would read another image.
fn damaged_chunk(bytes: &[u8]) -> Option<String> {
    let mut rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    // The length of the data; the name and the data, which are checked; the checksum.
    while let Some((&length, after)) = rest.split_first_chunk::<4>() {
        let (checked, after) = after.split_at_checked(u32::from_be_bytes(length) as usize + 4)?;
        let (checksum, after) = after.split_first_chunk::<4>()?;
        let mut crc = Crc::new();
        crc.update(checked);
        if crc.sum() != u32::from_be_bytes(*checksum) {
            return Some(checked[..4].escape_ascii().to_string());
        }
        rest = after;
    }
    None
}

/// Whether this is a JPEG without an end: the decoder would fill what is missing with something.
fn is_cut_jpeg(bytes: &[u8]) -> bool {
    const END: u8 = 0xD9;
    let Some(mut rest) = bytes.strip_prefix(b"\xFF\xD8") else {
        return false;
    };
    loop {
        // A marker is 0xFF and a kind, but in the numbers of a scan, where 0 and restarts are none.
        let Some(at) = rest
            .windows(2)
            .position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0 | 0x01 | 0xD0..=0xD7 | 0xFF))
        else {
            return true;
        };
        let kind = rest[at + 1];
        rest = &rest[at + 2..];
        if kind == END {
            return false;
        }
        // Every other one has a segment, as long as its first two bytes say.
        let length = rest
            .first_chunk()
            .map_or(usize::MAX, |&length| usize::from(u16::from_be_bytes(length)));
        match rest.get(length..) {
            Some(after) => rest = after,
            None => return true,
        }
    }
}

impl Decoded {
    /// A grey image of these pixels, `[height, width]`, sides that fit `u32`.
    pub(crate) fn of_grey(pixels: &[u8], [height, width]: [usize; 2]) -> Decoded {
        let pixel = |x, y| [pixels[y as usize * width + x as usize]].into();
        Decoded::Grey(GrayImage::from_fn(width as u32, height as u32, pixel))
    }

    /// `(width, height)`.
    pub(crate) fn dimensions(&self) -> (u32, u32) {
        match self {
            Decoded::Grey(image) => image.dimensions(),
            Decoded::Rgb(image) => image.dimensions(),
        }
    }

    /// Without colour.
    pub(crate) fn grey(self) -> Decoded {
        match self {
            Decoded::Rgb(image) => {
                let (width, height) = image.dimensions();
                Decoded::Grey(GrayImage::from_fn(width, height, |x, y| {
                    [luma(image.get_pixel(x, y).0)].into()
                }))
            }
            grey => grey,
        }
    }

    /// Of this size.
    pub(crate) fn resized(self, Size { height, width }: Size) -> Decoded {
        match self {
            image if image.dimensions() == (width, height) => image,
            Decoded::Grey(image) => {
                Decoded::Grey(imageops::resize(&image, width, height, FilterType::Triangle))
            }
            Decoded::Rgb(image) => {
                Decoded::Rgb(imageops::resize(&image, width, height, FilterType::Triangle))
            }
        }
    }

    /// The pixels, `[channels, height, width]` contiguous, with the one channel of a grey image
    /// repeated where `channels` is 3.
    ///
    /// `channels` must be 3 for an RGB image.
    pub(crate) fn append_to(&self, pixels: &mut Vec<u8>, channels: usize) {
        match self {
            Decoded::Grey(image) => {
                for _ in 0..channels {
                    pixels.extend_from_slice(image.as_raw());
                }
            }
            Decoded::Rgb(image) => pixels.extend(planes(image)),
        }
    }
}

/// ITU-R 601-2 luma in the fixed-point arithmetic of Pillow's `convert("L")`.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

/// A value of which the share `alpha` / 255 covers black, rounded.
fn over_black(value: u8, alpha: u8) -> u8 {
    ((u32::from(value) * u32::from(alpha) + 127) / 255) as u8
}

/// The channels of an image one after the other.
fn planes(image: &RgbImage) -> Vec<u8> {
    let (pixels, _) = image.as_raw().as_chunks::<3>();
    (0..3).flat_map(|c| pixels.iter().map(move |pixel| pixel[c])).collect()
}
