//! Softmax and cross-entropy of every instruction set against their definitions.

mod common;

use common::{assert_close, assert_thread_independent, each_isa, noise, to};
use topedge_kernels::reference::softmax as naive;
use topedge_kernels::softmax::{self, CrossEntropy, cross_entropy};
use topedge_kernels::{Element, MatMut, MatRef};

/// `[outer, n, inner]`
const SHAPES: [[usize; 3]; 13] = [
    [1, 1, 1],
    [1, 10, 1],
    [5, 10, 1],
    [64, 10, 1],
    [17, 1000, 1],
    [1, 10, 64],
    [1, 10, 100],
    [3, 7, 5],
    [2, 3, 16],
    [2, 3, 33],
    [4, 1, 9],
    [0, 3, 4],
    [2, 3, 0],
];

fn check<T: Element>() {
    each_isa(|isa| {
        for [outer, n, inner] in SHAPES {
            let context = format!("{}, [{outer}][{n}][{inner}]", isa.name());
            let x: Vec<f64> = noise(outer * n * inner, 1).iter().map(|x| 10.0 * x).collect();
            let x: Vec<f64> = to::<T>(&x).iter().map(|x| x.to_f64()).collect();
            let dy = noise(x.len(), 2);
            let mut y = vec![T::ONE; x.len()];

            softmax::softmax(&to(&x), outer, n, inner, &mut y).unwrap();
            let want = naive::softmax(&x, n, inner);
            assert_close(&y, &want, 1e-6, &context);
            let output = want;
            softmax::softmax_backward(&to(&output), &to(&dy), outer, n, inner, &mut y).unwrap();
            let want = naive::softmax_backward(&output, &dy, n, inner);
            assert_close(&y, &want, 1e-6, &context);

            softmax::log_softmax(&to(&x), outer, n, inner, &mut y).unwrap();
            let want = naive::log_softmax(&x, n, inner);
            assert_close(&y, &want, 1e-6, &context);
            let output = want;
            softmax::log_softmax_backward(&to(&output), &to(&dy), outer, n, inner, &mut y).unwrap();
            let want = naive::log_softmax_backward(&output, &dy, n, inner);
            assert_close(&y, &want, 1e-5, &context);
        }
    });
}

#[test]
fn f32_agrees_with_the_definitions() {
    check::<f32>();
}

#[test]
fn f64_agrees_with_the_definitions() {
    check::<f64>();
}

#[test]
fn extremes() {
    each_isa(|_| {
        let mut y = [0.0f32; 3];
        softmax::softmax(&[-1e30, 0.0, 1e30], 1, 3, 1, &mut y).unwrap();
        assert_eq!(y, [0.0, 0.0, 1.0]);
        softmax::log_softmax(&[f32::NEG_INFINITY, 0.0, 0.0], 1, 3, 1, &mut y).unwrap();
        assert_eq!(y[0], f32::NEG_INFINITY);
        assert!((y[1] + 2f32.ln()).abs() < 1e-6);
        softmax::softmax(&[f32::NAN, 0.0, 1.0], 1, 3, 1, &mut y).unwrap();
        assert!(y.iter().all(|y| y.is_nan()));
    });
}

#[test]
fn threads_do_not_change_the_bits() {
    let x: Vec<f32> = to(&noise(600_000, 3));
    assert_thread_independent(|| {
        let mut y = vec![0.0; x.len()];
        softmax::softmax(&x, 60_000, 10, 1, &mut y).unwrap();
        y
    });
    let labels: Vec<u32> = (0..60_000).map(|i| i % 10).collect();
    assert_thread_independent(|| {
        let mut gradient = vec![0.0; x.len()];
        let loss = cross_entropy(
            MatRef::row_major(&x, 60_000, 10).unwrap(),
            &labels,
            &CrossEntropy::default(),
            Some(MatMut::row_major(&mut gradient, 60_000, 10).unwrap()),
        );
        (loss, gradient)
    });
}

/// A loss and its gradient, of logits that lie row-major or with the samples as neighbours.
fn loss_and_gradient<T: Element>(
    logits: &[f64],
    [samples, classes]: [usize; 2],
    labels: &[u32],
    config: &CrossEntropy<'_, T>,
    transposed: bool,
) -> (T, Vec<T>) {
    let strides = if transposed { [1, samples] } else { [classes, 1] };
    let place = |i: usize| i / classes * strides[0] + i % classes * strides[1];
    let mut x = vec![T::ZERO; logits.len()];
    for (i, &logit) in logits.iter().enumerate() {
        x[place(i)] = T::from_f64(logit);
    }
    let mut gradient = vec![T::ONE; logits.len()];
    let shape = [samples, classes];
    let view = MatMut::new(&mut gradient, shape, strides).unwrap();
    let x = MatRef::new(&x, shape, strides).unwrap();
    let loss = cross_entropy(x, labels, config, Some(view)).unwrap();
    let alone = cross_entropy(x, labels, config, None).unwrap();
    assert!(loss == alone || loss.is_nan());
    (loss, (0..logits.len()).map(|i| gradient[place(i)]).collect())
}

#[test]
fn cross_entropy_agrees_with_its_definition() {
    let weights: Vec<f64> = to::<f32>(&noise(10, 9)).iter().map(|&x| f64::from(x.abs())).collect();
    for [samples, classes] in [[1, 1], [1, 2], [5, 3], [16, 10], [33, 7], [100, 10]] {
        let logits: Vec<f64> = noise(samples * classes, 1).iter().map(|x| 3.0 * x).collect();
        let logits: Vec<f64> = to::<f32>(&logits).iter().map(|&x| f64::from(x)).collect();
        let labels: Vec<u32> = (0..samples as u32).map(|i| i * 7 % classes as u32).collect();
        for weighted in [false, true] {
            for label_smoothing in [0.0, 0.1, 1.0] {
                for ignore_index in [None, Some(1)] {
                    let config = CrossEntropy {
                        class_weights: weighted.then_some(&weights[..classes]),
                        label_smoothing,
                        ignore_index,
                    };
                    let loss =
                        |logits: &[f64]| naive::cross_entropy(logits, classes, &labels, &config);
                    // By central differences of the definition.
                    let slope = |i: usize| {
                        let (mut up, mut down) = (logits.clone(), logits.clone());
                        up[i] += 1e-5;
                        down[i] -= 1e-5;
                        (loss(&up) - loss(&down)) / 2e-5
                    };
                    let slopes: Vec<f64> = (0..logits.len()).map(slope).collect();
                    let context = format!("[{samples}, {classes}], {config:?}");
                    for transposed in [false, true] {
                        let shape = [samples, classes];
                        let (got, gradient) =
                            loss_and_gradient(&logits, shape, &labels, &config, transposed);
                        assert_close(&[got], &[loss(&logits)], 1e-6, &context);
                        assert_close(&gradient, &slopes, 1e-3, &context);

                        let weights: Vec<f32> = to(&weights[..classes]);
                        let class_weights = weighted.then_some(weights.as_slice());
                        let config = CrossEntropy { class_weights, label_smoothing, ignore_index };
                        each_isa(|_| {
                            let (got, gradient) =
                                loss_and_gradient(&logits, shape, &labels, &config, transposed);
                            assert_close(&[got], &[loss(&logits)], 2e-6, &context);
                            assert_close(&gradient, &slopes, 1e-6, &context);
                        });
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_that_counts_is_nan_with_a_gradient_of_zero() {
    let config = CrossEntropy { ignore_index: Some(9), ..Default::default() };
    let (loss, gradient) = loss_and_gradient::<f32>(&[1.0, 2.0], [1, 2], &[9], &config, false);
    assert!(loss.is_nan());
    assert_eq!(gradient, [0.0, 0.0]);
}

#[test]
fn what_is_ignored_has_a_gradient_of_zero_also_where_it_is_nan() {
    let config = CrossEntropy { ignore_index: Some(9), ..Default::default() };
    for transposed in [false, true] {
        let logits = [f64::NAN, 1.0, 0.0, 0.0];
        let (loss, gradient) =
            loss_and_gradient::<f32>(&logits, [2, 2], &[9, 0], &config, transposed);
        assert!((loss - 2.0_f32.ln()).abs() < 1e-6);
        assert_eq!(gradient, [0.0, 0.0, -0.5, 0.5]);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let logits = [0.0f32; 6];
    let message = |labels: &[u32], config: &CrossEntropy<'_, f32>| {
        let logits = MatRef::row_major(&logits, 2, 3).unwrap();
        cross_entropy(logits, labels, config, None).unwrap_err().to_string()
    };
    let config = CrossEntropy::default();
    assert_eq!(
        message(&[0, 3], &config),
        "cross_entropy: label of sample 1: expected a class below 3, got 3"
    );
    assert!(message(&[0], &config).contains("length of labels"));
    let weights = CrossEntropy { class_weights: Some(&[1.0; 2]), ..config };
    assert!(message(&[0, 1], &weights).contains("class_weights"));
    let smoothing = CrossEntropy { label_smoothing: f64::NAN, ..config };
    assert!(message(&[0, 1], &smoothing).contains("label_smoothing"));
    assert!(softmax::softmax(&logits, 1, 6, 2, &mut [0.0; 6]).is_err());
    assert!(softmax::softmax(&logits, usize::MAX, 6, 2, &mut [0.0; 6]).is_err());
}
