//! Softmax and cross-entropy by their definitions, in double precision.
//!
//! `x` is `[outer][n][inner]`, with an axis `n` of one element or more.

use super::reduce::columns;
use crate::softmax::CrossEntropy;

/// Calls `f` for each column along `n` of the operands and puts what it answers in the same place.
fn along_axis<const IN: usize>(
    x: [&[f64]; IN],
    n: usize,
    inner: usize,
    f: impl Fn([&[f64]; IN]) -> Vec<f64>,
) -> Vec<f64> {
    let mut y = vec![0.0; x[0].len()];
    let x = x.map(|x| columns(x, n, inner).collect::<Vec<_>>());
    for j in 0..x[0].len() {
        for (k, value) in f(x.each_ref().map(|x| x[j].as_slice())).into_iter().enumerate() {
            y[j / inner * n * inner + j % inner + k * inner] = value;
        }
    }
    y
}

fn log_sum_exp(x: &[f64]) -> f64 {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + x.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}

/// As [`crate::softmax::softmax()`].
pub fn softmax(x: &[f64], n: usize, inner: usize) -> Vec<f64> {
    along_axis([x], n, inner, |[x]| x.iter().map(|v| (v - log_sum_exp(x)).exp()).collect())
}

/// As [`crate::softmax::log_softmax`].
pub fn log_softmax(x: &[f64], n: usize, inner: usize) -> Vec<f64> {
    along_axis([x], n, inner, |[x]| x.iter().map(|v| v - log_sum_exp(x)).collect())
}

/// As [`crate::softmax::softmax_backward`]: `dx[i] = sum over j of dy[j] * y[j] * ([i = j] - y[i])`.
pub fn softmax_backward(y: &[f64], dy: &[f64], n: usize, inner: usize) -> Vec<f64> {
    along_axis([y, dy], n, inner, |[y, dy]| {
        let of_pair = |i: usize, j: usize| dy[j] * y[j] * (f64::from(u8::from(i == j)) - y[i]);
        (0..n).map(|i| (0..n).map(|j| of_pair(i, j)).sum()).collect()
    })
}

/// As [`crate::softmax::log_softmax_backward`]: `dx[i] = sum over j of dy[j] * ([i = j] - e^y[i])`.
pub fn log_softmax_backward(y: &[f64], dy: &[f64], n: usize, inner: usize) -> Vec<f64> {
    along_axis([y, dy], n, inner, |[y, dy]| {
        let of_pair = |i: usize, j: usize| dy[j] * (f64::from(u8::from(i == j)) - y[i].exp());
        (0..n).map(|i| (0..n).map(|j| of_pair(i, j)).sum()).collect()
    })
}

/// As [`crate::softmax::cross_entropy`], of row-major logits `[samples, classes]` and labels that
/// are classes or ignored.
///
/// # Panics
///
/// If a label is neither.
pub fn cross_entropy(
    logits: &[f64],
    classes: usize,
    labels: &[u32],
    config: &CrossEntropy<'_, f64>,
) -> f64 {
    let weight = |class: usize| config.class_weights.map_or(1.0, |weights| weights[class]);
    let (mut loss, mut total) = (0.0, 0.0);
    for (x, &label) in logits.chunks(classes).zip(labels) {
        if Some(label) == config.ignore_index {
            continue;
        }
        let label = label as usize;
        let nll = |class: usize| weight(class) * (log_sum_exp(x) - x[class]);
        let spread = (0..classes).map(nll).sum::<f64>() / classes as f64;
        loss += (1.0 - config.label_smoothing) * nll(label) + config.label_smoothing * spread;
        total += weight(label);
    }
    loss / total
}
