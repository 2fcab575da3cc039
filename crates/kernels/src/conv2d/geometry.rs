//! Sizes of a convolution, checked once, before anything is touched.

use std::ops::Range;

use crate::error::{Result, ShapeError, check_elements};

/// Elements of an image that a row of windows spans, at the most, where what it spans is copied.
pub(super) const MOST_SPANNED: usize = 1 << 24;

/// Whether windows that span so much of an axis would have far more copied than the `size` of it that there is.
pub(super) fn reach_far(spanned: usize, size: usize) -> bool {
    spanned > 2 * size + 16
}

/// How a kernel moves over an image. Each pair is `[vertical, horizontal]`.
///
/// ```
/// use topedge_kernels::conv2d::{Conv2dConfig, output_shape};
///
/// let config = Conv2dConfig { stride: [2, 2], padding: [1, 1], ..Default::default() };
/// assert_eq!(output_shape([64, 8, 14, 14], [16, 8, 3, 3], &config)?, [64, 16, 7, 7]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Steps between neighbouring outputs. 1 by default.
    pub stride: [usize; 2],
    /// Rows and columns of zeros around the image. 0 by default.
    pub padding: [usize; 2],
    /// Distance between neighbouring taps of the kernel. 1 by default.
    pub dilation: [usize; 2],
    /// Parts into which the channels fall, each convolved on its own. 1 by default.
    pub groups: usize,
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

/// The shape `[batch, out_channels, out_height, out_width]` of the output for an input
/// `[batch, in_channels, height, width]` and a weight
/// `[out_channels, in_channels / groups, kernel_height, kernel_width]`.
///
/// Per axis, `out = floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1`.
///
/// # Errors
///
/// If channels and groups do not fit, a stride, dilation, kernel size or the number of groups is 0,
/// the kernel is larger than the padded image, or the input, padded or not, the weight or the output
/// has more elements than any memory holds.
pub fn output_shape(
    input: [usize; 4],
    weight: [usize; 4],
    config: &Conv2dConfig,
) -> Result<[usize; 4]> {
    Ok(Geometry::new("conv2d", input, weight, config)?.output())
}

/// A convolution whose sizes fit together and do not overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    pub(crate) in_channels: usize,
    pub(crate) in_size: [usize; 2],
    pub(crate) out_channels: usize,
    pub(crate) out_size: [usize; 2],
    pub(crate) kernel: [usize; 2],
    /// A stride is at most the padded size, and the dilation of a single tap 1: where more makes no
    /// difference, it would only overflow.
    pub(crate) config: Conv2dConfig,
}

const AXES: [&str; 2] = ["height", "width"];

/// The size of an output axis: one for each place of the window.
///
/// Sizes stay below `isize::MAX` throughout, so that coordinates can be signed.
pub(crate) fn window_positions(
    op: &'static str,
    axis: &str,
    [size, kernel]: [usize; 2],
    [stride, padding, dilation]: [usize; 3],
) -> Result<usize> {
    for (what, value) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
        if value == 0 {
            return Err(ShapeError::new(op, format!("{what} along {axis}"), "at least 1", 0));
        }
    }
    let overflow = || {
        let what = format!("padded size along {axis}");
        let got = format!("size {size}, padding {padding}, kernel {kernel}, dilation {dilation}");
        ShapeError::new(op, what, "a size that fits in isize", got)
    };
    let fits = |value: usize| isize::try_from(value).is_ok().then_some(value);
    let padded = padding.checked_mul(2).and_then(|both| both.checked_add(size)).and_then(fits);
    let padded = padded.ok_or_else(overflow)?;
    let span =
        (kernel - 1).checked_mul(dilation).and_then(|last| last.checked_add(1)).and_then(fits);
    let span = span.ok_or_else(overflow)?;
    if stride > isize::MAX as usize {
        return Err(overflow());
    }
    if span > padded {
        let what = format!("kernel along {axis} (dilation * (kernel - 1) + 1)");
        let expected = format!("at most the padded size, {padded}");
        return Err(ShapeError::new(op, what, expected, span));
    }
    Ok((padded - span) / stride + 1)
}

impl Geometry {
    pub(crate) fn new(
        op: &'static str,
        input: [usize; 4],
        weight: [usize; 4],
        config: &Conv2dConfig,
    ) -> Result<Self> {
        let [batch, in_channels, height, width] = input;
        let [out_channels, group_channels, kernel_height, kernel_width] = weight;
        let groups = config.groups;
        if groups == 0 {
            return Err(ShapeError::new(op, "groups", "at least 1", 0));
        }
        for (what, channels) in [
            ("input axis 1 (in_channels)", in_channels),
            ("weight axis 0 (out_channels)", out_channels),
        ] {
            if channels % groups != 0 {
                let expected = format!("a multiple of groups, {groups}");
                return Err(ShapeError::new(op, what, expected, channels));
            }
        }
        if group_channels != in_channels / groups {
            let what = format!(
                "weight axis 1 (in_channels / groups) of weight {weight:?} for input {input:?}"
            );
            return Err(ShapeError::new(op, what, in_channels / groups, group_channels));
        }
        let (in_size, kernel) = ([height, width], [kernel_height, kernel_width]);
        let (mut config, mut out_size, mut padded) = (*config, [0; 2], [0; 2]);
        for axis in 0..2 {
            out_size[axis] = window_positions(
                op,
                AXES[axis],
                [in_size[axis], kernel[axis]],
                [config.stride[axis], config.padding[axis], config.dilation[axis]],
            )?;
            padded[axis] = in_size[axis] + 2 * config.padding[axis];
            config.stride[axis] = config.stride[axis].min(padded[axis]);
            if kernel[axis] == 1 {
                config.dilation[axis] = 1;
            }
        }
        let geometry = Self { batch, in_channels, in_size, out_channels, out_size, kernel, config };
        for (what, shape) in [
            ("input", input),
            ("padded input", [batch, in_channels, padded[0], padded[1]]),
            ("weight", weight),
            ("output", geometry.output()),
        ] {
            check_elements(op, what, shape)?;
        }
        Ok(geometry)
    }

    /// `[batch, out_channels, out_height, out_width]`
    pub(crate) fn output(&self) -> [usize; 4] {
        [self.batch, self.out_channels, self.out_size[0], self.out_size[1]]
    }

    /// Taps of the kernel: `kernel_height * kernel_width`.
    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Input channels that one output channel sees.
    pub(crate) fn group_inputs(&self) -> usize {
        self.in_channels / self.config.groups
    }

    /// Output channels that see the same input channels.
    pub(crate) fn group_outputs(&self) -> usize {
        self.out_channels / self.config.groups
    }

    /// Where along `axis` the input that `out` sees through `tap` lies; outside `0..size` it is
    /// padding.
    pub(crate) fn input_at(&self, axis: usize, out: usize, tap: usize) -> isize {
        let Conv2dConfig { stride, padding, dilation, .. } = self.config;
        (out * stride[axis] + tap * dilation[axis]) as isize - padding[axis] as isize
    }

    /// The places along `axis` from where a tap hits the image.
    pub(super) fn hits(&self, axis: usize, tap: usize) -> Range<usize> {
        let (first, stride) = (self.input_at(axis, 0, tap), self.config.stride[axis]);
        // The first place that sees what is at `at` or behind it.
        let from = |at: usize| (at as isize - first).max(0).unsigned_abs().div_ceil(stride);
        let end = from(self.in_size[axis]).min(self.out_size[axis]);
        from(0).min(end)..end
    }

    /// The convolution of one of the `parts` of the batch of `what`, of which there have to be as many as `expected`.
    pub(super) fn part(
        self,
        op: &'static str,
        what: &str,
        expected: usize,
        parts: usize,
    ) -> Result<Self> {
        if parts != expected {
            let what = format!("parts of the batch of {what}");
            return Err(ShapeError::new(op, what, expected, parts));
        }
        Ok(Self { batch: self.batch / parts, ..self })
    }

    /// Refuses an argument of another shape than `expected`.
    pub(crate) fn check(
        op: &'static str,
        what: &str,
        expected: [usize; 4],
        got: [usize; 4],
    ) -> Result<()> {
        if expected == got {
            return Ok(());
        }
        let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
        Err(ShapeError::new(op, format!("shape of {what}"), expected, got))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_the_classic_ladder() {
        let config = Conv2dConfig { stride: [2, 2], padding: [1, 1], ..Default::default() };
        let mut size = 28;
        let mut seen = vec![];
        for _ in 0..5 {
            size = output_shape([1, 1, size, size], [1, 1, 3, 3], &config).unwrap()[2];
            seen.push(size);
        }
        assert_eq!(seen, [14, 7, 4, 2, 1]);
    }

    #[test]
    fn dilation_and_axes_apart() {
        let config = Conv2dConfig { stride: [1, 3], padding: [2, 0], dilation: [3, 1], groups: 2 };
        let out = output_shape([5, 4, 9, 11], [6, 2, 3, 2], &config).unwrap();
        assert_eq!(out, [5, 6, 7, 4]);
    }

    #[test]
    fn errors_name_what_and_where() {
        let config = Conv2dConfig::default();
        let message = |input, weight, config: &Conv2dConfig| {
            output_shape(input, weight, config).unwrap_err().to_string()
        };
        assert_eq!(
            message([2, 3, 8, 8], [4, 5, 3, 3], &config),
            "conv2d: weight axis 1 (in_channels / groups) of weight [4, 5, 3, 3] for input \
             [2, 3, 8, 8]: expected 3, got 5"
        );
        assert_eq!(
            message([2, 3, 8, 2], [4, 3, 3, 3], &config),
            "conv2d: kernel along width (dilation * (kernel - 1) + 1): expected at most the padded \
             size, 2, got 3"
        );
        let zero = Conv2dConfig { stride: [1, 0], ..config };
        assert!(message([2, 3, 8, 8], [4, 3, 3, 3], &zero).contains("stride along width"));
        let huge = Conv2dConfig { padding: [usize::MAX / 2, 0], ..config };
        assert!(message([2, 3, 8, 8], [4, 3, 3, 3], &huge).contains("height"));
        assert!(message([usize::MAX, 3, 8, 8], [4, 3, 3, 3], &config).contains("memory"));
        let groups = Conv2dConfig { groups: 2, ..config };
        assert!(message([2, 3, 8, 8], [4, 3, 3, 3], &groups).contains("multiple of groups, 2"));
    }
}
