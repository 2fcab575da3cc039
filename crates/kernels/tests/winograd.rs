//! Winograd's method, on every instruction set, against the naive loops in double precision.

mod common;
#[path = "common/winograd.rs"]
mod winograd;

use common::{FORMATS, Format, assert_thread_independent, each_isa, layout, noise, to};
use proptest::prelude::*;
use topedge_kernels::conv2d::{self, Conv2dConfig, output_shape};
use topedge_kernels::{Element, TensorMut, TensorRef, Winograd, reference};
use winograd::BOUNDS;

#[derive(Debug, Clone)]
struct Case {
    input: [usize; 4],
    weight: [usize; 4],
    config: Conv2dConfig,
    formats: [Format; 2],
    bias: bool,
}

fn config(padding: [usize; 2], groups: usize) -> Conv2dConfig {
    Conv2dConfig { padding, groups, ..Default::default() }
}

/// The output and both gradients: by the naive loops, or else by the kernels.
fn run<T: Element>(case: &Case, naive: bool) -> [Vec<T>; 3] {
    let Case { input, weight, config, formats, bias } = case;
    let output = output_shape(*input, *weight, config).unwrap();
    let ((xs, x_len), (ys, y_len)) = (layout(*input, formats[0]), layout(output, formats[1]));
    let (ws, w_len) = layout(*weight, Format::Contiguous);
    // Whatever runs on whatever type sees the same numbers.
    let data = |len, seed| to::<T>(&noise(len, seed));
    let (x, dy, w, b) = (data(x_len, 1), data(y_len, 2), data(w_len, 3), data(weight[0], 4));
    let b = bias.then_some(&b[..]);
    let x = TensorRef::new(&x, *input, xs).unwrap();
    let dy = TensorRef::new(&dy, output, ys).unwrap();
    let w = TensorRef::new(&w, *weight, ws).unwrap();
    let (mut y, mut dx, mut dw) = (data(y_len, 5), data(x_len, 6), data(w_len, 7));
    let to_y = TensorMut::new(&mut y, output, ys).unwrap();
    let to_dx = TensorMut::new(&mut dx, *input, xs).unwrap();
    let to_dw = TensorMut::new(&mut dw, *weight, ws).unwrap();
    if naive {
        reference::conv2d::forward(x, w, b, config, to_y).unwrap();
        reference::conv2d::backward_input(dy, w, config, to_dx).unwrap();
        reference::conv2d::backward_weight(x, dy, config, to_dw).unwrap();
    } else {
        conv2d::forward(x, w, b, config, to_y).unwrap();
        conv2d::backward_input(dy, w, config, to_dx).unwrap();
        conv2d::backward_weight(x, dy, config, to_dw).unwrap();
    }
    [y, dx, dw]
}

/// The largest error of each result, relative to the number of terms times the largest that there may
/// be: inputs and weights are below 2 in magnitude.
fn errors<T: Element>(got: &[Vec<T>; 3], case: &Case, expected: &[Vec<f64>; 3]) -> Vec<f64> {
    let [outputs, inputs, ..] = case.weight;
    let [batch, _, height, width] = output_shape(case.input, case.weight, &case.config).unwrap();
    let terms = [inputs * 9, outputs / case.config.groups * 9, batch * height * width];
    let errors = got.iter().zip(expected).zip(terms).map(|((got, expected), terms)| {
        assert_eq!(got.len(), expected.len());
        let most = got.iter().zip(expected).map(|(got, expected)| (got.to_f64() - expected).abs());
        most.fold(0.0, f64::max) / (4.0 * terms as f64)
    });
    errors.collect()
}

fn check(case: &Case) {
    if output_shape(case.input, case.weight, &case.config).is_err() {
        return;
    }
    let expected = run::<f64>(case, true);
    Winograd::Always.with(|| {
        each_isa(|isa| {
            let errors = errors(&run::<f32>(case, false), case, &expected);
            let within = errors.iter().zip(BOUNDS[0]).all(|(&error, bound)| error <= bound);
            assert!(within, "{errors:?} on {} in {case:?}", isa.name());
        });
        let errors = errors(&run::<f64>(case, false), case, &expected);
        let within = errors.iter().zip(BOUNDS[1]).all(|(&error, bound)| error <= bound);
        assert!(within, "{errors:?} in f64 in {case:?}");
    });
}

#[test]
fn every_format_at_every_batch() {
    for batch in [1, 2, 7, 8, 16, 17, 33, 65] {
        for from in FORMATS {
            for to in FORMATS {
                let (input, weight) = ([batch, 3, 7, 9], [10, 3, 3, 3]);
                let (config, formats) = (config([1, 1], 1), [from, to]);
                check(&Case { input, weight, config, formats, bias: true });
            }
        }
    }
}

/// More rows, channels and tiles than a panel or a job has; long rows of tiles.
#[test]
fn many_of_each() {
    for (input, outputs) in
        [([2, 5, 8, 150], 6), ([2, 6, 14, 14], 300), ([17, 370, 9, 1], 360), ([1, 64, 23, 30], 70)]
    {
        let weight = [outputs, input[1], 3, 3];
        for format in [Format::Contiguous, Format::BatchLast, Format::ChannelsLast] {
            let (config, formats) = (config([1, 1], 1), [format; 2]);
            check(&Case { input, weight, config, formats, bias: true });
        }
    }
}

/// Rows of so many tiles that fewer images are transformed at once.
#[test]
fn wide_images_that_lie_batch_last() {
    let (input, weight) = ([17, 3, 2, 300], [4, 3, 3, 3]);
    let (config, formats) = (config([1, 1], 1), [Format::BatchLast; 2]);
    check(&Case { input, weight, config, formats, bias: false });
}

/// By phases of the stride the gradient of a larger kernel is one of 3x3 taps.
#[test]
fn phases_of_larger_kernels() {
    for format in FORMATS {
        let config = Conv2dConfig { stride: [2, 2], ..config([2, 1], 1) };
        let (input, weight, formats) = ([5, 4, 15, 14], [6, 4, 6, 6], [format; 2]);
        check(&Case { input, weight, config, formats, bias: false });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 60 } else { 1000 }))]

    #[test]
    fn any_geometry(
        batch in prop_oneof![1usize..6, 14usize..70],
        channels in (1usize..4, 1usize..7, 1usize..20),
        size in prop::array::uniform2(1usize..20),
        padding in prop::array::uniform2(0usize..6),
        formats in prop::array::uniform2(0usize..4),
        bias in any::<bool>(),
    ) {
        let (groups, inputs, outputs) = channels;
        check(&Case {
            input: [batch, groups * inputs, size[0], size[1]],
            weight: [groups * outputs, inputs, 3, 3],
            config: config(padding, groups),
            formats: formats.map(|format| FORMATS[format]),
            bias,
        });
    }
}

/// Both errors are of the same order, and `Auto` takes Winograd's method for such layers.
#[test]
fn error_beside_that_of_the_plain_sum() {
    for format in [Format::Contiguous, Format::BatchLast] {
        let case = Case {
            input: [4, 80, 13, 14],
            weight: [80, 80, 3, 3],
            config: config([1, 1], 1),
            formats: [format; 2],
            bias: false,
        };
        let expected = run::<f64>(&case, true);
        each_isa(|isa| {
            let run = |setting: Winograd| setting.with(|| run::<f32>(&case, false));
            let (by_tiles, plain) = (run(Winograd::Always), run(Winograd::Off));
            let differ = by_tiles.iter().zip(&plain).all(|(by_tiles, plain)| by_tiles != plain);
            assert!(run(Winograd::Auto) == by_tiles && differ, "{}", isa.name());
            let [by_tiles, plain] = [by_tiles, plain].map(|got| errors(&got, &case, &expected));
            println!("{}: {by_tiles:?} beside {plain:?}", isa.name());
            for (by_tiles, plain) in by_tiles.into_iter().zip(plain) {
                assert!(by_tiles <= 8.0 * plain, "{by_tiles:e} beside {plain:e} on {}", isa.name());
            }
        });
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    for format in [Format::Contiguous, Format::BatchLast, Format::ChannelsLast] {
        let case = Case {
            input: [36, 20, 15, 14],
            weight: [150, 20, 3, 3],
            config: config([1, 1], 1),
            formats: [format; 2],
            bias: true,
        };
        assert_thread_independent(|| Winograd::Always.with(|| run::<f32>(&case, false)));
    }
}

#[test]
fn the_environment_is_obeyed() {
    let expected = match std::env::var("TOPEDGE_WINOGRAD").as_deref() {
        Ok("off") => Winograd::Off,
        Ok("always") => Winograd::Always,
        _ => Winograd::Auto,
    };
    assert_eq!(Winograd::current(), expected);
    Winograd::Off.with(|| assert_eq!(Winograd::current(), Winograd::Off));
}
