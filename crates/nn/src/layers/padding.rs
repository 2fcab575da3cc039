//! How much lies around an image.

use crate::error::{Error, Result};

/// How much a convolution adds around its images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Padding {
    /// Nothing: every window lies inside the image.
    #[default]
    Valid,
    /// As much as keeps the size at stride 1. Of an odd number of rows or columns, the larger half
    /// comes behind the image, as in PyTorch.
    Same,
    /// `[height, width]` on both sides.
    Explicit([usize; 2]),
}

impl Padding {
    /// What is added `[above, to the left]` and `[below, to the right]`.
    ///
    /// # Errors
    ///
    /// When it is [`Padding::Same`] and a stride is not 1.
    pub(super) fn border(
        self,
        layer: &str,
        kernel_size: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
    ) -> Result<[[usize; 2]; 2]> {
        match self {
            Padding::Valid => Ok([[0, 0]; 2]),
            Padding::Explicit(padding) => Ok([padding; 2]),
            Padding::Same if stride != [1, 1] => {
                let name = format!("{layer}: stride with padding same");
                Err(Error::setting(name, format!("{stride:?}"), "[1, 1]"))
            }
            Padding::Same => {
                // Saturated, it is refused with the shape.
                let total = [0, 1].map(|axis| dilation[axis].saturating_mul(kernel_size[axis] - 1));
                Ok([total.map(|n| n / 2), total.map(|n| n - n / 2)])
            }
        }
    }
}
