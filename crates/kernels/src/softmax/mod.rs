//! Softmax along an axis, its logarithm, and cross-entropy.
//!
//! One loop serves every layout: a vector holds one step of the axis for as many neighbouring
//! columns. Where neighbours do not lie next to each other in memory, they are gathered first.

mod columns;
mod cross_entropy;

pub use cross_entropy::{CrossEntropy, cross_entropy};

use crate::arch::Vector;
use crate::element::Element;
use crate::elementwise::lane_by_lane;
use crate::elementwise::lanes::splat;
use crate::error::{Result, ShapeError, check_len};
use columns::{ColumnOp, Layout, Steps, for_each_vector};

/// The greatest step of each column, without regard to NaN: -infinity if there is no step.
///
/// # Safety
///
/// `x` must have `n` steps.
#[inline(always)]
unsafe fn max_step<V: Vector>(n: usize, x: Steps<V::Elem>) -> V {
    let mut max = splat::<V>(f64::NEG_INFINITY);
    for k in 0..n {
        // SAFETY: the caller's duty.
        let x: V = unsafe { x.load(k) };
        max = V::select(max.lt(x), x, max);
    }
    max
}

/// Runs `op` along `n` of operands `[outer][n][inner]`.
fn along_axis<T: Element, O: ColumnOp<T, IN, 1>, const IN: usize>(
    op_name: &'static str,
    op: O,
    [outer, n, inner]: [usize; 3],
    x: [(&str, &[T]); IN],
    (y_name, y): (&str, &mut [T]),
) -> Result<()> {
    let elements = outer.checked_mul(n).and_then(|elements| elements.checked_mul(inner));
    let elements = elements.ok_or_else(|| {
        let got = format!("[{outer}][{n}][{inner}]");
        ShapeError::new(op_name, "shape", "sizes whose product fits in usize", got)
    })?;
    for (name, x) in &x {
        check_len(op_name, name, elements, x.len())?;
    }
    check_len(op_name, y_name, elements, y.len())?;
    if elements > 0 {
        let layout = Layout::of_axis(n, inner);
        let x = x.map(|(_, x)| (x.as_ptr(), layout));
        let y = [(y.as_mut_ptr(), layout)];
        // SAFETY: the layout covers `outer * inner` columns of `n` steps, each element once.
        unsafe { for_each_vector([outer * inner, n], op, x, y) };
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Softmax;

impl<T: Element> ColumnOp<T, 1, 1> for Softmax {
    #[inline(always)]
    unsafe fn apply<V: Vector<Elem = T>>(
        self,
        n: usize,
        _: [usize; 2],
        [x]: [Steps<T>; 1],
        [y]: [Steps<T>; 1],
    ) {
        // SAFETY: all steps are below `n`.
        unsafe {
            let max: V = max_step(n, x);
            let mut sum = splat::<V>(0.0);
            for k in 0..n {
                let exp = x.load::<V>(k).sub(max).exp();
                y.store(k, exp);
                sum = sum.add(exp);
            }
            for k in 0..n {
                y.store(k, y.load::<V>(k).div(sum));
            }
        }
    }
}

/// `y = e^x / sum(e^x)` along `n` of `[outer][n][inner]`, computed with the maximum subtracted.
///
/// # Errors
///
/// If the lengths are others.
///
/// ```
/// let mut y = [0.0f32; 2];
/// topedge_kernels::softmax::softmax(&[1000.0, 1000.0], 1, 2, 1, &mut y)?;
/// assert_eq!(y, [0.5, 0.5]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn softmax<T: Element>(
    x: &[T],
    outer: usize,
    n: usize,
    inner: usize,
    y: &mut [T],
) -> Result<()> {
    along_axis("softmax", Softmax, [outer, n, inner], [("x", x)], ("y", y))
}

#[derive(Clone, Copy)]
struct SoftmaxBackward;

impl<T: Element> ColumnOp<T, 2, 1> for SoftmaxBackward {
    #[inline(always)]
    unsafe fn apply<V: Vector<Elem = T>>(
        self,
        n: usize,
        _: [usize; 2],
        [y, dy]: [Steps<T>; 2],
        [dx]: [Steps<T>; 1],
    ) {
        // SAFETY: all steps are below `n`.
        unsafe {
            let mut dot = splat::<V>(0.0);
            for k in 0..n {
                dot = y.load::<V>(k).mul_add(dy.load(k), dot);
            }
            for k in 0..n {
                dx.store(k, y.load::<V>(k).mul(dy.load::<V>(k).sub(dot)));
            }
        }
    }
}

/// `dx = y * (dy - sum(y * dy))`, of the output `y` of [`softmax()`].
///
/// # Errors
///
/// If the lengths are others.
pub fn softmax_backward<T: Element>(
    y: &[T],
    dy: &[T],
    outer: usize,
    n: usize,
    inner: usize,
    dx: &mut [T],
) -> Result<()> {
    let x = [("y", y), ("dy", dy)];
    along_axis("softmax_backward", SoftmaxBackward, [outer, n, inner], x, ("dx", dx))
}

#[derive(Clone, Copy)]
struct LogSoftmax;

impl<T: Element> ColumnOp<T, 1, 1> for LogSoftmax {
    #[inline(always)]
    unsafe fn apply<V: Vector<Elem = T>>(
        self,
        n: usize,
        _: [usize; 2],
        [x]: [Steps<T>; 1],
        [y]: [Steps<T>; 1],
    ) {
        // SAFETY: all steps are below `n`.
        unsafe {
            let max: V = max_step(n, x);
            let mut sum = splat::<V>(0.0);
            for k in 0..n {
                sum = sum.add(x.load::<V>(k).sub(max).exp());
            }
            let log_sum = lane_by_lane(sum, f64::ln);
            for k in 0..n {
                y.store(k, x.load::<V>(k).sub(max).sub(log_sum));
            }
        }
    }
}

/// `y = x - ln(sum(e^x))` along `n` of `[outer][n][inner]`, computed with the maximum subtracted.
///
/// # Errors
///
/// If the lengths are others.
pub fn log_softmax<T: Element>(
    x: &[T],
    outer: usize,
    n: usize,
    inner: usize,
    y: &mut [T],
) -> Result<()> {
    along_axis("log_softmax", LogSoftmax, [outer, n, inner], [("x", x)], ("y", y))
}

#[derive(Clone, Copy)]
struct LogSoftmaxBackward;

impl<T: Element> ColumnOp<T, 2, 1> for LogSoftmaxBackward {
    #[inline(always)]
    unsafe fn apply<V: Vector<Elem = T>>(
        self,
        n: usize,
        _: [usize; 2],
        [y, dy]: [Steps<T>; 2],
        [dx]: [Steps<T>; 1],
    ) {
        // SAFETY: all steps are below `n`.
        unsafe {
            let mut sum = splat::<V>(0.0);
            for k in 0..n {
                sum = sum.add(dy.load(k));
            }
            for k in 0..n {
                dx.store(k, dy.load::<V>(k).sub(y.load::<V>(k).exp().mul(sum)));
            }
        }
    }
}

/// `dx = dy - e^y * sum(dy)`, of the output `y` of [`log_softmax`].
///
/// # Errors
///
/// If the lengths are others.
pub fn log_softmax_backward<T: Element>(
    y: &[T],
    dy: &[T],
    outer: usize,
    n: usize,
    inner: usize,
    dx: &mut [T],
) -> Result<()> {
    let x = [("y", y), ("dy", dy)];
    along_axis("log_softmax_backward", LogSoftmaxBackward, [outer, n, inner], x, ("dx", dx))
}
