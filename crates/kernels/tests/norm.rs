//! Batch normalisation of every instruction set against its definition.

mod common;

use common::{assert_close, assert_thread_independent, each_isa, noise, to};
use topedge_kernels::Element;
use topedge_kernels::norm::{self, BatchNorm, ChannelLayout};
use topedge_kernels::reference::norm as naive;

/// `[outer, channels, inner]`
const SHAPES: [[usize; 3]; 27] = [
    [1, 1, 1],
    [1, 1, 4],
    [4, 1, 1],
    [3, 2, 1],
    [7, 3, 5],
    [64, 8, 49],
    [2, 3, 4097],
    [1, 8, 12_544],
    [1, 3, 40_000],
    [1, 5, 100_000],
    [1, 140_000, 1],
    [5, 2, 70_001],
    [2, 8, 6272],
    [4, 64, 128],
    [2, 7, 40_001],
    [4, 70, 30],
    [100, 8, 1],
    [1000, 16, 1],
    [777, 17, 1],
    [129, 100, 1],
    [5000, 24, 1],
    [3, 513, 1],
    [2049, 1, 2],
    [1, 0, 4],
    [0, 3, 4],
    [0, 3, 1],
    [2, 3, 0],
];

fn layout([outer, channels, inner]: [usize; 3]) -> ChannelLayout {
    ChannelLayout { outer, channels, inner }
}

fn check<T: Element>() {
    each_isa(|isa| {
        for shape in SHAPES {
            let context = format!("{}, {shape:?}", isa.name());
            let layout = layout(shape);
            let len = shape.iter().product();
            let x: Vec<f64> = noise(len, 1).iter().map(|x| x + 1.5).collect();
            let x: Vec<f64> = to::<T>(&x).iter().map(|x| x.to_f64()).collect();
            let dy = noise(len, 2);
            let (gamma, beta) = (noise(shape[1], 3), noise(shape[1], 4));

            let (want_mean, want_var) = naive::batch_stats(&x, layout);
            let (mut mean, mut var) = (vec![T::ONE; shape[1]], vec![T::ONE; shape[1]]);
            norm::batch_stats(&to(&x), layout, false, &mut mean, &mut var).unwrap();
            assert_close(&mean, &want_mean, 1e-6, &context);
            assert_close(&var, &want_var, 1e-6, &context);

            // From here on with the same statistics on both sides; those of no values are NaN.
            if shape[0] * shape[2] == 0 {
                mean.fill(T::ZERO);
                var.fill(T::ONE);
            }
            let statistics = |x: &[T]| -> Vec<f64> { x.iter().map(|x| x.to_f64()).collect() };
            let (exact_mean, exact_var) = (statistics(&mean), statistics(&var));
            let eps = T::from_f64(1e-5);
            let exact = BatchNorm {
                layout,
                mean: &exact_mean,
                var: &exact_var,
                gamma: &gamma,
                eps: eps.to_f64(),
                relu: false,
            };
            let gamma = to::<T>(&gamma);
            let norm =
                BatchNorm { layout, mean: &mean, var: &var, gamma: &gamma, eps, relu: false };
            let mut y = vec![T::ONE; len];
            norm::normalize(&to(&x), &norm, &to(&beta), &mut y).unwrap();
            assert_close(&y, &naive::normalize(&x, &exact, &beta), 2e-6, &context);

            type Backward<T> = fn(
                &[T],
                &BatchNorm<'_, T>,
                &mut [T],
                &mut [T],
                &mut [T],
            ) -> topedge_kernels::Result<()>;
            let pairs: [(Backward<T>, naive::Gradients); 2] = [
                (norm::backward_train, naive::backward_train(&x, &dy, &exact)),
                (norm::backward_eval, naive::backward_eval(&x, &dy, &exact)),
            ];
            for (backward, (want_dx, want_dgamma, want_dbeta)) in pairs {
                let mut dx = to(&dy);
                let (mut dgamma, mut dbeta) = (vec![T::ONE; shape[1]], vec![T::ONE; shape[1]]);
                backward(&to(&x), &norm, &mut dx, &mut dgamma, &mut dbeta).unwrap();
                // A channel of one value has a variance of 0: its gradient is 300 times larger
                // than its terms, and all rounding.
                let tolerance = if shape[0] * shape[2] == 1 { 1e-3 } else { 1e-5 };
                assert_close(&dx, &want_dx, tolerance, &context);
                // Sums of many terms are as far off as the terms are large together.
                let tolerance = 1e-6 * ((shape[0] * shape[2]) as f64).sqrt().max(10.0);
                assert_close(&dgamma, &want_dgamma, tolerance, &context);
                assert_close(&dbeta, &want_dbeta, tolerance, &context);
            }
        }
    });
}

#[test]
fn f32_agrees_with_the_definition() {
    check::<f32>();
}

#[test]
fn f64_agrees_with_the_definition() {
    check::<f64>();
}

#[test]
fn a_large_mean_does_not_swallow_the_variance() {
    for shape in [[1, 2, 50_000], [50_000, 2, 1], [64, 2, 784], [50_000, 20, 1]] {
        let len: usize = shape.iter().product();
        // A standard deviation of about 1.15, and steps of 1/1024 at this size.
        let x: Vec<f32> = noise(len, 1).iter().map(|x| (x + 1e4) as f32).collect();
        let exact: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let (_, want) = naive::batch_stats(&exact, layout(shape));
        each_isa(|isa| {
            let (mut mean, mut var) = (vec![0.0f32; shape[1]], vec![0.0f32; shape[1]]);
            norm::batch_stats(&x, layout(shape), false, &mut mean, &mut var).unwrap();
            assert_close(&var, &want, 1e-5, &format!("{}, {shape:?}", isa.name()));
        });
    }
}

#[test]
fn a_drifting_mean_is_part_of_the_variance() {
    let x: Vec<f32> = (0..100_000).map(|i| (i / 1000) as f32).collect();
    let exact: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    for shape in [[1, 1, 100_000], [100_000, 1, 1], [10, 1, 10_000]] {
        let (want_mean, want_var) = naive::batch_stats(&exact, layout(shape));
        each_isa(|isa| {
            let (mut mean, mut var) = ([0.0f32], [0.0f32]);
            norm::batch_stats(&x, layout(shape), false, &mut mean, &mut var).unwrap();
            assert_close(&mean, &want_mean, 1e-6, isa.name());
            assert_close(&var, &want_var, 1e-6, isa.name());
        });
    }
}

#[test]
fn constant_channels_normalise_to_beta() {
    each_isa(|_| {
        let x = vec![1234.567f32; 5000];
        let layout = layout([1, 1, 5000]);
        let (mut mean, mut var, mut y) = ([0.0], [0.0], vec![0.0; 5000]);
        norm::batch_stats(&x, layout, false, &mut mean, &mut var).unwrap();
        assert_eq!((mean, var), ([1234.567], [0.0]));
        let norm =
            BatchNorm { layout, mean: &mean, var: &var, gamma: &[3.0], eps: 1e-5, relu: false };
        norm::normalize(&x, &norm, &[0.25], &mut y).unwrap();
        assert!(y.iter().all(|&y| y == 0.25));
    });
}

/// The biased variance normalises; the running average takes the unbiased one:
/// of [1, 2, 3, 4] it is 0.9 + 0.1 * 1.6667 = 1.0667 after one step from 1, with PyTorch too.
#[test]
fn the_variance_is_biased() {
    let (mut mean, mut var) = ([0.0f64], [0.0]);
    norm::batch_stats(&[1.0, 2.0, 3.0, 4.0], layout([1, 1, 4]), false, &mut mean, &mut var)
        .unwrap();
    assert_eq!((mean, var), ([2.5], [1.25]));
    let running = 0.9 * 1.0 + 0.1 * var[0] * 4.0 / 3.0;
    assert!((running - 1.0667f64).abs() < 1e-4);
}

#[test]
fn nan_stays_in_its_channel() {
    each_isa(|_| {
        for shape in [[4, 3, 100], [400, 3, 1]] {
            let mut x = vec![1.0f32; 1200];
            // A value of channel 1.
            x[if shape[2] == 1 { 304 } else { 150 }] = f32::NAN;
            let (mut mean, mut var) = ([0.0; 3], [0.0; 3]);
            norm::batch_stats(&x, layout(shape), false, &mut mean, &mut var).unwrap();
            assert_eq!([mean[0], mean[2], var[0], var[2]], [1.0, 1.0, 0.0, 0.0]);
            assert!(mean[1].is_nan() && var[1].is_nan());
        }
    });
}

#[test]
fn threads_do_not_change_the_bits() {
    for shape in [[1, 3, 200_000], [200_000, 3, 1], [100, 60, 100], [4, 30, 5000]] {
        let len = 600_000;
        let (x, dy) = (to::<f32>(&noise(len, 1)), to::<f32>(&noise(len, 2)));
        let layout = layout(shape);
        let gamma = vec![1.5; shape[1]];
        assert_thread_independent(|| {
            let (mut mean, mut var) = (vec![0.0; shape[1]], vec![0.0; shape[1]]);
            norm::batch_stats(&x, layout, false, &mut mean, &mut var).unwrap();
            let norm =
                BatchNorm { layout, mean: &mean, var: &var, gamma: &gamma, eps: 1e-5, relu: false };
            let (mut dgamma, mut dbeta) = (mean.clone(), mean.clone());
            let (mut y, mut dx) = (vec![0.0; len], dy.clone());
            norm::normalize(&x, &norm, &gamma, &mut y).unwrap();
            norm::backward_train(&x, &norm, &mut dx, &mut dgamma, &mut dbeta).unwrap();
            [mean.clone(), var.clone(), y, dx, dgamma, dbeta]
        });
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let layout = layout([2, 3, 4]);
    let (x, three) = ([0.0f32; 24], [1.0f32; 3]);
    let mut y = [0.0; 24];
    let error = norm::batch_stats(&x, layout, false, &mut [0.0; 2], &mut [0.0; 3]).unwrap_err();
    assert_eq!(error.to_string(), "batch_stats: length of mean: expected 3, got 2");
    assert!(norm::batch_stats(&x[1..], layout, false, &mut [0.0; 3], &mut [0.0; 3]).is_err());
    let huge = ChannelLayout { outer: usize::MAX, ..layout };
    assert!(norm::batch_stats(&x, huge, false, &mut [0.0; 3], &mut [0.0; 3]).is_err());
    let good =
        BatchNorm { layout, mean: &three, var: &three, gamma: &three, eps: 1e-5, relu: false };
    assert!(norm::normalize(&x, &good, &three, &mut y).is_ok());
    assert!(norm::normalize(&x, &good, &three[..2], &mut y).is_err());
    let bad = BatchNorm { gamma: &three[..2], ..good };
    assert!(norm::normalize(&x, &bad, &three, &mut y).is_err());
    let (mut dgamma, mut dbeta) = ([0.0; 3], [0.0; 2]);
    assert!(norm::backward_train(&x, &good, &mut y, &mut dgamma, &mut dbeta).is_err());
    assert!(norm::backward_eval(&x, &good, &mut y, &mut dgamma, &mut dbeta).is_err());
}
