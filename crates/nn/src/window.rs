//! What a position of a layer's output sees of the image.

use std::ops::Range;

/// The input positions that one output position of a layer sees, each pair `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Positions along each axis.
    pub kernel: [usize; 2],
    /// From the window of one output position to the next.
    pub stride: [usize; 2],
    /// Positions outside of the input that the first window starts with.
    pub padding: [usize; 2],
    /// Distance of neighbouring positions of the window.
    pub dilation: [usize; 2],
}

/// The pixels that a position of some layer's output depends on: a rectangle, whose size is the same
/// for all positions. Of layers that follow each other, `size = 1 + sum of (kernel - 1) * dilation *
/// product of earlier strides`.
///
/// ```
/// use topedge_nn::{ReceptiveField, Window};
///
/// let window = Window { kernel: [3, 3], stride: [2, 2], padding: [1, 1], dilation: [1, 1] };
/// let second = ReceptiveField::PIXEL.then(&window).then(&window);
/// assert_eq!(second.size, [7, 7]);
/// // What its position (0, 3) sees of an image of 28x28 pixels.
/// assert_eq!(second.at([0, 3], [28, 28]), [0..4, 9..16]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceptiveField {
    /// Pixels along `[height, width]`, those outside of the image too.
    pub size: [usize; 2],
    /// Pixels from the field of one position to that of the next.
    pub jump: [usize; 2],
    /// Pixels outside of the image that the first position's field starts with.
    pub padding: [usize; 2],
}

impl ReceptiveField {
    /// That of a pixel itself.
    pub const PIXEL: ReceptiveField =
        ReceptiveField { size: [1, 1], jump: [1, 1], padding: [0, 0] };

    /// That of a layer with this window behind this one.
    #[must_use]
    pub fn then(self, window: &Window) -> Self {
        // Saturated, it is larger than any image.
        let pixels = |axis: usize, n: usize| n.saturating_mul(self.jump[axis]);
        let both = |f: &dyn Fn(usize) -> usize| [f(0), f(1)];
        ReceptiveField {
            size: both(&|axis| {
                let span =
                    window.kernel[axis].saturating_sub(1).saturating_mul(window.dilation[axis]);
                self.size[axis].saturating_add(pixels(axis, span))
            }),
            jump: both(&|axis| pixels(axis, window.stride[axis])),
            padding: both(&|axis| {
                self.padding[axis].saturating_add(pixels(axis, window.padding[axis]))
            }),
        }
    }

    /// The rows and columns of an image of size `image` that `position` depends on; both pairs are
    /// `[height, width]`.
    pub fn at(self, position: [usize; 2], image: [usize; 2]) -> [Range<usize>; 2] {
        [0, 1].map(|axis| {
            let first = position[axis].saturating_mul(self.jump[axis]);
            let inside = |pixel: usize| pixel.saturating_sub(self.padding[axis]).min(image[axis]);
            inside(first)..inside(first.saturating_add(self.size[axis]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(kernel: usize) -> Window {
        Window { kernel: [kernel; 2], stride: [2; 2], padding: [kernel / 2; 2], dilation: [1; 2] }
    }

    /// The chapter's figures.
    #[test]
    fn five_layers_of_stride_2() {
        for (first, expected) in [(3, [3, 7, 15, 31, 63]), (5, [5, 9, 17, 33, 65])] {
            let mut field = ReceptiveField::PIXEL;
            let sizes = [first, 3, 3, 3, 3].map(|kernel| {
                field = field.then(&window(kernel));
                field.size[0]
            });
            assert_eq!(sizes, expected);
            assert_eq!(field.at([0, 0], [28, 28]), [0..28, 0..28]);
        }
    }

    #[test]
    fn dilation_and_unequal_axes() {
        let window = Window { kernel: [3, 1], stride: [1, 3], padding: [2, 0], dilation: [2, 1] };
        let field = ReceptiveField::PIXEL.then(&window);
        assert_eq!((field.size, field.jump, field.padding), ([5, 1], [1, 3], [2, 0]));
        assert_eq!(field.at([1, 2], [4, 9]), [0..4, 6..7]);
        assert_eq!(field.at([9, 9], [4, 9]), [4..4, 9..9]);
    }
}
