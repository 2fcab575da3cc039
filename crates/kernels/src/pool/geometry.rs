//! Where the windows lie, checked once, before anything is touched.

use crate::conv2d::window_positions;
use crate::error::{Result, ShapeError, check_elements};

/// How a window moves over an image. Each pair is `[vertical, horizontal]`.
///
/// ```
/// use topedge_kernels::pool::{Pool2dConfig, output_shape};
///
/// let config = Pool2dConfig { padding: [1, 1], stride: [2, 2], ..Pool2dConfig::new([3, 3]) };
/// assert_eq!(output_shape([64, 8, 28, 28], &config)?, [64, 8, 14, 14]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool2dConfig {
    /// The size of the window.
    pub kernel: [usize; 2],
    /// Steps between neighbouring windows.
    pub stride: [usize; 2],
    /// Rows and columns around the image, at most half a window. They never hold a maximum, and are
    /// zeros to an average.
    pub padding: [usize; 2],
    /// Distance between neighbouring places of a window. An average allows only 1.
    pub dilation: [usize; 2],
    /// Whether a window may reach beyond the padded image. One that would start behind the image
    /// and the padding before it is dropped all the same.
    pub ceil_mode: bool,
    /// Whether an average counts the padding.
    pub count_include_pad: bool,
}

impl Pool2dConfig {
    /// Windows side by side, with PyTorch's defaults: no padding, no dilation, whole windows only,
    /// padding counts.
    pub fn new(kernel: [usize; 2]) -> Self {
        Self {
            kernel,
            stride: kernel,
            padding: [0, 0],
            dilation: [1, 1],
            ceil_mode: false,
            count_include_pad: true,
        }
    }
}

/// The shape of the output for `input`, `[batch, channels, height, width]` both.
///
/// Per axis, `out = floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1`; with
/// `ceil_mode` rounded up, less one if `(out - 1) * stride >= size + padding`.
///
/// # Errors
///
/// If a kernel size, stride or dilation is 0, padding is more than half a window, a window is larger
/// than the padded image or lies in the padding alone, or the input or output has more elements than any
/// memory holds.
pub fn output_shape(input: [usize; 4], config: &Pool2dConfig) -> Result<[usize; 4]> {
    Ok(Geometry::sliding("pool2d", input, config)?.output)
}

/// The places of one window along one axis that lie in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: usize,
    pub(super) count: usize,
    /// How many places an average counts.
    pub(super) counted: usize,
}

/// The windows along one axis.
#[derive(Debug, Clone, Copy)]
enum Axis {
    Sliding {
        size: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        include_pad: bool,
    },
    /// As even as can be: from `floor(o * size / out)` to `ceil((o + 1) * size / out)`.
    Adaptive {
        size: usize,
        out: usize,
    },
}

/// The windows of an image, of which each has a place in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) input: [usize; 4],
    pub(super) output: [usize; 4],
    pub(super) dilation: [usize; 2],
    axes: [Axis; 2],
}

const NAMES: [&str; 2] = ["height", "width"];

impl Geometry {
    pub(super) fn sliding(
        op: &'static str,
        input: [usize; 4],
        config: &Pool2dConfig,
    ) -> Result<Self> {
        let mut out = [0; 2];
        for (axis, name) in NAMES.iter().enumerate() {
            let (size, kernel) = (input[2 + axis], config.kernel[axis]);
            let [stride, padding, dilation] =
                [config.stride[axis], config.padding[axis], config.dilation[axis]];
            // Rounding up is rounding down with all but one of a stride's steps more.
            let extra = if config.ceil_mode { stride.saturating_sub(1) } else { 0 };
            let room = size.saturating_add(extra);
            out[axis] = window_positions(op, name, [room, kernel], [stride, padding, dilation])?;
            if config.ceil_mode && (out[axis] - 1) * stride >= size + padding {
                out[axis] -= 1;
            }
            let half = ((kernel - 1) * dilation).div_ceil(2);
            if padding > half {
                let expected = format!("at most half of the window, {half}");
                return Err(ShapeError::new(
                    op,
                    format!("padding along {name}"),
                    expected,
                    padding,
                ));
            }
        }
        let axes = [0, 1].map(|axis| Axis::Sliding {
            size: input[2 + axis],
            kernel: config.kernel[axis],
            stride: config.stride[axis],
            padding: config.padding[axis],
            include_pad: config.count_include_pad,
        });
        Self::new(op, input, out, config.dilation, axes)
    }

    pub(super) fn adaptive(
        op: &'static str,
        input: [usize; 4],
        output: [usize; 4],
    ) -> Result<Self> {
        let [out_height, out_width] = [output[2], output[3]];
        for (axis, name) in NAMES.iter().enumerate() {
            if input[2 + axis].checked_mul(output[2 + axis].saturating_add(1)).is_none() {
                let expected = "sizes whose product fits in usize";
                let got = format!("{} to {}", input[2 + axis], output[2 + axis]);
                return Err(ShapeError::new(op, format!("sizes along {name}"), expected, got));
            }
        }
        let axes =
            [0, 1].map(|axis| Axis::Adaptive { size: input[2 + axis], out: output[2 + axis] });
        Self::new(op, input, [out_height, out_width], [1, 1], axes)
    }

    fn new(
        op: &'static str,
        input: [usize; 4],
        out: [usize; 2],
        dilation: [usize; 2],
        axes: [Axis; 2],
    ) -> Result<Self> {
        let output = [input[0], input[1], out[0], out[1]];
        check_elements(op, "input", input)?;
        check_elements(op, "output", output)?;
        let geometry = Self { input, output, dilation, axes };
        for (axis, name) in NAMES.iter().enumerate() {
            if let Some(o) = geometry.first_empty(axis) {
                let what = format!("window {o} along {name}");
                let got = format!("none of an image of shape {input:?}");
                return Err(ShapeError::new(op, what, "some place in the image", got));
            }
        }
        Ok(geometry)
    }

    /// The first window along an axis that has no place in the image.
    fn first_empty(&self, axis: usize) -> Option<usize> {
        let (size, out, dilation) =
            (self.input[2 + axis], self.output[2 + axis], self.dilation[axis]);
        if size == 0 {
            return (out > 0).then_some(0);
        }
        let Axis::Sliding { stride, padding, .. } = self.axes[axis] else { return None };
        // Padding is at most half a window, so that each ends behind the image's first place and begins before
        // its end: a window is empty only if it steps over all of the image.
        let mut o = 0;
        while o < out && o * stride < padding {
            let before = padding - o * stride;
            let first = before.next_multiple_of(dilation) - before;
            if first >= size {
                return Some(o);
            }
            // Until its first place has moved on to the end, a window has one.
            o += (size - first).div_ceil(stride);
        }
        None
    }

    /// The elements that are read for a row of the output, of so many planes at once.
    pub(super) fn row_cost(&self, lanes: usize) -> usize {
        let [_, _, out_height, out_width] = self.output;
        if out_height == 0 || out_width == 0 {
            return 0;
        }
        let places = self.window(0, out_height / 2).count * self.window(1, out_width / 2).count;
        places.saturating_mul(out_width).saturating_mul(lanes)
    }

    /// Refuses an argument of another shape than `expected`.
    pub(super) fn check(
        op: &'static str,
        what: &str,
        expected: [usize; 4],
        got: [usize; 4],
    ) -> Result<()> {
        crate::conv2d::Geometry::check(op, what, expected, got)
    }

    /// The window of output `o` along the axis.
    #[inline(always)]
    pub(super) fn window(&self, axis: usize, o: usize) -> Window {
        match self.axes[axis] {
            Axis::Sliding { size, kernel, stride, padding, include_pad } => {
                let dilation = self.dilation[axis];
                // Counted from the start of the padding.
                let first = o * stride;
                // Divisions would take longer than most windows.
                let steps = |len: usize| {
                    if dilation == 1 { len } else { len.div_ceil(dilation) }
                };
                let skipped = steps(padding.saturating_sub(first)).min(kernel);
                let start = (first + skipped * dilation).saturating_sub(padding);
                let count = steps(size.saturating_sub(start)).min(kernel - skipped);
                let padded = (first + kernel).min(size + 2 * padding).saturating_sub(first);
                Window { start, count, counted: if include_pad { padded } else { count } }
            }
            Axis::Adaptive { size, out } => {
                let start = o * size / out;
                let count = ((o + 1) * size).div_ceil(out) - start;
                Window { start, count, counted: count }
            }
        }
    }
}

/// How the images of several operands are walked: `lanes` of them at once, if those are neighbours
/// in each operand, and by `[batch, channels]` otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes {
    pub(super) outer: [usize; 2],
    pub(super) lanes: usize,
}

impl Planes {
    /// For operands of these strides.
    pub(super) fn new([batch, channels, ..]: [usize; 4], strides: &[[usize; 4]]) -> Self {
        let neighbours = |axis: usize| strides.iter().all(|strides| strides[axis] == 1);
        if neighbours(0) && (batch > 1 || !neighbours(1)) {
            Self { outer: [1, channels], lanes: batch }
        } else if neighbours(1) {
            Self { outer: [batch, 1], lanes: channels }
        } else {
            Self { outer: [batch, channels], lanes: 1 }
        }
    }

    /// How many planes there are.
    pub(super) fn count(&self) -> usize {
        self.outer[0] * self.outer[1]
    }

    /// Where plane number `index` of an operand begins.
    #[inline(always)]
    pub(super) fn offset(&self, index: usize, strides: [usize; 4]) -> usize {
        index / self.outer[1] * strides[0] + index % self.outer[1] * strides[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceil_mode_drops_a_window_that_starts_in_the_padding_behind() {
        let size = |size, kernel, stride, padding, ceil_mode| {
            let config = Pool2dConfig {
                stride: [stride; 2],
                padding: [padding; 2],
                ceil_mode,
                ..Pool2dConfig::new([kernel; 2])
            };
            output_shape([1, 1, size, size], &config).map(|shape| shape[2])
        };
        assert_eq!(size(5, 2, 2, 0, false), Ok(2));
        assert_eq!(size(5, 2, 2, 0, true), Ok(3));
        // Of 3 windows by the formula, the last would start at 2 * 3 >= 4 + 1.
        assert_eq!(size(4, 2, 3, 1, true), Ok(2));
        assert_eq!(size(1, 2, 2, 0, true), Ok(1));
        assert!(size(1, 2, 2, 0, false).is_err());
    }

    #[test]
    fn windows_are_cut_at_the_edges() {
        let config = Pool2dConfig {
            stride: [2, 2],
            padding: [1, 1],
            ceil_mode: true,
            ..Pool2dConfig::new([3, 3])
        };
        let geometry = Geometry::sliding("pool2d", [1, 1, 6, 6], &config).unwrap();
        assert_eq!(geometry.output, [1, 1, 4, 4]);
        let windows: Vec<_> = (0..4).map(|o| geometry.window(0, o)).collect();
        let window = |start, count, counted| Window { start, count, counted };
        // The last one starts at 5, and of its two places beyond the image one is padding.
        assert_eq!(windows, [window(0, 2, 3), window(1, 3, 3), window(3, 3, 3), window(5, 1, 2)]);
    }

    #[test]
    fn errors_name_what_and_where() {
        let message =
            |input, config: &Pool2dConfig| output_shape(input, config).unwrap_err().to_string();
        let config = Pool2dConfig::new([2, 2]);
        let padded = Pool2dConfig { padding: [0, 2], ..config };
        assert_eq!(
            message([1, 1, 4, 4], &padded),
            "pool2d: padding along width: expected at most half of the window, 1, got 2"
        );
        let zero = Pool2dConfig { stride: [0, 1], ceil_mode: true, ..config };
        assert!(message([1, 1, 4, 4], &zero).contains("stride along height"));
        // Both places of the window miss the one pixel.
        let around = Pool2dConfig { padding: [2, 2], dilation: [4, 4], stride: [1, 1], ..config };
        assert!(message([1, 1, 1, 1], &around).contains("window 0 along height"));
        let huge = Pool2dConfig { stride: [usize::MAX, 1], ceil_mode: true, ..config };
        assert!(message([1, 1, 4, 4], &huge).contains("height"));
        assert!(message([1, 1, 4, usize::MAX], &config).contains("width"));
    }
}
