//! Forward convolution and its gradient to the input, as one operation.
//!
//! Both are sums over taps: the target at a place of a grid is the sum, over taps and channels, of
//! a weight times the source at `place * step + shift of the tap`, where that is inside the source.
//!
//! - Forward: the grid is the output, the step is the stride, and tap `k` shifts by
//!   `k * dilation - padding`.
//! - Backward to the input: input `i` is met by tap `k` at output `(i + padding - k * dilation) /
//!   stride` if that is whole, which depends on `i` modulo the stride alone. So the inputs fall into
//!   `stride` phases on each axis; in each, the grid is the inputs of that phase, the step is 1, and
//!   the taps that divide shift by that quotient. No product with a structural zero is ever formed.

use super::geometry::Geometry;
use crate::element::Element;
use crate::parallel::{self, SharedMut};
use crate::view::{BatchMut, BatchRef, TensorRef};

/// Taps of a kernel that a path gathers on its stack, at the most: up to 7x7.
pub(super) const MAX_TAPS: usize = 49;

/// A place of the kernel that meets the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tap {
    /// `[vertical, horizontal]`
    pub(super) shift: [isize; 2],
    /// Offset of this tap in the weight.
    pub(super) weight: usize,
}

/// The taps along one axis that a sum runs over: evenly spaced in the kernel, and so are their shifts.
#[derive(Debug, Clone, Copy)]
pub(super) struct AxisTaps {
    /// Index in the kernel.
    first: usize,
    step: usize,
    len: usize,
    shift: isize,
    shift_step: isize,
}

impl AxisTaps {
    /// All taps: output 0 sees them from `-padding` on.
    fn forward(geometry: &Geometry, axis: usize) -> Self {
        Self {
            first: 0,
            step: 1,
            len: geometry.kernel[axis],
            shift: geometry.input_at(axis, 0, 0),
            shift_step: geometry.config.dilation[axis] as isize,
        }
    }

    /// The taps that meet the inputs of a phase.
    fn backward(geometry: &Geometry, axis: usize, phase: usize) -> Self {
        let stride = geometry.config.stride[axis] as isize;
        let (padding, dilation) = (geometry.config.padding[axis], geometry.config.dilation[axis]);
        let kernel = geometry.kernel[axis];
        let distance = |tap: usize| (phase + padding) as isize - (tap * dilation) as isize;
        let meets = |tap: &usize| distance(*tap) % stride == 0;
        let Some(first) = (0..kernel).find(meets) else {
            return Self { first: 0, step: 1, len: 0, shift: 0, shift_step: 0 };
        };
        let second = (first + 1..kernel).find(meets).unwrap_or(kernel);
        let step = second - first;
        Self {
            first,
            step,
            len: (kernel - first).div_ceil(step),
            shift: distance(first) / stride,
            shift_step: -((step * dilation) as isize) / stride,
        }
    }

    fn index(&self, tap: usize) -> usize {
        self.first + tap * self.step
    }

    fn shift(&self, tap: usize) -> isize {
        self.shift + tap as isize * self.shift_step
    }

    /// The taps in the order of the source, which the gradient to the input meets back to front.
    fn ascending(&self, tap: usize) -> usize {
        if self.shift_step < 0 { self.len - 1 - tap } else { tap }
    }
}

/// The taps of a sum, row by row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taps {
    axes: [AxisTaps; 2],
    /// Elements of the weight from one tap of the kernel to the next, on each axis.
    weight_strides: [usize; 2],
}

impl Taps {
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.axes[0].len * self.axes[1].len
    }

    /// In a row of taps.
    #[inline(always)]
    pub(super) fn width(&self) -> usize {
        self.axes[1].len
    }

    /// Rows of taps.
    #[inline(always)]
    pub(super) fn height(&self) -> usize {
        self.axes[0].len
    }

    /// How far the tap in this row, or column, shifts.
    #[inline(always)]
    pub(super) fn shift(&self, axis: usize, tap: usize) -> isize {
        self.axes[axis].shift(tap)
    }

    /// The least shift along `axis`, and of how many places of the source the taps see the ends.
    pub(super) fn span(&self, axis: usize) -> (isize, usize) {
        let axis = &self.axes[axis];
        match axis.len.checked_sub(1) {
            Some(last) => {
                let (first, last) = (axis.shift(0), axis.shift(last));
                (first.min(last), first.abs_diff(last) + 1)
            }
            None => (0, 0),
        }
    }

    /// The tap in this row and column, counted in the order of the source.
    #[inline(always)]
    pub(super) fn get_ascending(&self, row: usize, column: usize) -> Tap {
        let [vertical, horizontal] = &self.axes;
        self.get(vertical.ascending(row) * horizontal.len + horizontal.ascending(column))
    }

    #[inline(always)]
    pub(super) fn get(&self, tap: usize) -> Tap {
        let [vertical, horizontal] = &self.axes;
        let (row, column) = (tap / horizontal.len, tap % horizontal.len);
        let [height, width] = self.weight_strides;
        Tap {
            shift: [vertical.shift(row), horizontal.shift(column)],
            weight: vertical.index(row) * height + horizontal.index(column) * width,
        }
    }
}

/// The source of the sums: the image, or the gradient of the output.
#[derive(Clone, Copy)]
pub(super) struct Source<T> {
    /// Of the first part of the batch.
    pub(super) pointer: *const T,
    /// Elements to the next one.
    pub(super) apart: usize,
    pub(super) size: [usize; 2],
    /// `[batch, channel, height, width]`
    pub(super) strides: [usize; 4],
}

/// The target of the sums: the output, or a phase of the gradient of the input.
#[derive(Clone, Copy)]
pub(super) struct Target<T> {
    /// Of the first part of the batch.
    pub(super) pointer: *mut T,
    /// Elements to the next one.
    pub(super) apart: usize,
    /// `[batch, row, height, width]`
    pub(super) strides: [usize; 4],
}

/// One sum over taps: a group of channels, in one phase.
#[derive(Clone, Copy)]
pub(super) struct TapConv<'a, T> {
    /// Of the batch.
    pub(super) parts: usize,
    /// Images of a part.
    pub(super) batch: usize,
    pub(super) grid: [usize; 2],
    /// Channels of the target.
    pub(super) rows: usize,
    /// Channels of the source.
    pub(super) channels: usize,
    pub(super) taps: Taps,
    pub(super) step: [usize; 2],
    pub(super) source: Source<T>,
    pub(super) weight: *const T,
    /// `[row, channel]`
    pub(super) weight_strides: [usize; 2],
    pub(super) target: Target<T>,
    /// One number for each row.
    pub(super) bias: Option<&'a [T]>,
}

// SAFETY: the pointers come from views of slices that may cross threads, and the paths write each
// place of the target from one job.
unsafe impl<T: Element> Sync for TapConv<'_, T> {}

impl<T> TapConv<'_, T> {
    /// Steps of each sum.
    pub(super) fn depth(&self) -> usize {
        self.taps.len() * self.channels
    }

    /// About how many multiply-adds it is.
    pub(super) fn operations(&self) -> usize {
        let sizes = [self.rows, self.depth(), self.positions(), self.batch, self.parts];
        parallel::operations(sizes)
    }

    /// The sum for one part of the batch.
    #[inline(always)]
    pub(super) fn part(&self, index: usize) -> Self
    where
        T: Copy,
    {
        let mut part = Self { parts: 1, ..*self };
        part.source.pointer = self.source.pointer.wrapping_add(index * self.source.apart);
        part.target.pointer = self.target.pointer.wrapping_add(index * self.target.apart);
        part
    }

    pub(super) fn positions(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// The offset in channel 0 of batch entry 0 that a place of the grid sees through a tap, or
    /// `None` where that is outside the source.
    #[inline(always)]
    pub(super) fn source_offset(&self, place: [usize; 2], tap: &Tap) -> Option<usize> {
        let [vertical, horizontal] =
            [0, 1].map(|axis| self.along(axis, place[axis], tap.shift[axis]));
        Some(vertical? + horizontal?)
    }

    /// The part of it along one axis.
    #[inline(always)]
    pub(super) fn along(&self, axis: usize, place: usize, shift: isize) -> Option<usize> {
        let at = (place * self.step[axis]) as isize + shift;
        let inside = at >= 0 && (at as usize) < self.source.size[axis];
        inside.then(|| at as usize * self.source.strides[2 + axis])
    }
}

/// Calls `run` with the sums of the forward pass, one for each group. The geometry is that of a part of the batch.
pub(super) fn forward<T: Element>(
    geometry: &Geometry,
    x: &BatchRef<'_, T>,
    weight: &TensorRef<'_, T>,
    bias: Option<&[T]>,
    y: &mut BatchMut<'_, T>,
    run: impl Fn(&[TapConv<'_, T>]) + Sync + Send,
) {
    let config = geometry.config;
    let weight_strides = weight.strides();
    let taps = Taps {
        axes: [0, 1].map(|axis| AxisTaps::forward(geometry, axis)),
        weight_strides: [weight_strides[2], weight_strides[3]],
    };
    let (rows, channels) = (geometry.group_outputs(), geometry.group_inputs());
    let (target, strides, apart) = (SharedMut::new(y.as_ptr()), y.strides(), y.apart());
    let operations = operations_of_group(geometry).saturating_mul(x.parts());
    parallel::for_each_whole(config.groups, operations, |group| {
        let first = group * rows;
        run(&[TapConv {
            parts: x.parts(),
            batch: geometry.batch,
            grid: geometry.out_size,
            rows,
            channels,
            taps,
            step: config.stride,
            source: Source {
                pointer: x.as_ptr().wrapping_add(group * channels * x.strides()[1]),
                apart: x.apart(),
                size: geometry.in_size,
                strides: x.strides(),
            },
            weight: weight.as_ptr().wrapping_add(first * weight_strides[0]),
            weight_strides: [weight_strides[0], weight_strides[1]],
            target: Target {
                pointer: target.get().wrapping_add(first * strides[1]),
                apart,
                strides,
            },
            bias: bias.map(|bias| &bias[first..first + rows]),
        }]);
    });
}

/// Multiply-adds of a group, about.
fn operations_of_group(geometry: &Geometry) -> usize {
    let [height, width] = geometry.out_size;
    let depth = geometry.group_inputs() * geometry.taps();
    parallel::operations([geometry.batch, geometry.group_outputs(), depth, height, width])
}

/// Phases that are given to `run` at once: those of a stride of 2.
const TOGETHER: usize = 4;

/// Calls `run` with the sums of the gradient to the input, of some phases of a group at a time. They do
/// not share any place, so that they may run at once. The geometry is that of a part of the batch.
pub(super) fn backward_input<T: Element>(
    geometry: &Geometry,
    dy: &BatchRef<'_, T>,
    weight: &TensorRef<'_, T>,
    dx: &mut BatchMut<'_, T>,
    run: impl Fn(&[TapConv<'_, T>]) + Sync + Send,
) {
    let (stride, [height, width]) = (geometry.config.stride, geometry.in_size);
    let (weight_strides, strides, apart) = (weight.strides(), dx.strides(), dx.apart());
    let (rows, channels) = (geometry.group_inputs(), geometry.group_outputs());
    let phases = [stride[0].min(height), stride[1].min(width)];
    let target = SharedMut::new(dx.as_ptr());
    let conv = |group: usize, phase: usize| {
        let phase = [phase / phases[1], phase % phases[1]];
        let first = group * channels;
        TapConv {
            parts: dy.parts(),
            batch: geometry.batch,
            grid: [0, 1].map(|axis| (geometry.in_size[axis] - phase[axis]).div_ceil(stride[axis])),
            rows,
            channels,
            taps: Taps {
                axes: [0, 1].map(|axis| AxisTaps::backward(geometry, axis, phase[axis])),
                weight_strides: [weight_strides[2], weight_strides[3]],
            },
            step: [1, 1],
            source: Source {
                pointer: dy.as_ptr().wrapping_add(first * dy.strides()[1]),
                apart: dy.apart(),
                size: geometry.out_size,
                strides: dy.strides(),
            },
            weight: weight.as_ptr().wrapping_add(first * weight_strides[0]),
            weight_strides: [weight_strides[1], weight_strides[0]],
            target: Target {
                pointer: target.get().wrapping_add(
                    phase[0] * strides[2] + phase[1] * strides[3] + group * rows * strides[1],
                ),
                apart,
                strides: [
                    strides[0],
                    strides[1],
                    // An axis of one place may have any stride, also a huge one.
                    strides[2].saturating_mul(stride[0]),
                    strides[3].saturating_mul(stride[1]),
                ],
            },
            bias: None,
        }
    };
    let count = phases[0] * phases[1];
    let operations = operations_of_group(geometry).saturating_mul(dy.parts());
    parallel::for_each_whole(geometry.config.groups, operations, |group| {
        for first in (0..count).step_by(TOGETHER) {
            let some = TOGETHER.min(count - first);
            let convs: [_; TOGETHER] =
                std::array::from_fn(|index| conv(group, first + index.min(some - 1)));
            run(&convs[..some]);
        }
    });
}
