//! Arguments that cannot be: every kernel refuses them with an error that names what is wrong, on every
//! instruction set, and touches nothing. Sizes of zero, which can be, give what a sum of nothing is.

mod common;

use common::each_isa;
use topedge_kernels::conv_transpose2d::{self, ConvTranspose2dConfig};
use topedge_kernels::conv2d::{self, Conv2dConfig, ConvMatrix};
use topedge_kernels::elementwise as e;
use topedge_kernels::gemm::gemm;
use topedge_kernels::norm::{self, BatchNorm, ChannelLayout};
use topedge_kernels::optim::{Adam, Sgd, adam, sgd};
use topedge_kernels::pad::{self, Pad2dConfig, PadMode};
use topedge_kernels::pool::{self, Pool2dConfig};
use topedge_kernels::softmax::{self, CrossEntropy, cross_entropy};
use topedge_kernels::{MatMut, MatRef, Result, TensorMut, TensorRef, reduce};

const HUGE: usize = usize::MAX / 2;

/// Fails unless this is an error whose message says `what`.
#[track_caller]
fn refused<T>(result: Result<T>, what: &str) {
    let message = result.err().expect("no error").to_string();
    assert!(message.contains(what), "{message:?} does not say {what:?}");
}

#[test]
fn views_inside_their_slices() {
    let mut x = [0.0_f32; 24];
    refused(TensorRef::contiguous(&x, [HUGE, HUGE, 2, 2]), "overflow");
    refused(TensorRef::new(&x, [2, 3, 2, 2], [HUGE; 4]), "overflow");
    refused(TensorRef::contiguous(&x, [2, 3, 4, 2]), "at least 48 elements");
    refused(MatRef::row_major(&x, 5, 5), "at least 25 elements");
    refused(MatRef::row_major(&x, HUGE, HUGE), "overflow");
    // What is read may repeat, what is written may not.
    assert!(MatRef::new(&x, [4, 6], [0, 1]).is_ok());
    refused(MatMut::new(&mut x, [4, 6], [0, 1]), "overlap");
    refused(TensorMut::new(&mut x, [2, 3, 2, 2], [1; 4]), "overlap");
    // Without an element there is nothing to be outside.
    assert!(TensorRef::new(&x, [0, HUGE, HUGE, 1], [HUGE; 4]).is_ok());
}

#[test]
fn windows_of_convolutions_and_pools() {
    let (input, weight) = ([2, 4, 6, 5], [8, 4, 3, 3]);
    let plain = Conv2dConfig::default();
    let convolution =
        |input, weight, config: &Conv2dConfig| conv2d::output_shape(input, weight, config);
    let zeros = |pair: &str| match pair {
        "stride" => Conv2dConfig { stride: [1, 0], ..plain },
        "dilation" => Conv2dConfig { dilation: [0, 1], ..plain },
        _ => Conv2dConfig { groups: 0, ..plain },
    };
    for what in ["stride", "dilation", "groups"] {
        refused(convolution(input, weight, &zeros(what)), what);
    }
    refused(convolution(input, [8, 4, 0, 3], &plain), "kernel along height");
    refused(convolution(input, [8, 4, 7, 3], &plain), "kernel along height");
    refused(convolution(input, [8, 3, 3, 3], &plain), "in_channels");
    let groups = Conv2dConfig { groups: 3, ..plain };
    refused(convolution(input, weight, &groups), "multiple of groups");
    for padding in [[HUGE, 0], [usize::MAX, 0], [0, HUGE]] {
        assert!(convolution(input, weight, &Conv2dConfig { padding, ..plain }).is_err());
    }
    let dilation = [HUGE, 1];
    refused(convolution(input, weight, &Conv2dConfig { dilation, ..plain }), "height");
    refused(convolution([HUGE, 4, 6, 5], weight, &plain), "memory");
    refused(convolution(input, [HUGE / 8, 4, 3, 3], &plain), "memory");
    refused(ConvMatrix::new([4, 1 << 20, 1 << 20], [8, 4, 3, 3], &plain), "memory");

    let plain = ConvTranspose2dConfig::default();
    let transposed = |input, config: &ConvTranspose2dConfig| {
        conv_transpose2d::output_shape(input, [4, 8, 3, 3], config)
    };
    for config in [
        ConvTranspose2dConfig { stride: [0, 1], ..plain },
        ConvTranspose2dConfig { dilation: [1, 0], ..plain },
        ConvTranspose2dConfig { groups: 0, ..plain },
        ConvTranspose2dConfig { groups: 3, ..plain },
        // Added only where stride or dilation leaves room for it.
        ConvTranspose2dConfig { output_padding: [1, 0], ..plain },
        ConvTranspose2dConfig { padding: [HUGE, 0], ..plain },
        ConvTranspose2dConfig { stride: [HUGE, HUGE], ..plain },
        // More is cut off than there is.
        ConvTranspose2dConfig { padding: [5, 5], ..plain },
    ] {
        assert!(transposed(input, &config).is_err(), "{config:?}");
    }
    refused(transposed([HUGE, 4, 6, 5], &plain), "memory");

    let plain = Pool2dConfig::new([3, 3]);
    for config in [
        Pool2dConfig { stride: [0, 1], ..plain },
        Pool2dConfig { dilation: [0, 1], ..plain },
        Pool2dConfig::new([0, 3]),
        Pool2dConfig::new([7, 3]),
        Pool2dConfig { padding: [2, 0], ..plain },
        Pool2dConfig { padding: [HUGE, 0], ..plain },
        Pool2dConfig { dilation: [HUGE, 1], ..plain },
    ] {
        assert!(pool::output_shape(input, &config).is_err(), "{config:?}");
    }

    for (before, mode) in [
        ([HUGE, 0], PadMode::Zeros),
        ([usize::MAX, usize::MAX], PadMode::Replicate),
        // There is nothing further away than the last to reflect.
        ([6, 0], PadMode::Reflect),
        ([0, 6], PadMode::Circular),
    ] {
        let config = Pad2dConfig { before, after: [0, 0], mode };
        assert!(pad::output_shape(input, &config).is_err(), "{config:?}");
    }
}

/// Outputs of another shape than the inputs ask for; they stay as they are.
#[test]
fn outputs_that_do_not_fit() {
    each_isa(|_| {
        let x = [1.0_f32; 2 * 4 * 6 * 5];
        let w = [1.0_f32; 8 * 4 * 9];
        let mut y = [7.0_f32; 8];
        let x = TensorRef::contiguous(&x, [2, 4, 6, 5]).unwrap();
        let w = TensorRef::contiguous(&w, [8, 4, 3, 3]).unwrap();
        macro_rules! y {
            () => {
                TensorMut::contiguous(&mut y, [2, 4, 1, 1]).unwrap()
            };
        }
        let config = Conv2dConfig::default();
        refused(conv2d::forward(x, w, None, &config, y!()), "shape of the output");
        refused(conv2d::backward_input(x, w, &config, y!()), "kernel along height");
        refused(conv2d::backward_weight(x, x, &config, y!()), "output's gradient");
        let config = Pool2dConfig::new([2, 2]);
        assert!(pool::avg_forward(x, &config, y!()).is_err());
        assert!(pool::avg_backward(x, &config, y!()).is_err());
        let mut indices = [0; 8];
        let to = TensorMut::contiguous(&mut indices, [2, 4, 1, 1]).unwrap();
        assert!(pool::max_forward(x, &config, y!(), to).is_err());
        assert!(pad::forward(x, &Pad2dConfig::default(), y!()).is_err());
        let config = ConvTranspose2dConfig::default();
        assert!(conv_transpose2d::forward(x, w, None, &config, y!()).is_err());
        let matrix = |rows, columns| MatRef::row_major(&[1.0_f32; 12], rows, columns).unwrap();
        let c = MatMut::row_major(&mut y, 2, 4).unwrap();
        refused(gemm(1.0, matrix(3, 4), matrix(4, 3), 0.0, c), "gemm");
        let c = MatMut::row_major(&mut y, 3, 2).unwrap();
        refused(gemm(1.0, matrix(3, 4), matrix(3, 4), 0.0, c), "gemm");
        assert_eq!(y, [7.0; 8]);
    });
}

#[test]
fn lengths_that_differ() {
    each_isa(|_| {
        let (x, mut y) = ([1.0_f32; 9], [7.0_f32; 8]);
        for f in [e::relu, e::sigmoid, e::tanh, e::gelu, e::silu, e::sqrt, e::exp, e::ln] {
            refused(f(&x, &mut y), "length of");
        }
        for f in [e::leaky_relu, e::scale, e::add_scalar, e::powf] {
            refused(f(&x, 1.0, &mut y), "length of");
        }
        for f in [e::add, e::sub, e::mul, e::div, e::relu_backward, e::gelu_backward] {
            refused(f(&[1.0; 8], &x, &mut y), "length of");
        }
        refused(e::axpy(1.0, &x, &mut y), "length of");
        for f in [reduce::sum_axis, reduce::mean_axis] {
            refused(f(&x, 2, 4, 1, &mut y), "length of");
            refused(f(&x, HUGE, HUGE, HUGE, &mut y), "fits in usize");
        }
        for f in [softmax::softmax, softmax::log_softmax] {
            refused(f(&x, 2, 4, 1, &mut y), "length of");
            refused(f(&x, HUGE, HUGE, HUGE, &mut y), "fits in usize");
        }
        refused(reduce::broadcast_axis(&x, HUGE, 4, HUGE, &mut y), "fits in usize");
        refused(e::copy_strided(&x, &[HUGE, HUGE], &[1, 1], 0, &mut y), "copy_strided");
        refused(e::copy_strided(&x, &[8], &[2], 0, &mut y), "copy_strided");
        refused(e::copy_strided(&x, &[8], &[1], usize::MAX, &mut y), "copy_strided");

        let layout = ChannelLayout { outer: HUGE, channels: HUGE, inner: 2 };
        let (mut mean, mut var) = ([7.0], [7.0]);
        assert!(norm::batch_stats(&x, layout, false, &mut mean, &mut var).is_err());
        let layout = ChannelLayout { outer: 3, channels: 2, inner: 2 };
        assert!(norm::batch_stats(&x, layout, false, &mut mean, &mut var).is_err());
        let (mean, var, gamma, eps, relu) = (&mean[..], &var[..], &[1.0][..], 1e-5, false);
        let norm = BatchNorm { layout, mean, var, gamma, eps, relu };
        assert!(norm::normalize(&x, &norm, &[0.0], &mut y).is_err());
        let (lr, momentum, weight_decay, decoupled) = (0.1, 0.9, 0.0, false);
        let (mut avg, mut squares) = ([7.0; 8], [7.0; 8]);
        let adam_config =
            Adam { lr, momentum, sqr_momentum: 0.9, eps, weight_decay, decoupled, step: 1 };
        refused(adam(&adam_config, &mut y, &x, &mut avg, &mut squares), "length of");
        let never = Adam { step: 0, ..adam_config };
        refused(adam(&never, &mut y, &[1.0; 8], &mut avg, &mut squares), "step");
        refused(
            sgd(&Sgd { lr, momentum, weight_decay, decoupled }, &mut y, &x, &mut avg),
            "length of",
        );
        assert_eq!((y, avg, squares), ([7.0; 8], [7.0; 8], [7.0; 8]));
    });
}

#[test]
fn labels_that_are_no_class() {
    each_isa(|_| {
        let x = MatRef::row_major(&[0.0_f32; 6], 2, 3).unwrap();
        let mut dx = [7.0; 6];
        for labels in [[0, 3], [u32::MAX, 0]] {
            let to = MatMut::row_major(&mut dx, 2, 3).unwrap();
            refused(
                cross_entropy(x, &labels, &CrossEntropy::default(), Some(to)),
                "a class below 3",
            );
        }
        let to = MatMut::row_major(&mut dx, 2, 3).unwrap();
        refused(cross_entropy(x, &[0], &CrossEntropy::default(), Some(to)), "length of labels");
        assert_eq!(dx, [7.0; 6]);
    });
}

/// Indices that point outside of an image, which the user may hand in.
#[test]
fn indices_outside_the_image() {
    each_isa(|_| {
        let (dy, indices) = ([1.0_f32; 4], [0, 3, 24, u32::MAX]);
        let mut dx = [0.0_f32; 24];
        let dy = TensorRef::contiguous(&dy, [1, 1, 2, 2]).unwrap();
        let indices = TensorRef::contiguous(&indices, [1, 1, 2, 2]).unwrap();
        let to = TensorMut::contiguous(&mut dx, [1, 1, 6, 4]).unwrap();
        assert!(pool::max_backward(dy, indices, to).is_err());
    });
}

#[test]
fn sizes_of_zero() {
    each_isa(|_| {
        let none: [f32; 0] = [];
        e::exp(&none, &mut []).unwrap();
        assert_eq!(reduce::sum(&none), 0.0);
        assert!(reduce::mean(&none).is_nan());
        let mut y = [7.0_f32; 6];
        reduce::sum_axis(&none, 2, 0, 3, &mut y).unwrap();
        assert_eq!(y, [0.0; 6]);
        refused(reduce::argmax_axis(&none, 2, 0, 3, &mut [0; 6]), "axis to search");
        // A product over nothing is 0, and beta still counts.
        let mut y = [7.0_f32; 6];
        let (a, b) =
            (MatRef::row_major(&none, 2, 0).unwrap(), MatRef::row_major(&none, 0, 3).unwrap());
        gemm(1.0, a, b, 2.0, MatMut::row_major(&mut y, 2, 3).unwrap()).unwrap();
        assert_eq!(y, [14.0; 6]);
        let x = MatRef::row_major(&none, 0, 3).unwrap();
        assert!(cross_entropy(x, &[], &CrossEntropy::default(), None).unwrap().is_nan());
    });
}
