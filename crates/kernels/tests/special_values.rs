//! NaN, infinities and subnormal numbers, on every instruction set: no number stays none, subnormal
//! numbers are flushed and cost no time, and the caller's floating-point state is as it was.

mod common;

use std::time::Instant;

use common::{FORMATS, Format, each_isa, layout};
use topedge_kernels::conv_transpose2d::{self, ConvTranspose2dConfig};
use topedge_kernels::conv2d::{self, Conv2dConfig};
use topedge_kernels::distribution::distribution;
use topedge_kernels::elementwise as e;
use topedge_kernels::gemm::gemm;
use topedge_kernels::norm::{self, BatchNorm, ChannelLayout};
use topedge_kernels::optim::{Adam, Sgd, adam, sgd};
use topedge_kernels::pad::{self, Pad2dConfig, PadMode};
use topedge_kernels::pool::{self, Pool2dConfig};
use topedge_kernels::reduce;
use topedge_kernels::softmax::{self, CrossEntropy, cross_entropy};
use topedge_kernels::{MatMut, MatRef, TensorMut, TensorRef, Winograd, reference};

/// Ones, but for `value` at a place.
fn ones(len: usize, at: usize, value: f32) -> Vec<f32> {
    let mut x = vec![1.0; len];
    x[at] = value;
    x
}

/// Where no number is.
fn nans(y: &[f32]) -> Vec<usize> {
    (0..y.len()).filter(|&i| y[i].is_nan()).collect()
}

const NAN: f32 = f32::NAN;

#[test]
fn nan_comes_out_where_it_goes_in() {
    each_isa(|isa| {
        let name = isa.name();
        // In whole vectors and behind them.
        for (len, at) in [(1, 0), (7, 6), (16, 3), (17, 16), (33, 20), (9000, 8999)] {
            let (x, plain, mut y) = (ones(len, at, NAN), vec![1.0; len], vec![0.0; len]);
            for f in [e::relu, e::sigmoid, e::tanh, e::gelu, e::silu, e::sqrt, e::exp, e::ln] {
                f(&x, &mut y).unwrap();
                assert_eq!(nans(&y), [at], "{name}, {len}");
            }
            for f in [e::leaky_relu, e::scale, e::add_scalar, e::powf] {
                f(&x, 0.5, &mut y).unwrap();
                assert_eq!(nans(&y), [at], "{name}, {len}");
            }
            for f in [e::add, e::sub, e::mul, e::div, e::sigmoid_backward, e::tanh_backward] {
                for (a, b) in [(&x, &plain), (&plain, &x)] {
                    f(a, b, &mut y).unwrap();
                    assert_eq!(nans(&y), [at], "{name}, {len}");
                }
            }
            for f in [e::gelu_backward, e::silu_backward] {
                for (a, b) in [(&x, &plain), (&plain, &x)] {
                    f(a, b, &mut y).unwrap();
                    assert_eq!(nans(&y), [at], "{name}, {len}");
                }
            }
            // Which way these go the input says, and how far the gradient.
            e::relu_backward(&plain, &x, &mut y).unwrap();
            assert_eq!(nans(&y), [at], "{name}, {len}");
            e::leaky_relu_backward(&plain, 0.5, &x, &mut y).unwrap();
            assert_eq!(nans(&y), [at], "{name}, {len}");
            let mut sum = plain.clone();
            e::axpy(0.0, &x, &mut sum).unwrap();
            assert_eq!(nans(&sum), [at], "{name}, {len}");

            assert!(
                [reduce::sum(&x), reduce::mean(&x), reduce::sum_squares(&x)]
                    .iter()
                    .all(|x| x.is_nan())
            );
            let seen = distribution(&x, true);
            assert!(seen.mean.is_nan() && seen.std.is_nan(), "{name}, {len}: {seen:?}");

            let (mut p, mut avg, mut squares) = (plain.clone(), vec![0.0; len], vec![0.0; len]);
            let (lr, momentum, weight_decay, decoupled) = (0.1, 0.9, 0.01, true);
            let config = Adam {
                lr,
                momentum,
                sqr_momentum: 0.9,
                eps: 1e-5,
                weight_decay,
                decoupled,
                step: 1,
            };
            adam(&config, &mut p, &x, &mut avg, &mut squares).unwrap();
            assert_eq!(nans(&p), [at], "{name}, {len}");
            let config = Sgd { lr, momentum, weight_decay, decoupled };
            sgd(&config, &mut p, &plain, &mut avg).unwrap();
            assert_eq!(nans(&p), [at], "{name}, {len}: it stays in the average");
        }
    });
}

#[test]
fn nan_fills_its_row_of_a_softmax_and_its_channel_of_a_norm() {
    each_isa(|isa| {
        for (outer, n, inner) in [(3, 5, 1), (3, 20, 1), (2, 5, 7), (1, 3, 33)] {
            let len = outer * n * inner;
            let (x, plain, mut y) = (ones(len, len - 1, NAN), vec![1.0; len], vec![0.0; len]);
            let row: Vec<usize> = (0..n).map(|k| len - 1 - (n - 1 - k) * inner).collect();
            for f in [softmax::softmax, softmax::log_softmax] {
                f(&x, outer, n, inner, &mut y).unwrap();
                assert_eq!(nans(&y), row, "{}, {n}", isa.name());
            }
            for f in [softmax::softmax_backward, softmax::log_softmax_backward] {
                f(&plain, &x, outer, n, inner, &mut y).unwrap();
                assert_eq!(nans(&y), row, "{}, {n}", isa.name());
            }
            let labels = vec![0; outer];
            if inner == 1 {
                let x = MatRef::row_major(&x, outer, n).unwrap();
                let dx = MatMut::row_major(&mut y, outer, n).unwrap();
                let loss = cross_entropy(x, &labels, &CrossEntropy::default(), Some(dx)).unwrap();
                assert!(loss.is_nan());
                assert_eq!(nans(&y), row, "{}, {n}", isa.name());
            }

            let layout = ChannelLayout { outer, channels: n, inner };
            let (mut mean, mut var) = (vec![0.0; n], vec![0.0; n]);
            for relu in [false, true] {
                norm::batch_stats(&x, layout, relu, &mut mean, &mut var).unwrap();
                assert_eq!((nans(&mean), nans(&var)), (vec![n - 1], vec![n - 1]));
                let gamma = vec![1.0; n];
                let norm =
                    BatchNorm { layout, mean: &mean, var: &var, gamma: &gamma, eps: 1e-5, relu };
                norm::normalize(&x, &norm, &gamma, &mut y).unwrap();
                let channel = (0..len).filter(|i| i / inner % n == n - 1);
                assert_eq!(nans(&y), channel.collect::<Vec<_>>(), "{}, {n}", isa.name());
            }
        }
    });
}

#[test]
fn nan_fills_its_row_of_a_product() {
    each_isa(|isa| {
        for [m, n, k] in [[1, 1, 1], [3, 17, 9], [20, 50, 300], [1, 40, 5], [9, 1, 33]] {
            let (a, b) = (ones(m * k, m * k - 1, NAN), vec![0.0; k * n]);
            let mut c = vec![NAN; m * n];
            let a = MatRef::row_major(&a, m, k).unwrap();
            let b = MatRef::row_major(&b, k, n).unwrap();
            // What is there already does not count, by a factor of 0; a 0 of B does.
            gemm(1.0, a, b, 0.0, MatMut::row_major(&mut c, m, n).unwrap()).unwrap();
            let row: Vec<usize> = ((m - 1) * n..m * n).collect();
            assert_eq!(nans(&c), row, "{}, {m}x{n}x{k}", isa.name());
        }
    });
}

/// A convolution's results are no numbers at least where those of the naive loops are none: paths that
/// multiply the padding, and Winograd's method, may spoil more.
#[test]
fn nan_reaches_all_that_sees_it() {
    let (input, weight) = ([3, 4, 7, 6], [5, 4, 3, 3]);
    for format in FORMATS {
        for stride in [1, 2] {
            for value in [NAN, f32::INFINITY] {
                let config =
                    Conv2dConfig { stride: [stride; 2], padding: [1, 1], ..Default::default() };
                let output = conv2d::output_shape(input, weight, &config).unwrap();
                let ((xs, x_len), (ys, y_len)) = (layout(input, format), layout(output, format));
                let at = 2 * xs[0] + xs[1] + 3 * xs[2] + 2 * xs[3];
                let out = ys[0] + 4 * ys[1] + 2 * ys[2] + ys[3];
                let (x, dy) = (ones(x_len, at, value), ones(y_len, out, value));
                let w = vec![0.5; 5 * 4 * 9];
                let x = TensorRef::new(&x, input, xs).unwrap();
                let dy = TensorRef::new(&dy, output, ys).unwrap();
                let w = TensorRef::contiguous(&w, weight).unwrap();
                let outputs = |naive: bool| {
                    let mut outputs = [vec![0.0; y_len], vec![0.0; x_len], vec![0.0; 180]];
                    let [y, dx, dw] = &mut outputs;
                    let y = TensorMut::new(y, output, ys).unwrap();
                    let dx = TensorMut::new(dx, input, xs).unwrap();
                    let dw = TensorMut::contiguous(dw, weight).unwrap();
                    if naive {
                        reference::conv2d::forward(x, w, None, &config, y).unwrap();
                        reference::conv2d::backward_input(dy, w, &config, dx).unwrap();
                        reference::conv2d::backward_weight(x, dy, &config, dw).unwrap();
                    } else {
                        conv2d::forward(x, w, None, &config, y).unwrap();
                        conv2d::backward_input(dy, w, &config, dx).unwrap();
                        conv2d::backward_weight(x, dy, &config, dw).unwrap();
                    }
                    outputs.map(|y| y.iter().map(|y| !y.is_finite()).collect::<Vec<bool>>())
                };
                let expected = outputs(true);
                assert!(expected.iter().all(|y| y.contains(&true)));
                each_isa(|isa| {
                    for winograd in [Winograd::Off, Winograd::Always] {
                        let got = winograd.with(|| outputs(false));
                        for (got, expected) in got.iter().zip(&expected) {
                            let swallowed = expected.iter().zip(got).position(|(&a, &b)| a && !b);
                            assert_eq!(swallowed, None, "{}, {format:?}", isa.name());
                            assert!(winograd != Winograd::Off || got == expected || value.is_nan());
                        }
                    }
                });
            }
        }
    }
}

#[test]
fn nan_passes_pools_and_frames() {
    let input = [2, 3, 6, 9];
    for format in FORMATS {
        let (xs, len) = layout(input, format);
        let at = xs[0] + 2 * xs[1] + 3 * xs[2] + 4 * xs[3];
        let x = ones(len, at, NAN);
        let x = TensorRef::new(&x, input, xs).unwrap();
        each_isa(|isa| {
            let config = Pool2dConfig { stride: [2, 2], ..Pool2dConfig::new([2, 2]) };
            let output = pool::output_shape(input, &config).unwrap();
            let (mut y, mut indices) = (vec![0.0; 72], vec![0; 72]);
            let place = ((3 + 2) * 3 + 1) * 4 + 2;
            let to = TensorMut::contiguous(&mut y, output).unwrap();
            pool::avg_forward(x, &config, to).unwrap();
            assert_eq!(nans(&y), [place], "{}, {format:?}", isa.name());
            let seen = TensorMut::contiguous(&mut indices, output).unwrap();
            let to = TensorMut::contiguous(&mut y, output).unwrap();
            pool::max_forward(x, &config, to, seen).unwrap();
            assert_eq!(nans(&y), [place], "{}, {format:?}", isa.name());
            assert_eq!(indices[place], 3 * 9 + 4, "{}, {format:?}", isa.name());
            for mode in [PadMode::Zeros, PadMode::Reflect, PadMode::Replicate, PadMode::Circular] {
                let config = Pad2dConfig { before: [1, 1], after: [1, 1], mode };
                let mut y = vec![0.0; 2 * 3 * 8 * 11];
                let view = TensorMut::contiguous(&mut y, [2, 3, 8, 11]).unwrap();
                pad::forward(x, &config, view).unwrap();
                assert_eq!(nans(&y), [(3 + 2) * 88 + 4 * 11 + 5], "{}, {format:?}", isa.name());
            }
            let mut y = vec![0.0; 2 * 2 * 7 * 10];
            let w = vec![1.0; 3 * 2 * 2 * 2];
            let w = TensorRef::contiguous(&w, [3, 2, 2, 2]).unwrap();
            let view = TensorMut::contiguous(&mut y, [2, 2, 7, 10]).unwrap();
            let config = ConvTranspose2dConfig::default();
            conv_transpose2d::forward(x, w, None, &config, view).unwrap();
            assert_eq!(nans(&y).len(), 8, "{}, {format:?}", isa.name());
        });
    }
}

/// What is below the smallest normal number is 0, going in and coming out.
#[test]
fn subnormal_numbers_are_zero() {
    each_isa(|isa| {
        let (tiny, small) = (vec![1e-40_f32; 20], vec![f32::MIN_POSITIVE; 20]);
        let mut y = vec![9.0; 20];
        e::scale(&tiny, 1e30, &mut y).unwrap();
        assert_eq!(y, [0.0; 20], "{}", isa.name());
        e::scale(&small, 0.5, &mut y).unwrap();
        assert_eq!(y, [0.0; 20], "{}", isa.name());
        e::scale(&small, 2.0, &mut y).unwrap();
        assert_eq!(y, [2.0 * f32::MIN_POSITIVE; 20], "{}", isa.name());
    });
}

/// Seconds of a convolution and its gradients, and of a step of Adam, on numbers of this size.
fn seconds(size: f32) -> f64 {
    let (input, weight, output) = ([16, 8, 14, 14], [16, 8, 3, 3], [16, 16, 14, 14]);
    let config = Conv2dConfig { padding: [1, 1], ..Default::default() };
    let numbers = |shape: [usize; 4]| vec![size; shape.iter().product()];
    let [x, w, dy] = [input, weight, output].map(numbers);
    let [mut dx, mut dw, mut y] = [input, weight, output].map(numbers);
    let ((xs, _), (ys, _)) = (layout(input, Format::BatchLast), layout(output, Format::BatchLast));
    let x = TensorRef::new(&x, input, xs).unwrap();
    let w = TensorRef::contiguous(&w, weight).unwrap();
    let dy = TensorRef::new(&dy, output, ys).unwrap();
    let (lr, momentum, sqr_momentum, eps) = (size, 0.9, 0.99, 1e-5);
    let adam_config =
        Adam { lr, momentum, sqr_momentum, eps, weight_decay: 0.0, decoupled: true, step: 1 };
    let (mut p, mut avg, mut squares) = (y.clone(), y.clone(), y.clone());
    let mut run = || {
        let start = Instant::now();
        conv2d::forward(x, w, None, &config, TensorMut::new(&mut y, output, ys).unwrap()).unwrap();
        let dx = TensorMut::new(&mut dx, input, xs).unwrap();
        conv2d::backward_input(dy, w, &config, dx).unwrap();
        let dw = TensorMut::contiguous(&mut dw, weight).unwrap();
        conv2d::backward_weight(x, dy, &config, dw).unwrap();
        adam(&adam_config, &mut p, &y, &mut avg, &mut squares).unwrap();
        start.elapsed().as_secs_f64()
    };
    (0..40).map(|_| run()).fold(f64::INFINITY, f64::min)
}

#[test]
fn subnormal_numbers_take_no_longer() {
    each_isa(|isa| {
        let (normal, subnormal) = (seconds(0.5), seconds(1e-40));
        let ratio = subnormal / normal;
        println!("{}: subnormal numbers take {ratio:.2} of the time", isa.name());
        // Without flushing it is many times as long on most machines; the rest is noise.
        assert!(ratio < 2.0, "{}: {ratio:.2}", isa.name());
    });
}

#[cfg(target_arch = "x86_64")]
mod state {
    use std::arch::asm;

    use super::*;

    fn read() -> u32 {
        let mut mxcsr = 0_u32;
        // SAFETY: stores four bytes at `mxcsr`.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut mxcsr, options(nostack)) };
        mxcsr
    }

    fn write(mxcsr: u32) {
        // SAFETY: reads four bytes, a state whose exceptions are all masked.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &mxcsr, options(nostack)) };
    }

    /// With the flags of flushing and another rounding, alone and together.
    #[test]
    fn the_callers_state_is_restored() {
        const FLUSH: u32 = 1 << 15;
        const ZEROS: u32 = 1 << 6;
        const DOWN: u32 = 1 << 13;
        let before = read();
        each_isa(|isa| {
            for flags in [0, FLUSH, ZEROS, FLUSH | ZEROS, DOWN, FLUSH | ZEROS | DOWN] {
                // The lowest bits say what has happened so far, and change by any arithmetic.
                let state = (before & !0x3F) | flags;
                write(state);
                let x = vec![1e-40_f32; 1000];
                let mut y = vec![0.0_f32; 1000];
                let matrix = |x| MatRef::row_major(x, 10, 10).unwrap();
                e::exp(&x, &mut y).unwrap();
                gemm(1.0, matrix(&x), matrix(&x), 0.0, MatMut::row_major(&mut y, 10, 10).unwrap())
                    .unwrap();
                softmax::softmax(&x, 10, 100, 1, &mut y).unwrap();
                let sum = reduce::sum(&x);
                let after = read();
                write(before);
                assert!(sum.is_finite());
                assert_eq!(after & !0x3F, state & !0x3F, "{}: {state:x}", isa.name());
            }
        });
    }
}
