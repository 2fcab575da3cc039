//! Convolution of batches that lie in parts: against the naive loops on each part, on every instruction set.

mod common;

use common::{FORMATS, Format, assert_thread_independent, each_isa, layout, noise, to};
use proptest::prelude::*;
use topedge_kernels::conv2d::{self, Conv2dConfig, output_shape};
use topedge_kernels::{
    BatchMut, BatchRef, Element, TensorMut, TensorRef, Winograd, reference::conv2d as naive,
};

/// Small integers, whose sums are exact.
fn integers<T: Element>(len: usize, seed: u32) -> Vec<T> {
    noise(len, seed).iter().map(|value| T::from_f64((value * 4.0).round())).collect()
}

#[derive(Debug, Clone)]
struct Case {
    parts: usize,
    /// Of a part.
    input: [usize; 4],
    weight: [usize; 4],
    config: Conv2dConfig,
    /// Of input and output.
    formats: [Format; 2],
}

/// As many images as all parts have.
fn whole(parts: usize, [n, c, h, w]: [usize; 4]) -> [usize; 4] {
    [parts * n, c, h, w]
}

/// The output, both gradients, that of the bias, and those of weight and bias together.
type Results<T> = [Vec<T>; 6];

impl Case {
    /// Calls the convolution on the whole batch, or the naive one or, by Winograd's method, the same on each part,
    /// whose gradients of the parameters are added up.
    fn run<T: Element>(&self, apart: Option<Winograd>) -> Results<T> {
        let Self { parts, input, weight, config, formats } = self;
        let output = output_shape(*input, *weight, config).unwrap();
        let ((xs, x_len), (ys, y_len)) = (layout(*input, formats[0]), layout(output, formats[1]));
        let w_len = weight.iter().product();
        let (x, dy) = (integers::<T>(parts * x_len, 1), integers::<T>(parts * y_len, 2));
        let (w, bias) = (integers::<T>(w_len, 3), integers::<T>(weight[0], 4));
        let w = TensorRef::contiguous(&w, *weight).unwrap();
        // They start as what they must not be, and must not change between their elements.
        let (mut y, mut dx) = (integers::<T>(parts * y_len, 5), integers::<T>(parts * x_len, 6));
        let (mut dw, mut db) = (vec![T::ZERO; w_len], vec![T::ZERO; weight[0]]);
        if let Some(winograd) = apart {
            for part in 0..*parts {
                let x = TensorRef::new(&x[part * x_len..], *input, xs).unwrap();
                let dy = TensorRef::new(&dy[part * y_len..], output, ys).unwrap();
                let y = TensorMut::new(&mut y[part * y_len..], output, ys).unwrap();
                let dx = TensorMut::new(&mut dx[part * x_len..], *input, xs).unwrap();
                let (mut of_w, mut of_b) = (vec![T::ONE; w_len], vec![T::ONE; weight[0]]);
                let of_w_view = TensorMut::contiguous(&mut of_w, *weight).unwrap();
                if winograd == Winograd::Off {
                    naive::forward(x, w, Some(&bias), config, y).unwrap();
                    naive::backward_input(dy, w, config, dx).unwrap();
                    naive::backward_weight(x, dy, config, of_w_view).unwrap();
                } else {
                    conv2d::forward(x, w, Some(&bias), config, y).unwrap();
                    conv2d::backward_input(dy, w, config, dx).unwrap();
                    conv2d::backward_weight(x, dy, config, of_w_view).unwrap();
                }
                naive::backward_bias(dy, &mut of_b).unwrap();
                for (sum, value) in dw.iter_mut().zip(of_w).chain(db.iter_mut().zip(of_b)) {
                    *sum += value;
                }
            }
            let (dw_again, db_again) = (dw.clone(), db.clone());
            return [y, dx, dw, db, dw_again, db_again];
        }
        let (all_in, all_out) = (whole(*parts, *input), whole(*parts, output));
        let x = BatchRef::in_parts(&x, all_in, xs, *parts).unwrap();
        let dy = BatchRef::in_parts(&dy, all_out, ys, *parts).unwrap();
        let (mut with_db, mut with_dw) = (vec![T::ONE; w_len], vec![T::ONE; weight[0]]);
        let y_view = BatchMut::in_parts(&mut y, all_out, ys, *parts).unwrap();
        conv2d::forward(x, w, Some(&bias), config, y_view).unwrap();
        let dx_view = BatchMut::in_parts(&mut dx, all_in, xs, *parts).unwrap();
        conv2d::backward_input(dy, w, config, dx_view).unwrap();
        let dw_view = TensorMut::contiguous(&mut dw, *weight).unwrap();
        conv2d::backward_weight(x, dy, config, dw_view).unwrap();
        conv2d::backward_bias(dy, &mut db).unwrap();
        let dw_view = TensorMut::contiguous(&mut with_db, *weight).unwrap();
        conv2d::backward_parameters(x, dy, config, dw_view, &mut with_dw).unwrap();
        [y, dx, dw, db, with_db, with_dw]
    }

    fn check<T: Element>(&self) {
        if output_shape(self.input, self.weight, &self.config).is_err() {
            return;
        }
        for winograd in [Winograd::Off, Winograd::Always] {
            // The naive loops are the same on each.
            let expected = (winograd == Winograd::Off).then(|| self.run::<T>(Some(winograd)));
            each_isa(|isa| {
                let (got, by_parts) = winograd.with(|| {
                    (self.run::<T>(None), expected.is_none().then(|| self.run(Some(winograd))))
                });
                let expected = expected.as_ref().or(by_parts.as_ref()).unwrap();
                let names = ["y", "dx", "dw", "db", "dw with db", "db with dw"];
                for ((got, expected), what) in got.iter().zip(expected).zip(names) {
                    assert!(got == expected, "{what} on {}, {winograd:?}: {self:?}", isa.name());
                }
            });
        }
    }
}

fn config(stride: usize, padding: usize) -> Conv2dConfig {
    Conv2dConfig { stride: [stride; 2], padding: [padding; 2], ..Default::default() }
}

#[test]
fn the_layers_of_a_small_net() {
    for (parts, images) in [(2, 32), (4, 16), (3, 48), (2, 17), (5, 1)] {
        for (channels, size, filters, kernel) in
            [(1, 28, 8, 5), (8, 14, 16, 3), (16, 7, 32, 3), (32, 4, 64, 3), (64, 2, 10, 3)]
        {
            let (input, weight) =
                ([images, channels, size, size], [filters, channels, kernel, kernel]);
            let (config, formats) = (config(2, kernel / 2), [Format::BatchLast; 2]);
            Case { parts, input, weight, config, formats }.check::<f32>();
        }
    }
}

#[test]
fn wide_layers_in_every_format() {
    for format in FORMATS {
        for (input, weight, stride) in
            [([16, 20, 9, 8], [40, 20, 3, 3], 1), ([3, 64, 6, 5], [33, 64, 1, 1], 2)]
        {
            let (config, formats) = (config(stride, weight[2] / 2), [format; 2]);
            let case = Case { parts: 2, input, weight, config, formats };
            case.check::<f32>();
            case.check::<f64>();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_shape(
        parts in 1_usize..5,
        [images, height, width] in [1_usize..20, 1..9, 1..8],
        [channels, filters] in [1_usize..6, 1..12],
        groups in 1_usize..3,
        kernel in [1_usize..4, 1..5],
        stride in [1_usize..4, 1..4],
        padding in [0_usize..4, 0..4],
        dilation in [1_usize..3, 1..3],
        formats in [proptest::sample::select(&FORMATS[..]), proptest::sample::select(&FORMATS[..])],
    ) {
        let config = Conv2dConfig { stride, padding, dilation, groups };
        let input = [images, channels * groups, height, width];
        let weight = [filters * groups, channels, kernel[0], kernel[1]];
        Case { parts, input, weight, config, formats }.check::<f32>();
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    for (parts, images) in [(2, 32), (4, 64), (3, 21)] {
        for (channels, size, filters, kernel) in [(1, 28, 8, 5), (16, 7, 32, 3), (32, 4, 64, 3)] {
            let all = whole(parts, [images, channels, size, size]);
            let weight = [filters, channels, kernel, kernel];
            let config = config(2, kernel / 2);
            let output = output_shape(all, weight, &config).unwrap();
            let of = |shape: [usize; 4], seed| -> (Vec<f32>, [usize; 4]) {
                let (strides, _) =
                    layout(whole(1, [images, shape[1], shape[2], shape[3]]), Format::BatchLast);
                (to(&noise(shape.iter().product(), seed)), strides)
            };
            let ((x, xs), (dy, ys)) = (of(all, 1), of(output, 2));
            let w: Vec<f32> = to(&noise(weight.iter().product(), 3));
            assert_thread_independent(|| {
                let x = BatchRef::in_parts(&x, all, xs, parts).unwrap();
                let dy_view = BatchRef::in_parts(&dy, output, ys, parts).unwrap();
                let w_view = TensorRef::contiguous(&w, weight).unwrap();
                let (mut y, mut dx) = (dy.clone(), vec![0.0; all.iter().product()]);
                let (mut dw, mut db) = (w.clone(), vec![0.0; filters]);
                let view = BatchMut::in_parts(&mut y, output, ys, parts).unwrap();
                conv2d::forward(x, w_view, None, &config, view).unwrap();
                let view = BatchMut::in_parts(&mut dx, all, xs, parts).unwrap();
                conv2d::backward_input(dy_view, w_view, &config, view).unwrap();
                let view = TensorMut::contiguous(&mut dw, weight).unwrap();
                conv2d::backward_parameters(x, dy_view, &config, view, &mut db).unwrap();
                [y, dx, dw, db]
            });
        }
    }
}

/// What has no elements is in one part, whatever belongs to it.
#[test]
fn without_filters_or_channels() {
    let config = config(1, 1);
    let data = integers::<f32>(4 * 2 * 9, 1);
    let some = || BatchRef::in_parts(&data, [4, 2, 3, 3], [18, 9, 3, 1], 2).unwrap();
    let none = || BatchRef::in_parts(&data[..0], [4, 0, 3, 3], [1; 4], 1).unwrap();
    let mut nothing = [0.0f32; 0];
    let w = TensorRef::contiguous(&[], [0, 2, 3, 3]).unwrap();
    let y = BatchMut::in_parts(&mut nothing, [4, 0, 3, 3], [1; 4], 1).unwrap();
    conv2d::forward(some(), w, None, &config, y).unwrap();
    let mut dx = data.clone();
    let view = BatchMut::in_parts(&mut dx, [4, 2, 3, 3], [18, 9, 3, 1], 2).unwrap();
    conv2d::backward_input(none(), w, &config, view).unwrap();
    assert!(dx.iter().all(|&value| value == 0.0));
    // No channels of the input: the bias has a gradient.
    let (dw, mut db) = (TensorMut::contiguous(&mut nothing, [2, 0, 3, 3]).unwrap(), [7.0; 2]);
    conv2d::backward_parameters(none(), some(), &config, dw, &mut db).unwrap();
    let mut expected = [0.0; 2];
    for part in 0..2 {
        let mut of_part = [0.0; 2];
        naive::backward_bias(some().part(part), &mut of_part).unwrap();
        expected = [expected[0] + of_part[0], expected[1] + of_part[1]];
    }
    assert_eq!(db, expected);
}

#[test]
fn refusals_name_what_and_where() {
    let data = [0.0f32; 24];
    let batch = |len: usize, shape, strides, parts| {
        BatchRef::in_parts(&data[..len], shape, strides, parts).unwrap_err().to_string()
    };
    let error = batch(24, [4, 2, 3, 1], [1, 6, 2, 2], 3);
    assert_eq!(
        error,
        "batch: number of images: expected a multiple of the number of parts, 3, got 4"
    );
    let error = batch(24, [4, 2, 3, 1], [1, 6, 2, 2], 0);
    assert_eq!(error, "batch: number of parts: expected 1 to 4, got 0");
    let error = batch(0, [0, 2, 3, 1], [1, 6, 2, 2], usize::MAX);
    assert!(error.starts_with("batch: number of parts: expected 1 to 1, got "), "{error}");
    let error = batch(23, [4, 2, 3, 1], [1, 6, 2, 2], 2);
    assert_eq!(
        error,
        "batch: number of elements: expected a multiple of the number of parts, 2, got 23"
    );
    // Strides by which a part would reach into the next.
    assert!(batch(24, [4, 2, 3, 1], [1, 12, 4, 4], 2).contains("at least 22 elements, got 12"));

    let whole = |parts| BatchRef::in_parts(&data, [4, 2, 3, 1], [6, 3, 1, 1], parts).unwrap();
    let (w, config) = ([1.0; 2], Conv2dConfig::default());
    let w = TensorRef::contiguous(&w, [1, 2, 1, 1]).unwrap();
    let (mut y, mut dw) = ([0.0; 12], [0.0; 2]);
    let y = BatchMut::in_parts(&mut y, [4, 1, 3, 1], [3, 3, 1, 1], 4).unwrap();
    let error = conv2d::forward(whole(2), w, None, &config, y).unwrap_err().to_string();
    assert_eq!(error, "conv2d: parts of the batch of the output: expected 2, got 4");
    let dw = TensorMut::contiguous(&mut dw, [1, 2, 1, 1]).unwrap();
    let dy = BatchRef::in_parts(&data[..12], [4, 1, 3, 1], [3, 3, 1, 1], 1).unwrap();
    let error = conv2d::backward_weight(whole(4), dy, &config, dw).unwrap_err().to_string();
    assert!(
        error.contains("parts of the batch of the output's gradient: expected 4, got 1"),
        "{error}"
    );
}
