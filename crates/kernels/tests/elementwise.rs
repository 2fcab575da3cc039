//! Elementwise kernels of every instruction set against the functions of one number.

mod common;

use common::{LENGTHS, assert_close, assert_thread_independent, each_isa, noise, to};
use proptest::prelude::*;
use topedge_kernels::elementwise as fast;
use topedge_kernels::reference::elementwise as naive;
use topedge_kernels::{Element, Result};

/// What the functions must cope with beside ordinary numbers. Below the smallest normal number
/// there is only 0, so that is not among them.
const SPECIAL: [f64; 11] =
    [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e30, -1e30, -12.5, -87.0, 88.5, 1e-30];

fn input(len: usize, seed: u32) -> Vec<f64> {
    let mut x: Vec<f64> = noise(len, seed).iter().map(|x| 4.0 * x).collect();
    for (i, x) in x.iter_mut().enumerate() {
        if i % 5 == 2 {
            *x = f64::from(SPECIAL[i / 5 % SPECIAL.len()] as f32);
        }
    }
    x
}

fn check_unary<T: Element>(
    name: &str,
    f: impl Fn(&[T], &mut [T]) -> Result<()>,
    of_one: impl Fn(f64) -> f64,
) {
    each_isa(|isa| {
        for len in LENGTHS {
            let x = input(len, 1);
            let want: Vec<f64> = x.iter().map(|&x| of_one(x)).collect();
            let want: Vec<f64> = to::<T>(&want).iter().map(|x| x.to_f64()).collect();
            let mut y = vec![T::from_f64(7.0); len];
            f(&to(&x), &mut y).unwrap();
            assert_close(&y, &want, 1e-6, &format!("{name}, {}, length {len}", isa.name()));
        }
    });
    let error = f(&[T::ONE; 3], &mut [T::ONE; 4]).unwrap_err();
    assert_eq!(error.to_string(), format!("{name}: length of x: expected 4, got 3"));
}

fn check_binary<T: Element>(
    name: &str,
    f: impl Fn(&[T], &[T], &mut [T]) -> Result<()>,
    of_two: impl Fn(f64, f64) -> f64,
) {
    each_isa(|isa| {
        for len in LENGTHS {
            // Each special value meets ordinary ones and others of its kind.
            let (a, b) = (input(len, 1), input(len + 10, 2)[len.min(10)..][..len].to_vec());
            let want: Vec<f64> = a.iter().zip(&b).map(|(&a, &b)| of_two(a, b)).collect();
            let want: Vec<f64> = to::<T>(&want).iter().map(|x| x.to_f64()).collect();
            let mut y = vec![T::from_f64(7.0); len];
            f(&to(&a), &to(&b), &mut y).unwrap();
            assert_close(&y, &want, 1e-5, &format!("{name}, {}, length {len}", isa.name()));
        }
    });
    let [one, two] = [[T::ONE; 3], [T::ONE; 3]];
    assert!(f(&one, &two[..2], &mut [T::ONE; 3]).is_err(), "{name}");
    assert!(f(&one[..2], &two, &mut [T::ONE; 3]).is_err(), "{name}");
}

fn check_all<T: Element>() {
    let t = T::from_f64;
    check_unary::<T>("relu", fast::relu, naive::relu);
    check_unary::<T>(
        "leaky_relu",
        |x, y| fast::leaky_relu(x, t(0.25), y),
        |x| naive::leaky_relu(x, 0.25),
    );
    check_unary::<T>("sigmoid", fast::sigmoid, naive::sigmoid);
    check_unary::<T>("tanh", fast::tanh, f64::tanh);
    check_unary::<T>("gelu", fast::gelu, naive::gelu);
    check_unary::<T>("silu", fast::silu, naive::silu);
    check_unary::<T>("exp", fast::exp, f64::exp);
    check_unary::<T>("ln", fast::ln, f64::ln);
    check_unary::<T>("sqrt", fast::sqrt, f64::sqrt);
    check_unary::<T>("powf", |x, y| fast::powf(x, t(3.0), y), |x| x.powf(3.0));
    check_unary::<T>("powf", |x, y| fast::powf(x, t(2.0), y), |x| x * x);
    check_unary::<T>("powf", |x, y| fast::powf(x, t(-0.5), y), |x| x.powf(-0.5));
    check_unary::<T>("scale", |x, y| fast::scale(x, t(-1.5), y), |x| -1.5 * x);
    check_unary::<T>("add_scalar", |x, y| fast::add_scalar(x, t(0.5), y), |x| x + 0.5);
    check_unary::<T>("add_assign", |x, y| fast::add_assign(y, x), |x| 7.0 + x);
    check_unary::<T>("axpy", |x, y| fast::axpy(t(0.5), x, y), |x| 7.0 + 0.5 * x);

    check_binary::<T>("add", fast::add, |a, b| a + b);
    check_binary::<T>("sub", fast::sub, |a, b| a - b);
    check_binary::<T>("mul", fast::mul, |a, b| a * b);
    check_binary::<T>("div", fast::div, |a, b| a / b);
    check_binary::<T>("relu_backward", fast::relu_backward, naive::relu_backward);
    check_binary::<T>(
        "leaky_relu_backward",
        |x, dy, dx| fast::leaky_relu_backward(x, t(0.25), dy, dx),
        |x, dy| naive::leaky_relu_backward(x, 0.25, dy),
    );
    check_binary::<T>("gelu_backward", fast::gelu_backward, naive::gelu_backward);
    check_binary::<T>("silu_backward", fast::silu_backward, naive::silu_backward);
}

#[test]
fn f32_agrees_with_the_functions_of_one_number() {
    check_all::<f32>();
}

#[test]
fn f64_agrees_with_the_functions_of_one_number() {
    check_all::<f64>();
}

#[test]
fn gradients_from_the_output() {
    each_isa(|_| {
        for len in LENGTHS {
            let (x, dy) = (noise(len, 1), noise(len, 2));
            let mut dx = vec![0.0f32; len];
            let y: Vec<f64> = x.iter().map(|&x| naive::sigmoid(x)).collect();
            fast::sigmoid_backward(&to(&y), &to(&dy), &mut dx).unwrap();
            let want: Vec<f64> =
                y.iter().zip(&dy).map(|(&y, &dy)| naive::sigmoid_backward(y, dy)).collect();
            assert_close(&dx, &want, 1e-6, "sigmoid_backward");

            let y: Vec<f64> = x.iter().map(|&x| x.tanh()).collect();
            fast::tanh_backward(&to(&y), &to(&dy), &mut dx).unwrap();
            let want: Vec<f64> =
                y.iter().zip(&dy).map(|(&y, &dy)| naive::tanh_backward(y, dy)).collect();
            assert_close(&dx, &want, 1e-6, "tanh_backward");
        }
    });
}

#[test]
fn threads_do_not_change_the_bits() {
    let x: Vec<f32> = to(&noise(600_001, 3));
    assert_thread_independent(|| {
        let mut y = vec![0.0; x.len()];
        fast::gelu(&x, &mut y).unwrap();
        y
    });
    assert_thread_independent(|| {
        let mut y = vec![0.0; x.len() - 1];
        fast::copy_strided(&x, &[300, 1000, 2], &[2, 600, 1], 0, &mut y).unwrap();
        y
    });
}

/// A view of up to five axes, of which some repeat, skip or are empty, permuted.
fn views() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, usize, usize)> {
    let axis = (0usize..7, 0usize..3);
    (prop::collection::vec(axis, 0..5), 0usize..4, any::<u64>()).prop_map(
        |(axes, offset, order)| {
            let mut stride = 1;
            let mut view = vec![];
            for (size, gap) in axes {
                // Gap 0 repeats every fourth time, by the bits of the order.
                let repeats = gap == 0 && order & (1 << view.len()) != 0;
                view.push((size, if repeats { 0 } else { stride * (gap + 1) }));
                stride *= size.max(1) * (gap + 1);
            }
            for i in (1..view.len()).rev() {
                view.swap(i, (order >> (8 * i)) as usize % (i + 1));
            }
            let (shape, strides): (Vec<usize>, Vec<usize>) = view.into_iter().unzip();
            (shape, strides, offset, offset + stride + 1)
        },
    )
}

proptest! {
    #[test]
    fn strided_copies((shape, strides, offset, len) in views()) {
        let x = noise(len, 1);
        let want = naive::copy_strided(&x, &shape, &strides, offset);
        let mut y = vec![0.0; want.len()];
        fast::copy_strided(&x, &shape, &strides, offset, &mut y).unwrap();
        prop_assert_eq!(&y, &want);

        let values = noise(y.len(), 2);
        let (mut got, mut want) = (x.clone(), x);
        fast::scatter_strided(&values, &mut got, &shape, &strides, offset).unwrap();
        naive::scatter_strided(&values, &mut want, &shape, &strides, offset);
        assert_close(&got, &want, 1e-6, "scatter_strided");
    }
}

#[test]
fn large_strided_copies() {
    for (shape, strides) in [
        (vec![130, 517], vec![1, 130]),
        (vec![3, 200, 100], vec![20_000, 1, 200]),
        (vec![5000, 2, 3], vec![6, 1, 2]),
        (vec![100_000], vec![2]),
    ] {
        let elements = shape.iter().product();
        let x = noise(200_001, 1);
        let mut y = vec![0.0; elements];
        fast::copy_strided(&x, &shape, &strides, 1, &mut y).unwrap();
        assert_eq!(y, naive::copy_strided(&x, &shape, &strides, 1));
    }
}

#[test]
fn views_that_do_not_fit_are_refused() {
    let x = [1.0f32; 10];
    let copy = |shape: &[usize], strides: &[usize], offset, len| {
        fast::copy_strided(&x, shape, strides, offset, &mut vec![0.0; len])
    };
    assert_eq!(copy(&[10], &[1], 0, 10), Ok(()));
    assert_eq!(
        copy(&[2, 5], &[6, 1], 0, 10).unwrap_err().to_string(),
        "copy_strided: view of shape [2, 5] with strides [6, 1] from 0: expected indices below the \
         length of the data, 10, got 10"
    );
    assert!(copy(&[10], &[1], 1, 10).is_err());
    assert!(copy(&[10], &[1], 0, 9).is_err());
    assert!(copy(&[10], &[1, 1], 0, 10).is_err());
    assert!(copy(&[usize::MAX, 2], &[0, 1], 0, 10).is_err());
    assert!(copy(&[2], &[usize::MAX], 1, 2).is_err());
    assert!(copy(&[1; 9], &[1; 9], 0, 1).is_err());
    // A view of nothing lies anywhere.
    assert_eq!(copy(&[usize::MAX, 0], &[usize::MAX, 1], 99, 0), Ok(()));
    assert!(fast::scatter_strided(&x, &mut [0.0; 9], &[10], &[1], 0).is_err());
}
