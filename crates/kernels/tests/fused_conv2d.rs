//! The convolution of inference, on every instruction set, against the naive loops. Data are small
//! integers: all sums are exact, so results must agree to the bit.

mod common;

use common::each_isa;
use proptest::prelude::*;
use topedge_kernels::conv2d::{ChannelNorm, Conv2dConfig, Epilogue, FusedConv2d, output_shape};
use topedge_kernels::{TensorMut, TensorRef, reference};

fn integers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((state >> 29) as i8 - 4)
        })
        .collect()
}

/// `[channels][height][width]` inside a frame, as `[height][width][channels]`; `fill` is the frame.
fn framed(image: &[f32], [c, h, w]: [usize; 3], [top, left]: [usize; 2], fill: f32) -> Vec<f32> {
    let row = w + 2 * left;
    let mut to = vec![fill; (h + 2 * top) * row * c];
    for channel in 0..c {
        for i in 0..h {
            for j in 0..w {
                let value = image[(channel * h + i) * w + j];
                to[((i + top) * row + j + left) * c + channel] = value;
            }
        }
    }
    to
}

#[derive(Debug, Clone)]
struct Case {
    /// `[channels, height, width]`
    image: [usize; 3],
    filters: usize,
    kernel: [usize; 2],
    config: Conv2dConfig,
    frame: [usize; 2],
    bias: bool,
    norm: bool,
    relu: [bool; 2],
}

fn check(case: &Case) {
    let Case { image: [c, h, w], filters, kernel, config, frame, bias, norm, relu } = case.clone();
    let (input, shape) = ([1, c, h, w], [filters, c, kernel[0], kernel[1]]);
    let Ok(output) = output_shape(input, shape, &config) else {
        return;
    };
    let x = integers(input.iter().product(), 1);
    let weight = integers(shape.iter().product(), 2);
    let [b, mean, scale, shift] = [3, 4, 5, 6].map(|seed| integers(filters, seed));
    let mut expected = vec![0.0; output.iter().product()];
    reference::conv2d::forward(
        TensorRef::contiguous(&x, input).unwrap(),
        TensorRef::contiguous(&weight, shape).unwrap(),
        bias.then_some(&b[..]),
        &config,
        TensorMut::contiguous(&mut expected, output).unwrap(),
    )
    .unwrap();
    let places = output[2] * output[3];
    for (i, y) in expected.iter_mut().enumerate() {
        let k = i / places;
        *y = if relu[0] { y.max(0.0) } else { *y };
        *y = if norm { (*y - mean[k]) * scale[k] + shift[k] } else { *y };
        *y = if relu[1] { y.max(0.0) } else { *y };
    }
    let expected = framed(&expected, [filters, output[2], output[3]], frame, 77.0);

    let epilogue = Epilogue {
        bias: bias.then_some(&b[..]),
        relu_first: relu[0],
        norm: norm.then_some(ChannelNorm { mean: &mean, scale: &scale, shift: &shift }),
        relu_last: relu[1],
    };
    let view = TensorRef::contiguous(&weight, shape).unwrap();
    let conv = FusedConv2d::new(view, [h, w], &config, &epilogue, frame).unwrap();
    let x = framed(&x, [c, h, w], config.padding, 0.0);
    assert_eq!((conv.input_len(), conv.output_len()), (x.len(), expected.len()));
    each_isa(|isa| {
        let mut y = vec![77.0; conv.output_len()];
        conv.forward(&x, &mut y).unwrap();
        assert!(y == expected, "{} in {case:?}", isa.name());
    });
}

fn case(image: [usize; 3], filters: usize) -> Case {
    Case {
        image,
        filters,
        kernel: [3, 3],
        config: Conv2dConfig { stride: [2, 2], padding: [1, 1], ..Default::default() },
        frame: [1, 1],
        bias: true,
        norm: true,
        relu: [true, false],
    }
}

#[test]
fn every_number_of_filters_and_of_places() {
    for filters in (1..20).chain([31, 32, 33, 47, 48, 63, 64, 65, 80, 96, 127, 128, 130]) {
        for width in [1, 3, 4, 7, 14, 31] {
            check(&case([8, 2, width], filters));
            check(&case([3, 4, width], filters));
        }
    }
}

#[test]
fn any_size_may_be_zero() {
    check(&case([0, 4, 5], 6));
    check(&case([3, 4, 5], 0));
    let padding = [2, 2];
    let config = Conv2dConfig { padding, ..Default::default() };
    check(&Case { config, ..case([3, 0, 5], 6) });
    check(&Case { config, ..case([3, 4, 0], 6) });
}

/// A sum that is no number stays none, whatever follows.
#[test]
fn nan_is_kept() {
    let relu = Epilogue { relu_first: true, relu_last: true, ..Default::default() };
    let weight = TensorRef::contiguous(&[1.0, 1.0], [1, 2, 1, 1]).unwrap();
    let conv = FusedConv2d::new(weight, [1, 1], &Conv2dConfig::default(), &relu, [0, 0]).unwrap();
    each_isa(|_| {
        let mut y = [0.0];
        conv.forward(&[1.0, f32::NAN], &mut y).unwrap();
        assert!(y[0].is_nan());
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let weight = vec![1.0; 2 * 3 * 9];
    let weight = TensorRef::contiguous(&weight, [2, 3, 3, 3]).unwrap();
    let new = |size, config: &Conv2dConfig, epilogue: &Epilogue<'_>, frame| {
        FusedConv2d::new(weight, size, config, epilogue, frame)
    };
    let (config, plain) = (Conv2dConfig::default(), Epilogue::default());
    let message = |conv: Result<_, topedge_kernels::ShapeError>| conv.unwrap_err().to_string();
    assert!(message(new([2, 5], &config, &plain, [0, 0])).contains("kernel along height"));
    let grouped = Conv2dConfig { groups: 2, ..config };
    assert!(message(new([5, 5], &grouped, &plain, [0, 0])).contains("groups: expected 1, got 2"));
    let short = Epilogue { bias: Some(&[1.0]), ..plain };
    assert!(message(new([5, 5], &config, &short, [0, 0])).contains("bias: expected 2, got 1"));
    for frame in [usize::MAX, usize::MAX / 2, 1 << 40] {
        assert!(message(new([5, 5], &config, &plain, [frame, frame])).contains("at most 2^32"));
    }
    let conv = new([5, 5], &config, &plain, [0, 0]).unwrap();
    assert!(conv.forward(&[0.0; 74], &mut [0.0; 18]).is_err());
    assert!(conv.forward(&[0.0; 75], &mut [0.0; 19]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn agrees_with_the_definition(
        image in [0usize..10, 0usize..10, 0usize..12],
        filters in 0usize..40,
        kernel in [1usize..5, 1usize..5],
        stride in [1usize..4, 1usize..4],
        padding in [0usize..4, 0usize..4],
        dilation in [1usize..3, 1usize..3],
        frame in [0usize..3, 0usize..3],
        [bias, norm, first, last] in any::<[bool; 4]>(),
    ) {
        let config = Conv2dConfig { stride, padding, dilation, groups: 1 };
        check(&Case { image, filters, kernel, config, frame, bias, norm, relu: [first, last] });
    }
}
