//! Transposed convolution and its gradients, on every instruction set and in every memory format,
//! against the naive loops. Data are small integers: all sums are exact, so results must agree to the
//! bit.

mod common;

use common::{assert_thread_independent, each_isa, noise, to};
use proptest::prelude::*;
use topedge_kernels::conv_transpose2d::{self, ConvTranspose2dConfig, output_shape};
use topedge_kernels::{Element, TensorMut, TensorRef, conv2d, reference};

/// NCHW, channels-last and batch-last, by number.
fn strides([n, c, h, w]: [usize; 4], format: usize) -> [usize; 4] {
    match format {
        0 => [c * h * w, h * w, w, 1],
        1 => [h * w * c, 1, w * c, c],
        _ => [1, h * w * n, w * n, n],
    }
    .map(|stride| stride.max(1))
}

fn integers<T: Element>(shape: [usize; 4], seed: u32) -> Vec<T> {
    let values = noise(shape.iter().product(), seed);
    to(&values.iter().map(|x| (2.0 * x).round()).collect::<Vec<_>>())
}

fn check<T: Element>(
    input: [usize; 4],
    weight: [usize; 4],
    config: &ConvTranspose2dConfig,
    formats: [usize; 2],
) {
    let Ok(output) = output_shape(input, weight, config) else { return };
    let (xs, ys) = (strides(input, formats[0]), strides(output, formats[1]));
    let (x, dy) = (integers::<T>(input, 1), integers::<T>(output, 2));
    let (w, bias) = (integers::<T>(weight, 3), integers::<T>([1, 1, 1, output[1]], 4));
    let ws = strides(weight, 0);
    let outputs = |naive: bool| {
        let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
        let x = TensorRef::new(&x, input, xs).unwrap();
        let dy = TensorRef::new(&dy, output, ys).unwrap();
        let w = TensorRef::new(&w, weight, ws).unwrap();
        let to = TensorMut::new(&mut y, output, ys).unwrap();
        let to_x = TensorMut::new(&mut dx, input, xs).unwrap();
        let to_w = TensorMut::new(&mut dw, weight, ws).unwrap();
        let bias = Some(&bias[..]);
        if naive {
            use reference::conv_transpose2d as naive;
            naive::forward(x, w, bias, config, to).unwrap();
            naive::backward_input(dy, w, config, to_x).unwrap();
            naive::backward_weight(x, dy, config, to_w).unwrap();
        } else {
            conv_transpose2d::forward(x, w, bias, config, to).unwrap();
            conv_transpose2d::backward_input(dy, w, config, to_x).unwrap();
            conv_transpose2d::backward_weight(x, dy, config, to_w).unwrap();
        }
        [y, dx, dw]
    };
    let expected = outputs(true);
    each_isa(|isa| {
        for ((got, expected), what) in outputs(false).iter().zip(&expected).zip(["y", "dx", "dw"]) {
            let context = format!("{input:?}, {weight:?}, {config:?}, formats {formats:?}");
            assert!(got == expected, "{what} on {}: {context}", isa.name());
        }
    });
}

#[test]
fn every_format_at_every_batch() {
    let config = ConvTranspose2dConfig {
        stride: [2, 3],
        padding: [1, 0],
        output_padding: [1, 2],
        ..Default::default()
    };
    for batch in [0, 1, 2, 7, 16, 17, 33, 65] {
        for formats in [[0, 0], [1, 1], [2, 2], [0, 2], [2, 1]] {
            check::<f32>([batch, 6, 4, 5], [6, 9, 3, 2], &config, formats);
            check::<f64>([batch, 2, 4, 5], [2, 3, 3, 2], &config, formats);
        }
    }
    check::<f32>([2, 0, 4, 5], [0, 3, 3, 2], &config, [0, 0]);
    check::<f32>([2, 3, 4, 5], [3, 0, 3, 2], &config, [0, 0]);
}

fn axis() -> impl Strategy<Value = [usize; 6]> {
    // size, kernel, stride, padding, output padding, dilation
    (1usize..7, 1usize..5, 1usize..4, 0usize..4, 0usize..3, 1usize..4)
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e.min(c - 1), f])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_geometry(
        batch in prop_oneof![1usize..6, 14usize..40],
        channels in (1usize..4, 1usize..5, 1usize..9),
        height in axis(),
        width in axis(),
        formats in prop::array::uniform2(0usize..3),
    ) {
        let (groups, inputs, outputs) = channels;
        let pair = |i: usize| [height[i], width[i]];
        let config = ConvTranspose2dConfig {
            stride: pair(2),
            padding: pair(3),
            output_padding: pair(4),
            dilation: pair(5),
            groups,
        };
        let input = [batch, groups * inputs, height[0], width[0]];
        let weight = [groups * inputs, outputs, height[1], width[1]];
        check::<f32>(input, weight, &config, formats);
    }

    /// `<conv2d(x), y> == <x, conv_transpose2d(y)>`.
    #[test]
    fn it_is_the_adjoint_of_the_convolution(height in axis(), width in axis(), groups in 1usize..3) {
        let pair = |i: usize| [height[i], width[i]];
        let (stride, padding, dilation) = (pair(2), pair(3), pair(5));
        let config = conv2d::Conv2dConfig { stride, padding, dilation, groups };
        let input = [2, 2 * groups, height[0], width[0]];
        let weight = [3 * groups, 2, height[1], width[1]];
        let Ok(output) = conv2d::output_shape(input, weight, &config) else { return Ok(()) };
        let mut back = ConvTranspose2dConfig {
            stride, padding, dilation, groups, output_padding: [0, 0],
        };
        for axis in 0..2 {
            let covered = input[2 + axis] + 2 * padding[axis]
                - dilation[axis] * (weight[2 + axis] - 1) - 1;
            back.output_padding[axis] = covered % stride[axis];
        }
        prop_assert_eq!(output_shape(output, weight, &back).unwrap(), input);
        let (x, y) = (integers::<f64>(input, 1), integers::<f64>(output, 2));
        let w = integers::<f64>(weight, 3);
        let w = TensorRef::contiguous(&w, weight).unwrap();
        let (mut forth, mut back_again) = (y.clone(), x.clone());
        let to = TensorMut::contiguous(&mut forth, output).unwrap();
        conv2d::forward(TensorRef::contiguous(&x, input).unwrap(), w, None, &config, to).unwrap();
        let to = TensorMut::contiguous(&mut back_again, input).unwrap();
        let from = TensorRef::contiguous(&y, output).unwrap();
        conv_transpose2d::forward(from, w, None, &back, to).unwrap();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        prop_assert_eq!(dot(&forth, &y), dot(&x, &back_again));
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let (input, weight) = ([66, 12, 8, 7], [12, 6, 3, 3]);
    let config = ConvTranspose2dConfig {
        stride: [2, 2],
        padding: [1, 1],
        output_padding: [1, 1],
        ..Default::default()
    };
    let output = output_shape(input, weight, &config).unwrap();
    for format in 0..3 {
        let (xs, ys) = (strides(input, format), strides(output, format));
        let x: Vec<f32> = to(&noise(input.iter().product(), 1));
        let w: Vec<f32> = to(&noise(weight.iter().product(), 2));
        assert_thread_independent(|| {
            let mut y = vec![0.0; output.iter().product()];
            let to = TensorMut::new(&mut y, output, ys).unwrap();
            let x = TensorRef::new(&x, input, xs).unwrap();
            let w = TensorRef::contiguous(&w, weight).unwrap();
            conv_transpose2d::forward(x, w, Some(&[0.1; 6]), &config, to).unwrap();
            y
        });
    }
}

#[test]
fn wrong_shapes_are_refused() {
    let (x, mut y) = ([0.0f32; 8], [0.0f32; 18]);
    let config = ConvTranspose2dConfig::default();
    let x = TensorRef::contiguous(&x, [1, 2, 2, 2]).unwrap();
    let w = TensorRef::contiguous(&[0.0f32; 8], [2, 1, 2, 2]).unwrap();
    let mut forward = |shape, bias: Option<&[f32]>| {
        let y = TensorMut::contiguous(&mut y, shape).unwrap();
        conv_transpose2d::forward(x, w, bias, &config, y).unwrap_err().to_string()
    };
    assert_eq!(
        forward([1, 2, 3, 3], None),
        "conv_transpose2d: shape of the output: expected [1, 1, 3, 3], got [1, 2, 3, 3]"
    );
    let error = forward([1, 1, 3, 3], Some(&[1.0, 2.0]));
    assert_eq!(error, "conv_transpose2d: length of bias: expected 1, got 2");
}
