//! The kernels of the first convolution, as pictures.

use topedge_nn::{Evaluation, Item, Module, walk};
use topedge_report::{Captioned, Gallery, Picture};

use crate::error::Result;

/// More of them than this are not shown.
const MOST: usize = 96;

/// The kernels of the first convolution: a picture of each filter for each channel of its input. None of
/// a network without convolutions.
///
/// ```
/// use topedge::prelude::*;
///
/// let net = Net::SimpleCnn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
/// let kernels = topedge::first_kernels(&net)?;
/// assert_eq!(kernels.pictures.len(), 8);
/// assert!(kernels.figure().png().starts_with(b"\x89PNG"));
/// # Ok::<(), topedge::Error>(())
/// ```
///
/// # Errors
///
/// When a kernel has no weights.
pub fn first_kernels(model: &dyn Module) -> Result<Gallery> {
    let mut first = None;
    walk(model, &mut |_, item| {
        if let Item::Module(layer) = item
            && let Evaluation::Conv2d { weight, .. } = layer.evaluation()
            && first.is_none()
        {
            first = Some(weight.clone());
        }
    });
    let Some(weight) = first else {
        return Ok(Gallery::default());
    };
    let [channels, height, width] = [1, 2, 3].map(|axis| weight.shape()[axis]);
    let weights = weight.to_vec();
    let largest = weights.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
    let slices = weights.chunks(height * width).enumerate().take(MOST);
    let pictures = slices.map(|(i, slice)| {
        let (filter, channel) = (i / channels, i % channels);
        let caption = match channels {
            1 => format!("filter {filter}"),
            3 => format!("filter {filter}, {}", ["red", "green", "blue"][channel]),
            _ => format!("filter {filter}, channel {channel}"),
        };
        Ok(Captioned { picture: Picture::signed(slice, [height, width], largest)?, caption })
    });
    Ok(Gallery { pictures: pictures.collect::<Result<_>>()?, columns: 0 })
}
