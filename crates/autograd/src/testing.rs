//! What the unit tests share.

use crate::float::Float;
use crate::format::MemoryFormat;
use crate::layout::Layout;
use crate::tensor::Tensor;

/// Reproducible values between -1 and 1, none of them twice or near another's negative, so that
/// maxima are unique and nothing sits on a kink.
pub(crate) fn random(seed: u64, shape: &[usize]) -> Tensor<f64> {
    let len: usize = shape.iter().product();
    // Multiples of the golden ratio, modulo 1, are as far apart as can be.
    let value = |i: u64| ((seed * 7919 + i) as f64 * 0.618_033_988_749_894_9).fract() * 2.0 - 1.0;
    let values = (1..=len as u64).map(value).collect();
    Tensor::new(values, shape).unwrap()
}

/// Reproducible values between 0.5 and 2.5.
pub(crate) fn positive(seed: u64, shape: &[usize]) -> Tensor<f64> {
    random(seed, shape).add_scalar(1.5)
}

/// The same image in each memory format, and batch-last in parts.
pub(crate) fn formats(x: &Tensor<f64>) -> [Tensor<f64>; 4] {
    let [a, b, c] = [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast, MemoryFormat::BatchLast]
        .map(|format| x.to_format(format).unwrap());
    let parts = in_parts(&c);
    [a, b, c, parts]
}

/// The same values with the first axis in as few parts as it can be cut into, lying alike in each.
pub(crate) fn in_parts(x: &Tensor<f64>) -> Tensor<f64> {
    let size = x.shape()[0];
    let parts = (2..=size).find(|&parts| size.is_multiple_of(parts)).unwrap_or(1);
    x.copied_to(Layout::dense_in_parts(x.layout().shape, &x.layout().order(), parts))
}

/// The same values, lying apart in memory: every other element of a larger tensor.
pub(crate) fn with_gaps(x: &Tensor<f64>) -> Tensor<f64> {
    let shape: Vec<usize> = x.shape().iter().copied().chain([1]).collect();
    let x = x.reshape(&shape).unwrap();
    let last = shape.len() - 1;
    let wide = Tensor::concat(&[&x, &x.detach().mul_scalar(f64::NAN)], last).unwrap();
    wide.narrow(last, 0, 1).unwrap().reshape(&shape[..last]).unwrap()
}

/// The same values in single precision, lying alike.
pub(crate) fn single(x: &Tensor<f64>) -> Tensor<f32> {
    let x = x.without_gaps();
    let values = x.dense().iter().map(|&v| v as f32).collect();
    Tensor::from_parts(values, x.shape(), x.strides(), x.parts()).unwrap()
}

/// Asserts that two tensors have one shape and nearly the same values.
#[track_caller]
pub(crate) fn assert_close<T: Float, U: Float>(a: &Tensor<T>, b: &Tensor<U>, tolerance: f64) {
    assert_eq!(a.shape(), b.shape());
    for (i, (a, b)) in a.to_vec().into_iter().zip(b.to_vec()).enumerate() {
        let (a, b) = (a.to_f64(), b.to_f64());
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "element {i}: {a} against {b}");
    }
}
