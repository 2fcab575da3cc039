//! Arguments that cannot be: every kernel refuses them with an error that names what is wrong, on every
//! instruction set, and touches nothing. Sizes of zero, which can be, give what a sum of nothing is; and
//! so do steps and borders of any size that a convolution can have, or of which nothing can be seen.

mod common;

use common::{FORMATS, Format, each_isa, layout, noise, to};
use topedge_kernels::conv_transpose2d::{self, ConvTranspose2dConfig};
use topedge_kernels::conv2d::{self, Conv2dConfig, ConvMatrix, Epilogue, FusedConv2d};
use topedge_kernels::elementwise as e;
use topedge_kernels::gemm::gemm;
use topedge_kernels::norm::{self, BatchNorm, ChannelLayout};
use topedge_kernels::optim::{Adam, Sgd, adam, sgd};
use topedge_kernels::pad::{self, Pad2dConfig, PadMode};
use topedge_kernels::peak;
use topedge_kernels::pool::{self, Pool2dConfig};
use topedge_kernels::softmax::{self, CrossEntropy, cross_entropy};
use topedge_kernels::{MatMut, MatRef, Result, TensorMut, TensorRef, Winograd, reduce, reference};

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
        let mut db = [7.0; 4];
        let both = conv2d::backward_parameters(x, x, &config, y!(), &mut db);
        refused(both, "output's gradient");
        let to = TensorMut::contiguous(&mut y[..4], [4, 1, 1, 1]).unwrap();
        let grouped = Conv2dConfig { groups: 4, ..config };
        refused(conv2d::backward_parameters(x, x, &grouped, to, &mut db[..3]), "bias's gradient");
        assert_eq!(db, [7.0; 4]);
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

/// Logits that repeat may be of any number, and what a pass over them needs is not.
#[test]
fn more_logits_than_memory_holds() {
    each_isa(|_| {
        // In tiles of 16 samples and bytes, the first two are more than a number holds.
        for classes in [usize::MAX, 1 << 59, 1 << 51] {
            let logits = MatRef::new(&[0.0_f32], [1, classes], [0, 0]).unwrap();
            refused(cross_entropy(logits, &[0], &CrossEntropy::default(), None), "logits shape");
        }
    });
}

/// A packed convolution knows each of its places, and of these there are no more than it can count.
#[test]
fn images_too_large_to_predict() {
    let plain = Conv2dConfig::default();
    let new = |weight: [usize; 4], size, frame| {
        let weight = TensorRef::new(&[1.0_f32], weight, [0; 4]).unwrap();
        FusedConv2d::new(weight, size, &plain, &Epilogue::default(), frame)
    };
    let too_large = "at most 2^32 values in an image with its frame";
    for size in [[1 << 25, 1 << 24], [1 << 16, (1 << 16) + 1], [10_000_000; 2]] {
        refused(new([1, 1, 1, 1], size, [0, 0]), too_large);
        refused(new([1, 0, 1, 1], size, [0, 0]), too_large);
    }
    refused(new([1, 1, 1, 1], [1, 1], [1 << 15, 1 << 15]), too_large);
    refused(new([1 << 33, 1, 1, 1], [1, 1], [0, 0]), too_large);
    refused(new([1, 1 << 33, 1, 1], [1, 1], [0, 0]), too_large);

    // Kernels and outputs without values may be of any size.
    let far = 1 << 24;
    let conv = new([1, 0, far, far], [far, far], [0, 0]).unwrap();
    let mut y = [9.0_f32];
    conv.forward(&[], &mut y).unwrap();
    assert_eq!((y, conv.output_len()), ([0.0], 1));
    let conv = new([0, 0, 1, 1], [far, far], [0, 0]).unwrap();
    assert_eq!((conv.input_len(), conv.output_len()), (0, 0));
}

/// Operations of more rounds than a number can count.
#[test]
fn rounds_without_end() {
    each_isa(|_| {
        assert_eq!(peak::operations(usize::MAX), u64::MAX);
        assert_eq!(peak::operations(0), 0);
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

/// A memory format; where the flag is set, with huge strides along axes of one place.
type Layout = (Format, bool);

fn strides(shape: [usize; 4], (format, odd): Layout) -> [usize; 4] {
    let (strides, _) = layout(shape, format);
    let huge = [usize::MAX, 1 << 63, 3 << 61, usize::MAX / 3];
    // A stride of 1 is what says that images lie channels-last or batch-last.
    let stays = |axis: usize| !odd || shape[axis] != 1 || strides[axis] == 1;
    [0, 1, 2, 3].map(|axis| if stays(axis) { strides[axis] } else { huge[axis] })
}

fn read(data: &[f32], shape: [usize; 4], layout: Layout) -> TensorRef<'_, f32> {
    TensorRef::new(data, shape, strides(shape, layout)).unwrap()
}

fn write(data: &mut [f32], shape: [usize; 4], layout: Layout) -> TensorMut<'_, f32> {
    TensorMut::new(data, shape, strides(shape, layout)).unwrap()
}

fn indices([n, c, h, w]: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    (0..n * c * h * w).map(move |i| [i / w / h / c, i / w / h % c, i / w % h, i % w])
}

/// A contiguous tensor in another layout.
fn lay(from: &[f32], shape: [usize; 4], to: Layout) -> Vec<f32> {
    let mut data = vec![0.0; layout(shape, to.0).1.max(1)];
    let mut view = write(&mut data, shape, to);
    indices(shape).zip(from).for_each(|(at, &value)| view.set(at, value));
    data
}

/// A convolution and both of its gradients, in every memory format, by Winograd's method and without, are
/// what the naive loops say; if the convolution is not refused.
#[track_caller]
fn all_formats(input: [usize; 4], weight: [usize; 4], config: &Conv2dConfig) {
    let Ok(output) = conv2d::output_shape(input, weight, config) else { return };
    let dense = (Format::Contiguous, false);
    let [x, w, dy] = [(input, 1), (weight, 2), (output, 3)]
        .map(|(shape, seed)| to::<f32>(&noise(shape.iter().product(), seed)));
    let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
    {
        use reference::conv2d::{backward_input, backward_weight, forward};
        let (x, w, dy) =
            (read(&x, input, dense), read(&w, weight, dense), read(&dy, output, dense));
        forward(x, w, None, config, write(&mut y, output, dense)).unwrap();
        backward_input(dy, w, config, write(&mut dx, input, dense)).unwrap();
        backward_weight(x, dy, config, write(&mut dw, weight, dense)).unwrap();
    }
    let same = |got: &[f32], shape, layout, want: &[f32], what: &str| {
        let got = read(got, shape, layout);
        for (at, want) in indices(shape).zip(want) {
            let near = (got.get(at) - want).abs() < 1e-3;
            assert!(near, "{what} {at:?} of {input:?}, {weight:?}, {config:?}, {layout:?}");
        }
    };
    each_isa(|_| {
        for layout in FORMATS.into_iter().flat_map(|format| [(format, false), (format, true)]) {
            let (x_data, dy_data) = (lay(&x, input, layout), lay(&dy, output, layout));
            let (x, dy) = (read(&x_data, input, layout), read(&dy_data, output, layout));
            let w = read(&w, weight, dense);
            for winograd in [Winograd::Off, Winograd::Always] {
                let (mut got_y, mut got_dx) = (dy_data.clone(), x_data.clone());
                let mut got_dw = dw.clone();
                winograd.with(|| {
                    conv2d::forward(x, w, None, config, write(&mut got_y, output, layout)).unwrap();
                    let to = write(&mut got_dx, input, layout);
                    conv2d::backward_input(dy, w, config, to).unwrap();
                    let to = write(&mut got_dw, weight, dense);
                    conv2d::backward_weight(x, dy, config, to).unwrap();
                });
                same(&got_y, output, layout, &y, "output");
                same(&got_dx, input, layout, &dx, "input's gradient");
                same(&got_dw, weight, dense, &dw, "weight's gradient");
            }
        }
    });
}

/// Steps, borders and distances that are far larger than the image.
#[test]
fn convolutions_that_reach_far() {
    let plain = Conv2dConfig::default();
    for exponent in [6, 20, 40, 47, 61, 62] {
        let far = 1 << exponent;
        for (stride, padding, dilation) in [
            // The kernel steps over all of the image, or into it from the border.
            ([1, far], [0, 0], [1, 1]),
            ([far, 3], [0, 0], [1, 1]),
            ([far - 1, 1], [far / 2, 1], [1, 1]),
            ([1, far], [0, far - 1], [1, 1]),
            ([far, far], [far - 1, far], [1, 1]),
            // One tap is in the border before the image, and one on it or behind it.
            ([1, far], [0, far / 2], [1, far - 1]),
            ([1, far * 2], [1, far - 50], [1, far + 3]),
            ([far, 1], [far, 1], [far, 1]),
            ([1, 1], [1, 1], [far, far]),
        ] {
            let config = Conv2dConfig { stride, padding, dilation, ..plain };
            all_formats([1, 8, 1, 100], [1, 8, 1, 2], &config);
            all_formats([2, 3, 5, 4], [2, 3, 2, 1], &config);
            all_formats([17, 2, 1, 3], [5, 2, 1, 1], &config);
            all_formats([2, 4, 4, 6], [4, 2, 3, 3], &Conv2dConfig { groups: 2, ..config });
        }
    }
    // A single tap has no distance to another one, and a single place none to another one.
    let config = Conv2dConfig { stride: [usize::MAX / 2; 2], dilation: [usize::MAX; 2], ..plain };
    all_formats([2, 3, 5, 4], [2, 3, 1, 1], &config);
    all_formats([1, 1, 2, 2], [1, 1, 1, 1], &Conv2dConfig { stride: [3, usize::MAX / 3], ..plain });
}

/// Sizes whose padded image no memory holds.
#[test]
fn convolutions_that_reach_too_far() {
    let plain = Conv2dConfig::default();
    let refused = |input, weight, config: Conv2dConfig, what| {
        refused(conv2d::output_shape(input, weight, &config), what);
    };
    let wrapped = Conv2dConfig {
        stride: [1, 1 << 62],
        padding: [0, (1 << 61) - 50],
        dilation: [1, (1 << 61) + 100],
        groups: 1,
    };
    refused([1, 8, 1, 100], [1, 8, 1, 2], wrapped, "padded input shape");
    let high = (1usize << 59).div_ceil(9);
    let wrapped =
        Conv2dConfig { stride: [1 << 57, 2], padding: [0, 9], dilation: [high - 1, 17], groups: 1 };
    refused([1, 16, high, 1], [1, 16, 2, 2], wrapped, "input shape");
    refused([1, 1 << 30, 1, 1 << 21], [1, 1 << 30, 1, 1], plain, "input shape");
    refused([1, 1, 1 << 26, 1 << 26], [1, 1, 1 << 26, 1 << 26], plain, "input shape");
    let padding = [1 << 30, 1 << 30];
    refused([1, 1, 4, 4], [1, 1, 3, 3], Conv2dConfig { padding, ..plain }, "padded input shape");
    let config = ConvTranspose2dConfig { stride: [1 << 40, 1 << 40], ..Default::default() };
    let shape = conv_transpose2d::output_shape([1, 1, 2, 2], [1, 1, 3, 3], &config);
    assert!(shape.unwrap_err().to_string().contains("output shape"));
}

/// Views that repeat one number are of any size, and what is made of them is not.
#[test]
fn views_that_repeat() {
    let far = 1 << 24;
    each_isa(|_| {
        for winograd in [Winograd::Off, Winograd::Always] {
            winograd.with(|| {
                // Of a border of 2^24, only what sees the image counts.
                let (x, dy) = ([2.0_f32; 3], [1.0_f32]);
                let config = Conv2dConfig { padding: [0, far], ..Default::default() };
                for strides in [[3, 3, 3, 1], [1, 3, 3, 1], [3, 1, 3, 1]] {
                    let x = TensorRef::new(&x, [1, 1, 1, 3], strides).unwrap();
                    let repeated = strides.map(|stride| usize::from(stride == 1));
                    let dy_strides = [repeated[0], repeated[1], 0, 0];
                    let shape = [1, 1, 1, 2 * far + 2];
                    let dy = TensorRef::new(&dy, shape, dy_strides).unwrap();
                    let mut dw = [9.0_f32; 2];
                    let to = TensorMut::contiguous(&mut dw, [1, 1, 1, 2]).unwrap();
                    conv2d::backward_weight(x, dy, &config, to).unwrap();
                    assert_eq!(dw, [6.0; 2]);
                    let weight = TensorRef::new(&[3.0_f32], [1, 1, 1, 2], [0; 4]).unwrap();
                    let mut dx = [9.0_f32; 3];
                    let to = TensorMut::new(&mut dx, [1, 1, 1, 3], strides).unwrap();
                    conv2d::backward_input(dy, weight, &config, to).unwrap();
                    assert_eq!(dx, [6.0; 3]);
                }
                // And of an image of 2^45 places, what is seen.
                let (high, x) = (1 << 41, [1.0_f32; 16]);
                let config = Conv2dConfig {
                    stride: [high, 2],
                    padding: [0, 9],
                    dilation: [high - 1, 17],
                    groups: 1,
                };
                let ones = [1.0_f32; 64];
                let weight = TensorRef::contiguous(&ones, [1, 16, 2, 2]).unwrap();
                for strides in [[16, 1, 0, 16], [1, 1, 0, 1], [0; 4]] {
                    let x = TensorRef::new(&x, [1, 16, high, 1], strides).unwrap();
                    let mut y = [9.0_f32; 2];
                    let to = TensorMut::new(&mut y, [1, 1, 1, 1], [2, 1, 2, 1]).unwrap();
                    conv2d::forward(x, weight, None, &config, to).unwrap();
                    assert_eq!(y, [0.0, 9.0]);
                    let dy = TensorRef::new(&ones, [1, 1, 1, 1], [2, 1, 2, 1]).unwrap();
                    let mut dw = [9.0_f32; 64];
                    let to = TensorMut::contiguous(&mut dw, [1, 16, 2, 2]).unwrap();
                    conv2d::backward_weight(x, dy, &config, to).unwrap();
                    assert_eq!(dw, [0.0; 64]);
                }
            });
        }
    });
}

/// Where nothing is to be written, the sizes beside it do not matter: none of these may take its time, or
/// memory.
#[test]
fn nothing_of_much() {
    let (none, config): ([f32; 0], _) = ([], Conv2dConfig::default());
    let huge = [usize::MAX; 4];
    let read = |shape| TensorRef::new(&none, shape, huge).unwrap();
    let (far, wide) = (1 << 46, 1 << 23);
    each_isa(|_| {
        macro_rules! write {
            ($shape:expr) => {
                TensorMut::new(&mut [0.0_f32; 0], $shape, huge).unwrap()
            };
        }
        let c = MatMut::new(&mut [0.0_f32; 0], [usize::MAX, 0], [1, 1]).unwrap();
        let [a, b] =
            [[usize::MAX, 0], [0, 0]].map(|shape| MatRef::new(&none, shape, [1, 1]).unwrap());
        gemm(1.0, a, b, 0.0, c).unwrap();
        let c = MatMut::new(&mut [0.0_f32; 0], [0, 0], [1, 1]).unwrap();
        gemm(1.0, b, b, 0.0, c).unwrap();
        let c = MatMut::new(&mut [0.0_f64; 0], [0, usize::MAX], [1, 1]).unwrap();
        let a = MatRef::new(&[0.0_f64; 0], [0, 0], [1, 1]).unwrap();
        let b = MatRef::new(&[0.0_f64; 0], [0, usize::MAX], [1, 1]).unwrap();
        gemm(1.0, a, b, 0.0, c).unwrap();

        for winograd in [Winograd::Off, Winograd::Always] {
            winograd.with(|| {
                let weight = [1.0_f32; 9];
                let weight = TensorRef::contiguous(&weight, [1, 1, 3, 3]).unwrap();
                for (input, output) in [
                    ([0, 1, wide, wide], [0, 1, wide - 2, wide - 2]),
                    ([0, 1, 3, far], [0, 1, 1, far - 2]),
                ] {
                    let (x, dy) = (read(input), read(output));
                    conv2d::forward(x, weight, None, &config, write!(output)).unwrap();
                    conv2d::backward_input(dy, weight, &config, write!(input)).unwrap();
                    let mut dw = [9.0_f32; 9];
                    let to = TensorMut::contiguous(&mut dw, [1, 1, 3, 3]).unwrap();
                    conv2d::backward_weight(x, dy, &config, to).unwrap();
                    assert_eq!(dw, [0.0; 9]);
                    let mut db = [9.0_f32];
                    conv2d::backward_bias(dy, &mut db).unwrap();
                    assert_eq!(db, [0.0]);
                    let plain = ConvTranspose2dConfig::default();
                    let bias = Some(&[1.0_f32][..]);
                    conv_transpose2d::forward(dy, weight, bias, &plain, write!(input)).unwrap();
                    conv_transpose2d::backward_input(x, weight, &plain, write!(output)).unwrap();
                }
                // A kernel of any size that leads to no channels, or from none.
                for stride in [[1, 1], [2, 1], [far, far]] {
                    let config =
                        Conv2dConfig { stride, padding: [far / 2 + 1, 1], ..Default::default() };
                    let (input, mut places) = ([1, 1, 3, 3], [9.0_f32; 32]);
                    let weight = read([0, 1, far, 2]);
                    let output = conv2d::output_shape(input, weight.shape(), &config).unwrap();
                    let to = TensorMut::contiguous(&mut places, input).unwrap();
                    conv2d::backward_input(read(output), weight, &config, to).unwrap();
                    assert_eq!(places[..9], [0.0; 9]);
                    let (input, weight) = ([1, 0, 3, 3], read([1, 0, far, 2]));
                    let output = conv2d::output_shape(input, weight.shape(), &config).unwrap();
                    let to = TensorMut::contiguous(&mut places, output).unwrap();
                    conv2d::forward(read(input), weight, Some(&[2.0]), &config, to).unwrap();
                    assert!(places[..output[2] * output[3]].iter().all(|&y| y == 2.0));
                }
                // Many groups of no image.
                let (x, config) = (read([0, wide, 1, 1]), Conv2dConfig { groups: wide, ..config });
                let weight = TensorRef::new(&[1.0_f32], [wide, 1, 1, 1], [0; 4]).unwrap();
                conv2d::forward(x, weight, None, &config, write!([0, wide, 1, 1])).unwrap();
            });
        }
        let columns = MatMut::new(&mut [0.0_f32; 0], [far, 0], [1, 1]).unwrap();
        conv2d::im2col(read([0, far, 1, 1]), [1, 1], &config, columns).unwrap();
        let matrix = ConvMatrix::new([0, wide, wide], [1, 0, 1, 1], &config).unwrap();
        let m = MatMut::new(&mut [0.0_f32; 0], [wide * wide, 0], [1, 1]).unwrap();
        matrix.write(&none, m).unwrap();
        let columns = MatRef::new(&none, [far, 0], [1, 1]).unwrap();
        conv2d::col2im(columns, [1, 1], &config, write!([0, far, 1, 1])).unwrap();

        let pool = Pool2dConfig::new([1, 1]);
        let shape = [0, far, 2, 2];
        pool::avg_forward(read(shape), &pool, write!(shape)).unwrap();
        pool::avg_backward(read(shape), &pool, write!(shape)).unwrap();
        pool::adaptive_avg_forward(read([far, 1, 2, 0]), write!([far, 1, 0, 0])).unwrap();
        pool::adaptive_avg_backward(read([far, 1, 0, 0]), write!([far, 1, 2, 0])).unwrap();
        let indices: [u32; 0] = [];
        let from = TensorRef::new(&indices, shape, huge).unwrap();
        let to = TensorMut::new(&mut [0_u32; 0], shape, huge).unwrap();
        pool::max_forward(read(shape), &pool, write!(shape), to).unwrap();
        pool::max_backward(read(shape), from, write!(shape)).unwrap();
        let shape = [far, 1, 0, 2];
        let from = TensorRef::new(&indices, shape, huge).unwrap();
        pool::max_backward(read(shape), from, write!(shape)).unwrap();
        // Planes of nothing, on one side alone.
        let (mut dx, shape) = ([9.0_f32; 4], [1, 1, far, 0]);
        let to = TensorMut::contiguous(&mut dx, [1, 1, 2, 2]).unwrap();
        pool::adaptive_avg_backward(read(shape), to).unwrap();
        assert_eq!(dx, [0.0; 4]);
        dx = [9.0; 4];
        let to = TensorMut::contiguous(&mut dx, [1, 1, 2, 2]).unwrap();
        pool::max_backward(read(shape), TensorRef::new(&indices, shape, huge).unwrap(), to)
            .unwrap();
        assert_eq!(dx, [0.0; 4]);
        let one = TensorRef::contiguous(&[0_u32], [1; 4]).unwrap();
        let dy = TensorRef::contiguous(&[1.0_f32], [1; 4]).unwrap();
        refused(pool::max_backward(dy, one, write!(shape)), "a place in an image");
        let pad = Pad2dConfig::default();
        pad::forward(read([far, 0, 2, 2]), &pad, write!([far, 0, 2, 2])).unwrap();
        pad::backward(read([far, 0, 2, 2]), &pad, write!([far, 0, 2, 2])).unwrap();

        let layout = ChannelLayout { outer: far, channels: 3, inner: 0 };
        let (mut mean, mut var) = ([7.0_f32; 3], [7.0_f32; 3]);
        norm::batch_stats(&none, layout, false, &mut mean, &mut var).unwrap();
        assert!(mean.iter().chain(&var).all(|x| x.is_nan()));
        let (gamma, eps, relu) = (&[1.0; 3][..], 1e-5, false);
        let norm = BatchNorm { layout, mean: &[0.0; 3], var: &[1.0; 3], gamma, eps, relu };
        norm::normalize(&none, &norm, &[0.0; 3], &mut []).unwrap();
        for f in [norm::backward_train, norm::backward_eval] {
            f(&none, &norm, &mut [], &mut mean, &mut var).unwrap();
            assert_eq!((mean, var), ([0.0; 3], [0.0; 3]));
        }

        for f in [reduce::sum_axis, reduce::mean_axis] {
            f(&none, far, 2, 0, &mut []).unwrap();
            f(&none, 0, far, 2, &mut []).unwrap();
            f(&none, 2, far, 0, &mut []).unwrap();
        }
        reduce::broadcast_axis(&none, far, 2, 0, &mut []).unwrap();
        reduce::argmax_axis(&none, far, 2, 0, &mut []).unwrap();
        for f in [softmax::softmax, softmax::log_softmax] {
            f(&none, far, 2, 0, &mut []).unwrap();
            f(&none, far, 0, 2, &mut []).unwrap();
            f(&none, 0, far, 2, &mut []).unwrap();
        }
        e::copy_strided(&none, &[far, 0], &[1, 1], 0, &mut []).unwrap();
    });
    // A function of four numbers.
    for dilation in [2, 1 << 20, 1 << 48] {
        let config =
            Pool2dConfig { dilation: [dilation, 1], stride: [1, 1], ..Pool2dConfig::new([2, 2]) };
        let shape = pool::output_shape([1, 1, 1 << 49, 2], &config);
        assert_eq!(shape, Ok([1, 1, (1 << 49) - dilation, 1]));
    }
    refused(
        pool::output_shape([1 << 20, 1 << 20, 1 << 20, 1], &Pool2dConfig::new([1, 1])),
        "memory",
    );
}

/// The gradient of padding of 2^40 places is that of a few pixels.
#[test]
fn borders_that_repeat() {
    let (far, dy) = (1 << 40, [1.0_f32]);
    let dy = TensorRef::new(&dy, [1, 1, 1, far + 3], [0; 4]).unwrap();
    let config = Pad2dConfig { before: [0, far], ..Default::default() };
    let mut dx = [9.0_f32; 3];
    pad::backward(dy, &config, TensorMut::contiguous(&mut dx, [1, 1, 1, 3]).unwrap()).unwrap();
    assert_eq!(dx, [1.0; 3]);
}
