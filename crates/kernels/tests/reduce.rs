//! Reductions of every instruction set against sums one after the other.

mod common;

use common::{LENGTHS, assert_close, assert_thread_independent, each_isa, noise, to};
use topedge_kernels::reference::reduce as naive;
use topedge_kernels::{Element, reduce};

/// `[outer, n, inner]`
const SHAPES: [[usize; 3]; 14] = [
    [1, 1, 1],
    [1, 7, 1],
    [3, 1, 5],
    [2, 3, 4],
    [5, 10, 1],
    [1, 10, 64],
    [1, 512, 10],
    [3, 129, 17],
    [2, 65, 16],
    [7, 31, 33],
    [1, 40_000, 1],
    [2, 3, 1500],
    [0, 3, 4],
    [2, 3, 0],
];

fn check_sums<T: Element>() {
    each_isa(|isa| {
        for len in LENGTHS {
            let x = noise(len, 1);
            let context = format!("{}, length {len}", isa.name());
            let got = [reduce::sum(&to::<T>(&x)), reduce::sum_squares(&to::<T>(&x))];
            let want = [x.iter().sum(), x.iter().map(|x| x * x).sum()];
            // Relative to the sum of the magnitudes, about `len`.
            assert_close(&got, &want, 1e-6 * (len as f64).sqrt().max(1.0), &context);
            let mean = reduce::mean(&to::<T>(&x));
            assert_close(&[mean], &[want[0] / len as f64], 1e-6, &context);
        }
        for [outer, n, inner] in SHAPES {
            let x = noise(outer * n * inner, 2);
            let context = format!("{}, [{outer}][{n}][{inner}]", isa.name());
            let mut y = vec![T::ONE; outer * inner];
            reduce::sum_axis(&to(&x), outer, n, inner, &mut y).unwrap();
            let want = naive::sum_axis(&x, n, inner);
            assert_close(&y, &want, 2e-5, &context);
            reduce::mean_axis(&to(&x), outer, n, inner, &mut y).unwrap();
            let want: Vec<f64> = want.iter().map(|sum| sum / n as f64).collect();
            assert_close(&y, &want, 1e-6, &context);

            let mut z = vec![T::ONE; x.len()];
            let y = noise(outer * inner, 3);
            reduce::broadcast_axis(&to(&y), outer, n, inner, &mut z).unwrap();
            assert_close(&z, &naive::broadcast_axis(&y, n, inner), 0.0, &context);
        }
    });
}

#[test]
fn f32_sums() {
    check_sums::<f32>();
}

#[test]
fn f64_sums() {
    check_sums::<f64>();
}

#[test]
fn the_first_maximum_and_the_first_nan() {
    for [outer, n, inner] in SHAPES {
        // Few different values, so that maxima meet their equals, and some NaN.
        let mut x: Vec<f64> = noise(outer * n * inner, 4).iter().map(|x| x.round()).collect();
        for x in x.iter_mut().skip(5).step_by(29) {
            *x = f64::NAN;
        }
        let mut y = vec![0; outer * inner];
        reduce::argmax_axis(&to::<f32>(&x), outer, n, inner, &mut y).unwrap();
        assert_eq!(y, naive::argmax_axis(&x, n, inner));
    }
}

#[test]
fn sums_of_nothing() {
    assert_eq!(reduce::sum::<f32>(&[]), 0.0);
    assert!(reduce::mean::<f32>(&[]).is_nan());
    let mut y = [7.0f32; 3];
    reduce::sum_axis(&[], 3, 0, 1, &mut y).unwrap();
    assert_eq!(y, [0.0; 3]);
    reduce::sum_axis(&[], 1, 0, 3, &mut y).unwrap();
    assert_eq!(y, [0.0; 3]);
    reduce::mean_axis(&[], 1, 0, 3, &mut y).unwrap();
    assert!(y.iter().all(|y| y.is_nan()));
}

#[test]
fn nan_propagates() {
    each_isa(|_| {
        let mut x = vec![0.0f32; 40_000];
        x[31_234] = f32::NAN;
        assert!(reduce::sum(&x).is_nan() && reduce::sum_squares(&x).is_nan());
    });
}

#[test]
fn threads_do_not_change_the_bits() {
    let x: Vec<f32> = to(&noise(1_000_003, 5));
    assert_thread_independent(|| reduce::sum(&x));
    for [outer, n, inner] in [[1, 100, 10_000], [1000, 1000, 1], [10, 100, 1000]] {
        assert_thread_independent(|| {
            let mut y = vec![0.0; outer * inner];
            reduce::sum_axis(&x[..1_000_000], outer, n, inner, &mut y).unwrap();
            y
        });
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let x = [1.0f32; 6];
    let error = reduce::sum_axis(&x, 2, 3, 1, &mut [0.0; 3]).unwrap_err();
    assert_eq!(error.to_string(), "sum_axis: length of y: expected 2, got 3");
    assert!(reduce::sum_axis(&x, 2, 2, 1, &mut [0.0; 2]).is_err());
    assert!(reduce::sum_axis(&x, usize::MAX, 2, 2, &mut [0.0; 2]).is_err());
    assert!(reduce::argmax_axis::<f32>(&[], 2, 0, 1, &mut [0; 2]).is_err());
    assert!(reduce::broadcast_axis(&x, 2, 2, 3, &mut [0.0; 11]).is_err());
}
