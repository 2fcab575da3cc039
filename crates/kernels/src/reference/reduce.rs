//! Sums along one axis of `x` as `[outer][n][inner]`, one after the other, in double precision.

/// The elements along `n`, for each of `[outer][inner]`.
pub(super) fn columns<T: Copy>(x: &[T], n: usize, inner: usize) -> impl Iterator<Item = Vec<T>> {
    let count = x.len().checked_div(n).unwrap_or(0);
    (0..count).map(move |j| {
        let first = j / inner * n * inner + j % inner;
        (0..n).map(|k| x[first + k * inner]).collect()
    })
}

/// As [`crate::reduce::sum_axis`], for an axis of one element or more.
pub fn sum_axis(x: &[f64], n: usize, inner: usize) -> Vec<f64> {
    columns(x, n, inner).map(|column| column.iter().sum()).collect()
}

/// As [`crate::reduce::argmax_axis`], for an axis of one element or more.
pub fn argmax_axis(x: &[f64], n: usize, inner: usize) -> Vec<u32> {
    let argmax = |column: Vec<f64>| {
        if let Some(first) = column.iter().position(|x| x.is_nan()) {
            return first as u32;
        }
        let max = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        column.iter().position(|&x| x == max).unwrap_or(0) as u32
    };
    columns(x, n, inner).map(argmax).collect()
}

/// As [`crate::reduce::broadcast_axis`].
pub fn broadcast_axis(x: &[f64], n: usize, inner: usize) -> Vec<f64> {
    x.chunks(inner.max(1)).flat_map(|row| row.repeat(n)).collect()
}
