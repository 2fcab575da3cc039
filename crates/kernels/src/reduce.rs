//! Sums and the like: of everything, or along one axis of `x` as `[outer][n][inner]`.

use crate::arch::{Isa, Kernel, Microkernel, Vector};
use crate::element::Element;
use crate::elementwise::lanes::{load, store};
use crate::error::{Result, ShapeError, check_len};
use crate::parallel::{self, MOVED, SharedMut};

/// Elements that one job sums; their sums are added pairwise.
const CHUNK: usize = 1 << 14;
/// Sums that a chunk keeps side by side: additions do not wait for each other.
const CHAINS: usize = 4;
/// Terms that are summed one after the other before their sum is added to the total, so that each meets
/// fewer roundings.
const ROWS: usize = 32;

/// What a sum is of.
trait Term<T: Element>: Copy + Sync {
    fn add<V: Vector<Elem = T>>(self, sum: V, x: V) -> V;
}

#[derive(Clone, Copy)]
struct Itself;

impl<T: Element> Term<T> for Itself {
    #[inline(always)]
    fn add<V: Vector<Elem = T>>(self, sum: V, x: V) -> V {
        sum.add(x)
    }
}

#[derive(Clone, Copy)]
struct Square;

impl<T: Element> Term<T> for Square {
    #[inline(always)]
    fn add<V: Vector<Elem = T>>(self, sum: V, x: V) -> V {
        x.mul_add(x, sum)
    }
}

/// Sums the terms of a slice in the fixed order of a vector's lanes.
struct SumChunk<'a, T, F> {
    x: &'a [T],
    term: F,
}

impl<T: Element, F: Term<T>> Kernel<T> for SumChunk<'_, T, F> {
    type Output = T;

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) -> T {
        let mut totals = [V::splat(T::ZERO); CHAINS];
        for block in self.x.chunks(ROWS * CHAINS * V::LANES) {
            let mut sums = [V::splat(T::ZERO); CHAINS];
            let mut groups = block.chunks_exact(CHAINS * V::LANES);
            for group in &mut groups {
                for (sum, x) in sums.iter_mut().zip(group.chunks_exact(V::LANES)) {
                    *sum = self.term.add(*sum, V::from_slice(x));
                }
            }
            for (sum, x) in sums.iter_mut().zip(groups.remainder().chunks(V::LANES)) {
                *sum = self.term.add(*sum, load(x, T::ZERO));
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = total.add(sum);
            }
        }
        let [a, b, c, d] = totals;
        a.add(c).add(b.add(d)).reduce_add()
    }
}

/// The sum of the terms: of halves, of quarters, and so on down to chunks, so that the rounding error
/// grows with the logarithm of their number.
fn sum_terms<T: Element, F: Term<T>>(isa: Isa, x: &[T], term: F) -> T {
    if x.len() <= CHUNK {
        return T::run(isa, SumChunk { x, term });
    }
    let chunks = x.len().div_ceil(CHUNK);
    let (a, b) = x.split_at(chunks.next_power_of_two() / 2 * CHUNK);
    let [a, b] =
        parallel::join(x.len() * MOVED, || sum_terms(isa, a, term), || sum_terms(isa, b, term));
    a + b
}

/// The sum of all elements; 0 if there are none.
///
/// ```
/// // Small terms are not lost in a large sum.
/// let sum = topedge_kernels::reduce::sum(&vec![0.1f32; 1_000_000]);
/// assert!((sum - 100_000.0).abs() < 0.1);
/// ```
pub fn sum<T: Element>(x: &[T]) -> T {
    sum_terms(Isa::current(), x, Itself)
}

/// The mean of all elements; NaN if there are none.
pub fn mean<T: Element>(x: &[T]) -> T {
    sum(x) / T::from_f64(x.len() as f64)
}

/// The sum of the squares of all elements.
pub fn sum_squares<T: Element>(x: &[T]) -> T {
    sum_terms(Isa::current(), x, Square)
}

/// Checks that `[outer][n][inner]` has `len` elements and `[outer][inner]` as many as `reduced`.
fn check_axis(
    op: &'static str,
    [outer, n, inner]: [usize; 3],
    [name, reduced_name]: [&str; 2],
    [len, reduced]: [usize; 2],
) -> Result<()> {
    let rest = outer.checked_mul(inner);
    let Some((rest, elements)) = rest.and_then(|rest| Some((rest, rest.checked_mul(n)?))) else {
        let got = format!("[{outer}][{n}][{inner}]");
        return Err(ShapeError::new(op, "shape", "sizes whose product fits in usize", got));
    };
    check_len(op, name, elements, len)?;
    check_len(op, reduced_name, rest, reduced)
}

/// Columns of a job in a sum over rows.
const COLUMNS: usize = 1 << 10;

/// Sums `rows` rows into `y`: some columns of a matrix.
struct SumRows<'a, T> {
    x: &'a [T],
    rows: usize,
    row_stride: usize,
    divisor: T,
    y: &'a mut [T],
}

impl<T: Element> Kernel<T> for SumRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let zero = V::splat(T::ZERO);
        for (i, y) in self.y.chunks_mut(V::LANES).enumerate() {
            let mut total = zero;
            for row0 in (0..self.rows).step_by(ROWS) {
                let mut sum = zero;
                for row in row0..self.rows.min(row0 + ROWS) {
                    let x = &self.x[row * self.row_stride + i * V::LANES..][..y.len()];
                    sum = sum.add(load(x, T::ZERO));
                }
                total = total.add(sum);
            }
            let total = total.div(V::splat(self.divisor));
            store(total, y);
        }
    }
}

/// Sums over `n`, divided by `divisor`.
fn reduce_axis<T: Element>(x: &[T], [outer, n, inner]: [usize; 3], divisor: T, y: &mut [T]) {
    let isa = Isa::current();
    let y = SharedMut::new(y.as_mut_ptr());
    if inner == 1 {
        // Few rows a job would cost more to hand out than to sum.
        let group = (CHUNK / n.max(1)).max(1);
        parallel::for_each(outer.div_ceil(group), x.len() * MOVED, |job| {
            for row in job * group..outer.min((job + 1) * group) {
                let sum = sum_terms(isa, &x[row * n..][..n], Itself);
                // SAFETY: one place for each row.
                unsafe { *y.get().add(row) = sum / divisor };
            }
        });
        return;
    }
    let parts = inner.div_ceil(COLUMNS);
    parallel::for_each(outer * parts, x.len() * MOVED, |job| {
        let column = job % parts * COLUMNS;
        let columns = COLUMNS.min(inner - column);
        let row = job / parts;
        // SAFETY: columns of a row that only this job has.
        let y =
            unsafe { std::slice::from_raw_parts_mut(y.get().add(row * inner + column), columns) };
        let x = &x[(row * n * inner + column).min(x.len())..];
        T::run(isa, SumRows { x, rows: n, row_stride: inner, divisor, y });
    });
}

/// `y[outer][inner]`: the sums of `x[outer][n][inner]` over `n`.
///
/// # Errors
///
/// If the lengths are others.
pub fn sum_axis<T: Element>(
    x: &[T],
    outer: usize,
    n: usize,
    inner: usize,
    y: &mut [T],
) -> Result<()> {
    check_axis("sum_axis", [outer, n, inner], ["x", "y"], [x.len(), y.len()])?;
    reduce_axis(x, [outer, n, inner], T::ONE, y);
    Ok(())
}

/// `y[outer][inner]`: the means of `x[outer][n][inner]` over `n`; NaN where `n` is 0.
///
/// # Errors
///
/// If the lengths are others.
pub fn mean_axis<T: Element>(
    x: &[T],
    outer: usize,
    n: usize,
    inner: usize,
    y: &mut [T],
) -> Result<()> {
    check_axis("mean_axis", [outer, n, inner], ["x", "y"], [x.len(), y.len()])?;
    reduce_axis(x, [outer, n, inner], T::from_f64(n as f64), y);
    Ok(())
}

/// `y[outer][inner]`: where along `n` the maximum of `x[outer][n][inner]` is; the first one of
/// several, and the first NaN if there is one.
///
/// # Errors
///
/// If the lengths are others, or `n` is 0 or more than `u32` can count.
///
/// ```
/// let mut y = [0; 2];
/// let x = [0.1f32, 0.7, 0.7, f32::NAN, 2.0, 1.0];
/// topedge_kernels::reduce::argmax_axis(&x, 2, 3, 1, &mut y)?;
/// assert_eq!(y, [1, 0]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn argmax_axis<T: Element>(
    x: &[T],
    outer: usize,
    n: usize,
    inner: usize,
    y: &mut [u32],
) -> Result<()> {
    let op = "argmax_axis";
    check_axis(op, [outer, n, inner], ["x", "y"], [x.len(), y.len()])?;
    if (n == 0 && !y.is_empty()) || u32::try_from(n).is_err() {
        return Err(ShapeError::new(op, "axis to search", "1 to 2^32 - 1 elements", n));
    }
    for (i, y) in y.iter_mut().enumerate() {
        let first = i / inner * n * inner + i % inner;
        let mut best = 0;
        for k in 1..n {
            let (x, old) = (x[first + k * inner], x[first + best * inner]);
            // A NaN is greater than anything but itself.
            if x > old || (x.is_nan() && !old.is_nan()) {
                best = k;
            }
        }
        *y = best as u32;
    }
    Ok(())
}

/// `y[outer][n][inner]`: each `x[outer][inner]`, `n` times; the adjoint of [`sum_axis`].
///
/// # Errors
///
/// If the lengths are others.
pub fn broadcast_axis<T: Element>(
    x: &[T],
    outer: usize,
    n: usize,
    inner: usize,
    y: &mut [T],
) -> Result<()> {
    check_axis("broadcast_axis", [outer, n, inner], ["y", "x"], [y.len(), x.len()])?;
    if inner == 1 {
        for (row, &x) in y.chunks_exact_mut(n.max(1)).zip(x) {
            row.fill(x);
        }
    } else if inner > 0 {
        for (i, row) in y.chunks_exact_mut(inner).enumerate() {
            row.copy_from_slice(&x[i / n * inner..][..inner]);
        }
    }
    Ok(())
}
