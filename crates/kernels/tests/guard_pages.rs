//! Every kernel, on every instruction set, at sizes around its edges, with every buffer directly before
//! a page that may not be touched, and then directly behind one: no byte beside a buffer is read or
//! written. Convolutions run that way by each of their paths in `src/conv2d/sweep.rs`, too.
//!
//! What goes wrong ends the process by a signal; with `--test-threads 1` the last name says where.

#![cfg(unix)]

mod common;
#[path = "common/guard.rs"]
mod guard;

use common::{FORMATS, Format, each_isa, layout, noise, to};
use guard::{Guarded, Side};
use topedge_kernels::conv_transpose2d::{self, ConvTranspose2dConfig};
use topedge_kernels::conv2d::{self, ChannelNorm, Conv2dConfig, ConvMatrix, Epilogue, FusedConv2d};
use topedge_kernels::distribution::distribution;
use topedge_kernels::elementwise::{self as e, copy_strided, scatter_strided};
use topedge_kernels::gemm::gemm;
use topedge_kernels::norm::{self, BatchNorm, ChannelLayout};
use topedge_kernels::optim::{Adam, Sgd, adam, sgd};
use topedge_kernels::pad::{self, Pad2dConfig, PadMode};
use topedge_kernels::pool::{self, Pool2dConfig};
use topedge_kernels::reduce::{self, argmax_axis, broadcast_axis, mean_axis, sum_axis};
use topedge_kernels::softmax::{self, CrossEntropy, cross_entropy};
use topedge_kernels::{Element, MatMut, MatRef, TensorMut, TensorRef, Winograd};

/// Makes buffers on one side of a forbidden page.
#[derive(Clone, Copy)]
struct Room(Side);

impl Room {
    fn numbers<T: Element>(self, len: usize) -> Guarded<T> {
        Guarded::new(&to(&noise(len, len as u32 + 1)), self.0)
    }

    fn labels(self, len: usize, classes: usize) -> Guarded<u32> {
        let labels: Vec<u32> = (0..len).map(|i| (i * 7 % classes.max(1)) as u32).collect();
        Guarded::new(&labels, self.0)
    }

    /// Numbers of a tensor, not one more than its last, and its strides.
    fn tensor<T: Element>(self, shape: [usize; 4], format: Format) -> (Guarded<T>, [usize; 4]) {
        let strides = layout(shape, format).0;
        let last: usize = strides.iter().zip(shape).map(|(s, size)| s * size.max(1) - s).sum();
        (self.numbers(if shape.contains(&0) { 0 } else { last + 1 }), strides)
    }
}

/// Runs one of these on each instruction set and in double precision, on both sides.
macro_rules! everywhere {
    ($check:ident) => {
        for side in [Side::After, Side::Before] {
            each_isa(|_| $check::<f32>(Room(side)));
            $check::<f64>(Room(side));
        }
    };
}

/// Lengths up to some vectors, and around those of jobs.
fn lengths() -> impl Iterator<Item = usize> {
    (0..70).chain([100, 127, 128, 129, 8191, 8192, 8193, 16_385])
}

fn each_number<T: Element>(room: Room) {
    let half = T::from_f64(0.5);
    for len in lengths() {
        let (a, b, mut y) = (room.numbers::<T>(len), room.numbers(len), room.numbers(len));
        for f in [e::relu, e::sigmoid, e::tanh, e::gelu, e::silu, e::sqrt, e::exp, e::ln] {
            f(&a, &mut y).unwrap();
        }
        for f in [
            e::relu_backward,
            e::sigmoid_backward,
            e::tanh_backward,
            e::gelu_backward,
            e::silu_backward,
            e::add,
            e::sub,
            e::mul,
            e::div,
        ] {
            f(&a, &b, &mut y).unwrap();
        }
        for f in [e::leaky_relu, e::scale, e::add_scalar, e::powf] {
            f(&a, half, &mut y).unwrap();
        }
        e::powf(&a, T::from_f64(2.0), &mut y).unwrap();
        e::leaky_relu_backward(&a, half, &b, &mut y).unwrap();
        e::add_assign(&mut y, &a).unwrap();
        e::axpy(half, &a, &mut y).unwrap();
    }
}

#[test]
fn elementwise() {
    everywhere!(each_number);
}

fn updates<T: Element>(room: Room) {
    let [lr, momentum] = [0.1, 0.9].map(T::from_f64);
    for len in lengths() {
        let (mut p, g) = (room.numbers::<T>(len), room.numbers(len));
        let (mut avg, mut squares) = (room.numbers(len), room.numbers(len));
        for decoupled in [false, true] {
            let (weight_decay, eps, sqr_momentum) = (lr, lr, momentum);
            let config = Adam { lr, momentum, sqr_momentum, eps, weight_decay, decoupled, step: 1 };
            adam(&config, &mut p, &g, &mut avg, &mut squares).unwrap();
            sgd(&Sgd { lr, momentum, weight_decay, decoupled }, &mut p, &g, &mut avg).unwrap();
        }
    }
}

#[test]
fn optimisers() {
    everywhere!(updates);
}

fn over_axes<T: Element>(room: Room) {
    for len in lengths() {
        let x = room.numbers::<T>(len);
        reduce::sum(&x);
        reduce::mean(&x);
        reduce::sum_squares(&x);
    }
    for outer in [0, 1, 2, 5] {
        for n in [0, 1, 2, 3, 9, 17, 70] {
            for inner in [0, 1, 2, 7, 8, 9, 15, 16, 17, 33, 50] {
                let (x, mut y) =
                    (room.numbers::<T>(outer * n * inner), room.numbers(outer * inner));
                sum_axis(&x, outer, n, inner, &mut y).unwrap();
                mean_axis(&x, outer, n, inner, &mut y).unwrap();
                let mut indices = room.labels(outer * inner, 1);
                // There is no largest of nothing.
                assert_eq!(
                    argmax_axis(&x, outer, n, inner, &mut indices).is_ok(),
                    n > 0 || y.is_empty()
                );
                let (mut all, dy) = (room.numbers(x.len()), room.numbers(x.len()));
                broadcast_axis(&y, outer, n, inner, &mut all).unwrap();
                softmax::softmax(&x, outer, n, inner, &mut all).unwrap();
                softmax::log_softmax(&x, outer, n, inner, &mut all).unwrap();
                softmax::softmax_backward(&x, &dy, outer, n, inner, &mut all).unwrap();
                softmax::log_softmax_backward(&x, &dy, outer, n, inner, &mut all).unwrap();
            }
        }
    }
}

#[test]
fn reductions_and_softmax() {
    everywhere!(over_axes);
}

fn losses<T: Element>(room: Room) {
    for samples in [0, 1, 2, 7, 8, 9, 15, 16, 17, 33, 40] {
        for classes in [1, 2, 3, 8, 10, 17] {
            let labels = room.labels(samples, classes);
            let weights = room.numbers::<T>(classes);
            for strides in [[classes, 1], [1, samples.max(1)]] {
                let x = room.numbers::<T>(samples * classes);
                let mut dx = room.numbers::<T>(samples * classes);
                for class_weights in [None, Some(&weights[..])] {
                    let config = CrossEntropy { class_weights, ..Default::default() };
                    let x = MatRef::new(&x, [samples, classes], strides).unwrap();
                    let dx = MatMut::new(&mut dx, [samples, classes], strides).unwrap();
                    cross_entropy(x, &labels, &config, Some(dx)).unwrap();
                    cross_entropy(x, &labels, &config, None).unwrap();
                }
            }
        }
    }
}

#[test]
fn losses_of_labels() {
    everywhere!(losses);
}

fn norms<T: Element>(room: Room) {
    for outer in [1, 2, 3, 17] {
        for channels in [0, 1, 2, 7, 8, 9, 16, 17, 33] {
            for inner in [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 49] {
                let layout = ChannelLayout { outer, channels, inner };
                let of_channels = || room.numbers::<T>(channels);
                let (mut mean, mut var, gamma, beta) =
                    (of_channels(), of_channels(), of_channels(), of_channels());
                let (mut dgamma, mut dbeta) = (of_channels(), of_channels());
                let len = outer * channels * inner;
                let (x, mut y) = (room.numbers::<T>(len), room.numbers(len));
                for relu in [false, true] {
                    norm::batch_stats(&x, layout, relu, &mut mean, &mut var).unwrap();
                    let (mean, var, gamma, eps) = (&mean[..], &var[..], &gamma[..], T::ONE);
                    let norm = BatchNorm { layout, mean, var, gamma, eps, relu };
                    norm::normalize(&x, &norm, &beta, &mut y).unwrap();
                    norm::backward_train(&x, &norm, &mut y, &mut dgamma, &mut dbeta).unwrap();
                    norm::backward_eval(&x, &norm, &mut y, &mut dgamma, &mut dbeta).unwrap();
                }
            }
        }
    }
}

#[test]
fn normalisation() {
    everywhere!(norms);
}

fn copies<T: Element>(room: Room) {
    for [a, b, c] in [[1, 1, 1], [2, 3, 5], [8, 9, 17], [16, 15, 33], [40, 7, 1], [0, 4, 4]] {
        let (x, mut y) = (room.numbers::<T>(a * b * c), room.numbers(a * b * c));
        let all =
            [([a, b, c], [b * c, c, 1]), ([c, a, b], [1, b * c, c]), ([b, c, a], [c, 1, b * c])];
        for (shape, strides) in all {
            copy_strided(&x, &shape, &strides, 0, &mut y).unwrap();
            scatter_strided(&x, &mut y, &shape, &strides, 0).unwrap();
        }
    }
}

#[test]
fn strided_copies() {
    everywhere!(copies);
}

fn products<T: Element>(room: Room) {
    for m in [0, 1, 2, 3, 4, 6, 7, 8, 9, 13, 17] {
        for n in [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49] {
            for k in [0, 1, 2, 5, 8, 17, 64] {
                let layouts = |rows: usize, columns: usize| {
                    [[columns.max(1), 1], [1, rows.max(1)], [2 * columns + 1, 2]]
                };
                for i in 0..3 {
                    let len = |[rows, columns]: [usize; 2], [r, c]: [usize; 2]| match rows * columns
                    {
                        0 => 0,
                        _ => (rows - 1) * r + (columns - 1) * c + 1,
                    };
                    let (of_a, of_b, of_c) =
                        (layouts(m, k)[i], layouts(k, n)[(i + m) % 3], layouts(m, n)[(i + n) % 3]);
                    let a = room.numbers::<T>(len([m, k], of_a));
                    let b = room.numbers::<T>(len([k, n], of_b));
                    let mut c = room.numbers::<T>(len([m, n], of_c));
                    let a = MatRef::new(&a, [m, k], of_a).unwrap();
                    let b = MatRef::new(&b, [k, n], of_b).unwrap();
                    let c = MatMut::new(&mut c, [m, n], of_c).unwrap();
                    gemm(T::ONE, a, b, if i == 0 { T::ZERO } else { T::ONE }, c).unwrap();
                }
            }
        }
    }
}

#[test]
fn matrix_products() {
    everywhere!(products);
}

/// Some sizes of images, with a kernel, its stride and its padding.
const WINDOWS: [([usize; 4], [usize; 2], usize, usize); 9] = [
    ([1, 1, 1, 1], [1, 1], 1, 0),
    ([2, 3, 5, 7], [3, 2], 1, 1),
    ([17, 4, 4, 4], [3, 3], 1, 1),
    ([7, 8, 9, 9], [3, 3], 2, 1),
    ([16, 9, 3, 6], [2, 2], 2, 0),
    ([33, 2, 5, 1], [5, 1], 1, 2),
    ([3, 17, 8, 15], [3, 3], 1, 1),
    ([1, 33, 7, 17], [3, 4], 3, 1),
    ([2, 6, 16, 33], [1, 1], 1, 0),
];

fn pools<T: Element>(room: Room) {
    for (input, kernel, stride, padding) in WINDOWS {
        for format in FORMATS {
            // Padding may be half a window at most.
            let padding = kernel.map(|size| padding.min(size / 2));
            let config = Pool2dConfig { stride: [stride; 2], padding, ..Pool2dConfig::new(kernel) };
            let output = pool::output_shape(input, &config).unwrap();
            let ((x, xs), (mut y, ys)) =
                (room.tensor::<T>(input, format), room.tensor::<T>(output, format));
            let (mut dx, dy) =
                (room.tensor::<T>(input, format).0, room.tensor::<T>(output, format).0);
            let mut indices = room.labels(y.len(), 1);
            let x = TensorRef::new(&x, input, xs).unwrap();
            let dy = TensorRef::new(&dy, output, ys).unwrap();
            macro_rules! to {
                (y) => {
                    TensorMut::new(&mut y, output, ys).unwrap()
                };
                (dx) => {
                    TensorMut::new(&mut dx, input, xs).unwrap()
                };
                (indices) => {
                    TensorMut::new(&mut indices, output, ys).unwrap()
                };
            }
            pool::avg_forward(x, &config, to!(y)).unwrap();
            pool::avg_backward(dy, &config, to!(dx)).unwrap();
            pool::adaptive_avg_forward(x, to!(y)).unwrap();
            pool::adaptive_avg_backward(dy, to!(dx)).unwrap();
            pool::max_forward(x, &config, to!(y), to!(indices)).unwrap();
            let seen = TensorRef::new(&indices, output, ys).unwrap();
            pool::max_backward(dy, seen, to!(dx)).unwrap();
            pool::adaptive_max_forward(x, to!(y), to!(indices)).unwrap();
        }
    }
}

#[test]
fn pooling() {
    everywhere!(pools);
}

fn frames<T: Element>(room: Room) {
    for (input, ..) in WINDOWS {
        for format in FORMATS {
            for mode in [PadMode::Zeros, PadMode::Reflect, PadMode::Replicate, PadMode::Circular] {
                let width = usize::from(input[2].min(input[3]) > 1);
                let config = Pad2dConfig { before: [width; 2], after: [width, 0], mode };
                let output = pad::output_shape(input, &config).unwrap();
                let ((x, xs), (mut y, ys)) =
                    (room.tensor::<T>(input, format), room.tensor::<T>(output, format));
                let (mut dx, dy) =
                    (room.tensor::<T>(input, format).0, room.tensor::<T>(output, format).0);
                let x = TensorRef::new(&x, input, xs).unwrap();
                pad::forward(x, &config, TensorMut::new(&mut y, output, ys).unwrap()).unwrap();
                let dy = TensorRef::new(&dy, output, ys).unwrap();
                pad::backward(dy, &config, TensorMut::new(&mut dx, input, xs).unwrap()).unwrap();
            }
        }
    }
}

#[test]
fn padding() {
    everywhere!(frames);
}

/// Forward and gradients of a convolution or a transposed one, of any output shape.
macro_rules! convolve {
    ($module:ident, $room:expr, $input:expr, $weight:expr, $config:expr, $format:expr) => {
        let (room, input, weight, format): (Room, _, _, _) = ($room, $input, $weight, $format);
        let output = $module::output_shape(input, weight, $config).unwrap();
        let ((x, xs), (dy, ys)) =
            (room.tensor::<T>(input, format), room.tensor::<T>(output, format));
        let (mut dx, mut y) =
            (room.tensor::<T>(input, format).0, room.tensor::<T>(output, format).0);
        let (w, ws) = room.tensor::<T>(weight, Format::Contiguous);
        let mut dw = room.tensor::<T>(weight, Format::Contiguous).0;
        let b = room.numbers::<T>(output[1]);
        let x = TensorRef::new(&x, input, xs).unwrap();
        let w = TensorRef::new(&w, weight, ws).unwrap();
        let dy = TensorRef::new(&dy, output, ys).unwrap();
        for winograd in [Winograd::Off, Winograd::Always] {
            winograd.with(|| {
                let y = TensorMut::new(&mut y, output, ys).unwrap();
                $module::forward(x, w, Some(&b), $config, y).unwrap();
                let dx = TensorMut::new(&mut dx, input, xs).unwrap();
                $module::backward_input(dy, w, $config, dx).unwrap();
            });
        }
        let dw = TensorMut::new(&mut dw, weight, ws).unwrap();
        $module::backward_weight(x, dy, $config, dw).unwrap();
        let mut db = room.numbers::<T>(output[1]);
        conv2d::backward_bias(dy, &mut db).unwrap();
    };
}

fn parameters<T: Element>(
    room: Room,
    input: [usize; 4],
    weight: [usize; 4],
    config: &Conv2dConfig,
    format: Format,
) {
    let output = conv2d::output_shape(input, weight, config).unwrap();
    let ((x, xs), (dy, ys)) = (room.tensor::<T>(input, format), room.tensor::<T>(output, format));
    let (mut dw, ws) = room.tensor::<T>(weight, Format::Contiguous);
    let mut db = room.numbers::<T>(output[1]);
    let x = TensorRef::new(&x, input, xs).unwrap();
    let dy = TensorRef::new(&dy, output, ys).unwrap();
    let dw = TensorMut::new(&mut dw, weight, ws).unwrap();
    conv2d::backward_parameters(x, dy, config, dw, &mut db).unwrap();
}

fn convolutions<T: Element>(room: Room) {
    for (input, kernel, stride, padding) in WINDOWS {
        for filters in [1, 5, 8, 16, 17, 48, 49] {
            for format in FORMATS {
                let (stride, padding) = ([stride; 2], [padding; 2]);
                let [height, width] = kernel;
                let weight = [filters, input[1], height, width];
                let config = Conv2dConfig { stride, padding, ..Default::default() };
                convolve!(conv2d, room, input, weight, &config, format);
                parameters::<T>(room, input, weight, &config, format);
                let weight = [input[1], filters, height, width];
                let config = ConvTranspose2dConfig { stride, ..Default::default() };
                convolve!(conv_transpose2d, room, input, weight, &config, format);
            }
        }
    }
}

#[test]
fn convolution() {
    everywhere!(convolutions);
}

fn matrices<T: Element>(room: Room) {
    for (input, kernel, stride, padding) in WINDOWS {
        let [batch, channels, height, width] = input;
        let weight = [3, channels, kernel[0], kernel[1]];
        let (stride, padding) = ([stride; 2], [padding; 2]);
        let config = Conv2dConfig { stride, padding, ..Default::default() };
        let output = conv2d::output_shape(input, weight, &config).unwrap();
        let shape = [channels * kernel[0] * kernel[1], batch * output[2] * output[3]];
        for format in FORMATS {
            let (mut x, xs) = room.tensor::<T>(input, format);
            let mut columns = room.numbers::<T>(shape[0] * shape[1]);
            let view = MatMut::row_major(&mut columns, shape[0], shape[1]).unwrap();
            conv2d::im2col(TensorRef::new(&x, input, xs).unwrap(), kernel, &config, view).unwrap();
            let view = MatRef::row_major(&columns, shape[0], shape[1]).unwrap();
            conv2d::col2im(view, kernel, &config, TensorMut::new(&mut x, input, xs).unwrap())
                .unwrap();
        }
        let matrix = ConvMatrix::new([channels, height, width], weight, &config).unwrap();
        let weight = room.numbers::<T>(weight.iter().product());
        let mut m = room.numbers::<T>(matrix.rows() * matrix.columns());
        let view = MatMut::row_major(&mut m, matrix.rows(), matrix.columns()).unwrap();
        matrix.write(&weight, view).unwrap();
    }
}

#[test]
fn convolution_as_a_matrix() {
    everywhere!(matrices);
}

/// The kernels that there are in `f32` alone.
#[test]
fn inference_and_distribution() {
    for side in [Side::After, Side::Before] {
        let room = Room(side);
        each_isa(|_| {
            for len in lengths() {
                distribution(&room.numbers(len), true);
            }
            for ([_, c, h, w], kernel, stride, padding) in WINDOWS {
                for filters in (1..20).chain([31, 32, 33, 48, 64, 65]) {
                    let shape = [filters, c, kernel[0], kernel[1]];
                    let (weight, strides) = room.tensor(shape, Format::Contiguous);
                    let of_filters = room.numbers(filters);
                    let (stride, padding) = ([stride; 2], [padding; 2]);
                    let config = Conv2dConfig { stride, padding, ..Default::default() };
                    let [mean, scale, shift] = [&of_filters[..]; 3];
                    let norm = Some(ChannelNorm { mean, scale, shift });
                    let bias = Some(&of_filters[..]);
                    let epilogue = Epilogue { bias, norm, relu_first: true, relu_last: true };
                    let weight = TensorRef::new(&weight, shape, strides).unwrap();
                    let fused =
                        FusedConv2d::new(weight, [h, w], &config, &epilogue, [1, 0]).unwrap();
                    let (x, mut y) =
                        (room.numbers(fused.input_len()), room.numbers(fused.output_len()));
                    fused.forward(&x, &mut y).unwrap();
                }
            }
        });
    }
}

/// Names of the public functions over elements, from the source.
fn kernels() -> Vec<String> {
    let mut names = vec![];
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("reference") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let functions = text.lines().filter_map(|line| line.trim().strip_prefix("pub fn "));
                let generic = functions.filter_map(|line| line.split_once("<T: Element>"));
                names.extend(generic.map(|(name, _)| name.to_string()));
            }
        }
    }
    names
}

#[test]
fn every_kernel_is_in_this_file() {
    let (here, kernels) = (include_str!("guard_pages.rs"), kernels());
    assert!(kernels.len() > 50, "{kernels:?}");
    for name in kernels {
        let called =
            here.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
        assert!(called, "{name} never runs beside a guard page");
    }
}
