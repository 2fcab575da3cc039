//! Convolution and its gradients, on every instruction set and in every memory format, against the
//! naive loops. Data are small integers: all sums are exact, so results must agree to the bit (but
//! by Winograd's method, which has tests of its own).

mod common;

use common::{FORMATS, Format, assert_thread_independent, each_isa, layout, noise, to};
use proptest::prelude::*;
use topedge_kernels::conv2d::{self, Conv2dConfig, output_shape};
use topedge_kernels::{Element, Isa, MatMut, MatRef, TensorMut, TensorRef, Winograd, reference};

fn integers<T: Element>(len: usize, seed: u32) -> Vec<T> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            T::from_f64(f64::from((state >> 29) as i8 - 4))
        })
        .collect()
}

#[derive(Debug, Clone)]
struct Case {
    input: [usize; 4],
    weight: [usize; 4],
    config: Conv2dConfig,
    formats: [Format; 2],
    bias: bool,
}

fn check<T: Element>(case: &Case) {
    let Case { input, weight, config, formats, bias } = case;
    let Ok(output) = output_shape(*input, *weight, config) else {
        return;
    };
    let ((xs, x_len), (ys, y_len)) = (layout(*input, formats[0]), layout(output, formats[1]));
    let (ws, w_len) = layout(*weight, Format::Contiguous);
    let (x, dy, w) = (integers::<T>(x_len, 1), integers::<T>(y_len, 2), integers::<T>(w_len, 3));
    let b = integers::<T>(weight[0], 4);
    let b = bias.then_some(&b[..]);
    let x_view = TensorRef::new(&x, *input, xs).unwrap();
    let dy_view = TensorRef::new(&dy, output, ys).unwrap();
    let w_view = TensorRef::new(&w, *weight, ws).unwrap();
    // Outputs start as what they must not be, and must not change between their elements.
    let (y, dx, dw) = (integers::<T>(y_len, 5), integers::<T>(x_len, 6), integers::<T>(w_len, 7));
    let outputs = |naive: bool| {
        let (mut y, mut dx, mut dw) = (y.clone(), dx.clone(), dw.clone());
        let (mut db, mut other_dw) = (vec![T::ONE; weight[0]], dw.clone());
        let mut other_db = db.clone();
        let y_view = TensorMut::new(&mut y, output, ys).unwrap();
        let dx_view = TensorMut::new(&mut dx, *input, xs).unwrap();
        let dw_view = TensorMut::new(&mut dw, *weight, ws).unwrap();
        if naive {
            use reference::conv2d as naive;
            naive::forward(x_view, w_view, b, config, y_view).unwrap();
            naive::backward_input(dy_view, w_view, config, dx_view).unwrap();
            naive::backward_weight(x_view, dy_view, config, dw_view).unwrap();
            naive::backward_bias(dy_view, &mut db).unwrap();
            (other_dw, other_db) = (dw.clone(), db.clone());
        } else {
            conv2d::forward(x_view, w_view, b, config, y_view).unwrap();
            conv2d::backward_input(dy_view, w_view, config, dx_view).unwrap();
            conv2d::backward_weight(x_view, dy_view, config, dw_view).unwrap();
            conv2d::backward_bias(dy_view, &mut db).unwrap();
            let (dw, db) = (TensorMut::new(&mut other_dw, *weight, ws).unwrap(), &mut other_db);
            conv2d::backward_parameters(x_view, dy_view, config, dw, db).unwrap();
        }
        [y, dx, dw, db, other_dw, other_db]
    };
    let expected = outputs(true);
    each_isa(|isa| {
        let names = ["y", "dx", "dw", "db", "dw with db", "db with dw"];
        for ((got, expected), what) in
            Winograd::Off.with(|| outputs(false)).iter().zip(&expected).zip(names)
        {
            assert!(got == expected, "{what} differs on {} in {case:?}", isa.name());
        }
    });
}

fn config(stride: usize, padding: usize) -> Conv2dConfig {
    Conv2dConfig { stride: [stride; 2], padding: [padding; 2], ..Default::default() }
}

/// Large outputs, channels-last, are written past the caches where places begin on a cache line.
#[test]
fn outputs_larger_than_the_caches() {
    for (filters, apart) in [(16, 16), (40, 40), (40, 48), (48, 48), (21, 21)] {
        let (input, weight, config) = ([1, 1, 512, 512], [filters, 1, 1, 1], config(1, 0));
        let output = [1, filters, 512, 512];
        let y_len = 512 * 512 * apart;
        let ys = [y_len, 1, 512 * apart, apart];
        let (x, w) = (integers::<f32>(512 * 512, 1), integers::<f32>(filters, 2));
        let x = TensorRef::new(&x, input, [512 * 512, 1, 512, 1]).unwrap();
        let w = TensorRef::contiguous(&w, weight).unwrap();
        let b = integers::<f32>(filters, 3);
        let mut expected = vec![7.0; y_len];
        let y = TensorMut::new(&mut expected, output, ys).unwrap();
        reference::conv2d::forward(x, w, Some(&b), &config, y).unwrap();
        each_isa(|isa| {
            let mut room = vec![7.0; y_len + 32];
            let line = room.as_ptr().align_offset(64);
            for start in [line, line + 1] {
                let y = TensorMut::new(&mut room[start..start + y_len], output, ys).unwrap();
                conv2d::forward(x, w, Some(&b), &config, y).unwrap();
                assert!(room[start..start + y_len] == expected, "{filters} on {}", isa.name());
                assert_eq!(room[start + y_len], 7.0);
                room.fill(7.0);
            }
        });
    }
}

#[test]
fn every_format_at_every_batch() {
    for batch in [1, 2, 7, 8, 16, 17, 33, 48, 50, 65, 100] {
        for format in FORMATS {
            let (input, weight) = ([batch, 3, 7, 6], [10, 3, 3, 3]);
            for config in [config(1, 1), config(2, 1)] {
                let formats = [format, format];
                check::<f32>(&Case { input, weight, config, formats, bias: true });
            }
        }
    }
}

#[test]
fn mixed_formats() {
    for from in FORMATS {
        for to in FORMATS {
            let (input, weight) = ([18, 4, 5, 6], [9, 2, 3, 2]);
            let config = Conv2dConfig { groups: 1, ..config(2, 1) };
            let case = Case { input, weight, config, formats: [from, to], bias: false };
            check::<f32>(&Case { weight: [9, 4, 3, 2], ..case.clone() });
            check::<f64>(&Case { weight: [9, 4, 3, 2], ..case });
        }
    }
}

#[test]
fn any_size_may_be_zero() {
    for format in FORMATS {
        for zero in 0..6 {
            let mut sizes = [3, 4, 5, 6, 7, 3];
            sizes[zero] = 0;
            let [n, c, h, w, outputs, kernel] = sizes;
            let (input, weight) = ([n, c, h, w], [outputs, c, kernel, 3]);
            let case =
                Case { input, weight, config: config(1, 2), formats: [format; 2], bias: true };
            check::<f32>(&case);
            check::<f64>(&case);
        }
    }
}

/// Windows that see nothing but padding, of so many channels that a dilated tap is far into a row.
#[test]
fn images_without_rows_inside_padding() {
    let config = Conv2dConfig { dilation: [1, 3], ..config(1, 3) };
    for format in FORMATS {
        let (input, weight, formats) = ([2, 40, 0, 6], [20, 40, 3, 3], [format; 2]);
        check::<f32>(&Case { input, weight, config, formats, bias: true });
    }
}

#[test]
fn the_layers_of_the_small_nets() {
    for (input, weight, padding) in [
        ([64, 1, 28, 28], [8, 1, 5, 5], 2),
        ([64, 8, 14, 14], [16, 8, 3, 3], 1),
        ([64, 16, 7, 7], [32, 16, 3, 3], 1),
        ([64, 32, 4, 4], [64, 32, 3, 3], 1),
        ([64, 64, 2, 2], [10, 64, 3, 3], 1),
        ([40, 64, 2, 2], [10, 64, 3, 3], 1),
    ] {
        let (config, formats) = (config(2, padding), [Format::BatchLast; 2]);
        check::<f32>(&Case { input, weight, config, formats, bias: true });
    }
}

#[test]
fn sums_longer_than_a_block() {
    for format in [Format::Contiguous, Format::ChannelsLast, Format::BatchLast] {
        let (input, weight) = ([20, 130, 4, 4], [40, 130, 3, 3]);
        let formats = [format; 2];
        check::<f32>(&Case { input, weight, config: config(1, 1), formats, bias: true });
        // A row of taps that is longer than a block, and a single tap.
        let (input, weight) = ([2, 600, 3, 4], [530, 600, 2, 3]);
        check::<f32>(&Case { input, weight, config: config(1, 1), formats, bias: true });
        let (input, weight) = ([2, 600, 3, 4], [530, 600, 1, 1]);
        check::<f32>(&Case { input, weight, config: config(2, 0), formats, bias: true });
    }
}

#[test]
fn many_panels_of_channels_and_many_places() {
    for format in [Format::ChannelsLast, Format::GappedChannelsLast] {
        for (input, weight) in [([2, 22, 6, 7], [240, 11, 3, 3]), ([9, 4, 17, 18], [6, 2, 3, 3])] {
            let config = Conv2dConfig { groups: 2, ..config(1, 1) };
            check::<f32>(&Case { input, weight, config, formats: [format; 2], bias: true });
        }
    }
}

/// Channels that fill whole vectors: the gradient to the weight reads the output's where it lies.
#[test]
fn whole_vectors_of_few_channels() {
    for format in [Format::ChannelsLast, Format::GappedChannelsLast] {
        for (filters, groups) in [(16, 1), (48, 1), (32, 2), (48, 3)] {
            for (size, batch) in [([13, 11], 3), ([6, 40], 20), ([30, 1], 1)] {
                let (input, weight) = ([batch, 3 * groups, size[0], size[1]], [filters, 3, 3, 3]);
                let config = Conv2dConfig { groups, ..config(1, 1) };
                check::<f32>(&Case { input, weight, config, formats: [format; 2], bias: true });
            }
        }
    }
}

/// Kernels of one tap whose sum over the places is longer than a block, by panels enough for several threads.
#[test]
fn one_tap_on_many_places() {
    for format in [Format::ChannelsLast, Format::GappedChannelsLast] {
        let (input, weight, formats) = ([10, 530, 20, 21], [150, 530, 1, 1], [format; 2]);
        check::<f32>(&Case { input, weight, config: config(2, 0), formats, bias: true });
    }
}

fn axis() -> impl Strategy<Value = [usize; 5]> {
    // size, kernel, stride, padding (also larger than needed), dilation
    (1usize..9, 1usize..5, 1usize..4, 0usize..6, 1usize..4)
        .prop_map(|(a, b, c, d, e)| [a, b, c, d, e])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 300 } else { 1000 }))]

    #[test]
    fn any_geometry(
        batch in prop_oneof![1usize..6, 14usize..70],
        channels in (1usize..4, 1usize..5, 1usize..11),
        height in axis(),
        width in axis(),
        formats in prop::array::uniform2(0usize..5),
        bias in any::<bool>(),
    ) {
        let (groups, inputs, outputs) = channels;
        let config = Conv2dConfig {
            stride: [height[2], width[2]],
            padding: [height[3], width[3]],
            dilation: [height[4], width[4]],
            groups,
        };
        check::<f32>(&Case {
            input: [batch, groups * inputs, height[0], width[0]],
            weight: [groups * outputs, inputs, height[1], width[1]],
            config,
            formats: formats.map(|format| FORMATS[format]),
            bias,
        });
    }

    /// Kernels of one tap, of many weights and with places that are far apart.
    #[test]
    fn one_tap(
        batch in 1usize..4,
        groups in 1usize..4,
        inputs in prop_oneof![1usize..50, 300usize..350],
        outputs in 1usize..70,
        size in prop::array::uniform2(1usize..8),
        stride in prop::array::uniform2(1usize..5),
        gaps in prop::array::uniform2(any::<bool>()),
    ) {
        check::<f32>(&Case {
            input: [batch, groups * inputs, size[0], size[1]],
            weight: [groups * outputs, inputs, 1, 1],
            config: Conv2dConfig { stride, groups, ..Default::default() },
            formats: gaps.map(|gap| FORMATS[if gap { 4 } else { 1 }]),
            bias: true,
        });
    }

    /// `<im2col(x), m> == <x, col2im(m)>`, and the weight times the columns is the convolution.
    #[test]
    fn columns_are_adjoint_and_multiply(
        batch in 1usize..4,
        channels in 1usize..4,
        height in axis(),
        width in axis(),
    ) {
        let config = Conv2dConfig {
            stride: [height[2], width[2]],
            padding: [height[3], width[3]],
            dilation: [height[4], width[4]],
            groups: 1,
        };
        let (input, kernel) = ([batch, channels, height[0], width[0]], [height[1], width[1]]);
        let weight_shape = [5, channels, kernel[0], kernel[1]];
        let Ok(output) = output_shape(input, weight_shape, &config) else { return Ok(()) };
        let (rows, places) = (channels * kernel[0] * kernel[1], batch * output[2] * output[3]);
        let (x, m) = (integers::<f64>(input.iter().product(), 1), integers::<f64>(rows * places, 2));
        let mut columns = vec![9.0; rows * places];
        let mut image = vec![9.0; x.len()];
        let x_view = TensorRef::contiguous(&x, input).unwrap();
        let view = MatMut::row_major(&mut columns, rows, places).unwrap();
        conv2d::im2col(x_view, kernel, &config, view).unwrap();
        let view = TensorMut::contiguous(&mut image, input).unwrap();
        conv2d::col2im(MatRef::row_major(&m, rows, places).unwrap(), kernel, &config, view).unwrap();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        prop_assert_eq!(dot(&columns, &m), dot(&x, &image));

        let weight = integers::<f64>(5 * rows, 3);
        let mut product = vec![0.0; 5 * places];
        let columns = MatRef::row_major(&columns, rows, places).unwrap();
        let left = MatRef::row_major(&weight, 5, rows).unwrap();
        let view = MatMut::row_major(&mut product, 5, places).unwrap();
        topedge_kernels::gemm::gemm(1.0, left, columns, 0.0, view).unwrap();
        let mut y = vec![0.0; 5 * places];
        let view = TensorMut::contiguous(&mut y, output).unwrap();
        let weight = TensorRef::contiguous(&weight, weight_shape).unwrap();
        conv2d::forward(x_view, weight, None, &config, view).unwrap();
        let area = output[2] * output[3];
        for (i, &value) in y.iter().enumerate() {
            let (n, k, place) = (i / (5 * area), i / area % 5, i % area);
            prop_assert_eq!(value, product[k * places + n * area + place]);
        }
    }
}

#[test]
fn wrong_shapes_are_refused() {
    let (x, w) = (vec![0.0f32; 96], vec![0.0f32; 54]);
    let x = TensorRef::contiguous(&x, [2, 3, 4, 4]).unwrap();
    let w = TensorRef::contiguous(&w, [2, 3, 3, 3]).unwrap();
    let mut y = vec![0.0f32; 64];
    let mut forward = |shape, bias: Option<&[f32]>| {
        let y = TensorMut::contiguous(&mut y, shape).unwrap();
        conv2d::forward(x, w, bias, &Conv2dConfig::default(), y).unwrap_err().to_string()
    };
    assert_eq!(
        forward([2, 2, 3, 2], None),
        "conv2d: shape of the output: expected [2, 2, 2, 2], got [2, 2, 3, 2]"
    );
    assert_eq!(forward([2, 2, 2, 2], Some(&[1.0])), "conv2d: length of bias: expected 2, got 1");
}

#[test]
fn zeros_give_the_bias() {
    let (x, w) = (vec![0.0f32; 2 * 9], vec![3.0f32; 36]);
    let mut y = vec![9.0f32; 2 * 4 * 9];
    conv2d::forward(
        TensorRef::contiguous(&x, [2, 1, 3, 3]).unwrap(),
        TensorRef::contiguous(&w, [4, 1, 3, 3]).unwrap(),
        Some(&[1.0, 2.0, 3.0, 4.0]),
        &config(1, 1),
        TensorMut::contiguous(&mut y, [2, 4, 3, 3]).unwrap(),
    )
    .unwrap();
    for (i, &y) in y.iter().enumerate() {
        assert_eq!(y, (i / 9 % 4 + 1) as f32);
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let layers = [([70, 6, 15, 14], [12, 6, 3, 3], 1), ([10, 530, 20, 21], [150, 530, 1, 1], 0)];
    let formats = [Format::Contiguous, Format::ChannelsLast, Format::BatchLast];
    for ((input, weight, padding), format) in
        layers.into_iter().flat_map(|layer| formats.map(|format| (layer, format)))
    {
        let config = config(2, padding);
        let output = output_shape(input, weight, &config).unwrap();
        let ((xs, x_len), (ys, y_len)) = (layout(input, format), layout(output, format));
        let (ws, w_len) = layout(weight, Format::Contiguous);
        let noise = |len, seed| -> Vec<f32> {
            integers::<f32>(len, seed)
                .iter()
                .enumerate()
                .map(|(i, x)| (x * 0.7 + i as f32).sin())
                .collect()
        };
        let (x, dy, w) = (noise(x_len, 1), noise(y_len, 2), noise(w_len, 3));
        for isa in Isa::available() {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let (mut y, mut dx) = (vec![0.0; y_len], vec![0.0; x_len]);
                let (mut dw, mut db) = (vec![0.0; w_len], vec![0.0; weight[0]]);
                let (mut other_dw, mut other_db) = (dw.clone(), db.clone());
                pool.install(|| {
                    isa.with(|| {
                        let x = TensorRef::new(&x, input, xs).unwrap();
                        let dy = TensorRef::new(&dy, output, ys).unwrap();
                        let w = TensorRef::new(&w, weight, ws).unwrap();
                        let y = TensorMut::new(&mut y, output, ys).unwrap();
                        conv2d::forward(x, w, None, &config, y).unwrap();
                        let dx = TensorMut::new(&mut dx, input, xs).unwrap();
                        conv2d::backward_input(dy, w, &config, dx).unwrap();
                        let dw = TensorMut::new(&mut dw, weight, ws).unwrap();
                        conv2d::backward_weight(x, dy, &config, dw).unwrap();
                        conv2d::backward_bias(dy, &mut db).unwrap();
                        let dw = TensorMut::new(&mut other_dw, weight, ws).unwrap();
                        let db = &mut other_db;
                        conv2d::backward_parameters(x, dy, &config, dw, db).unwrap();
                    })
                });
                [y, dx, dw, db, other_dw, other_db]
            };
            let one = run(1);
            for threads in [2, 3, 4, 8] {
                assert!(run(threads) == one, "{threads} threads on {}", isa.name());
            }
        }
    }
}

#[test]
fn threads_do_not_change_the_bits_of_im2col_and_its_adjoint() {
    let (input, kernel, config) = ([3, 5, 40, 41], [3, 4], config(1, 2));
    let output = output_shape(input, [1, 5, 3, 4], &config).unwrap();
    let (rows, places) = (5 * 3 * 4, 3 * output[2] * output[3]);
    let x: Vec<f32> = to(&noise(input.iter().product(), 1));
    let m: Vec<f32> = to(&noise(rows * places, 2));
    assert_thread_independent(|| {
        let (mut columns, mut image) = (vec![0.0; rows * places], vec![0.0; x.len()]);
        let x = TensorRef::contiguous(&x, input).unwrap();
        let view = MatMut::row_major(&mut columns, rows, places).unwrap();
        conv2d::im2col(x, kernel, &config, view).unwrap();
        let m = MatRef::row_major(&m, rows, places).unwrap();
        let view = TensorMut::contiguous(&mut image, input).unwrap();
        conv2d::col2im(m, kernel, &config, view).unwrap();
        [columns, image]
    });
}

/// With no channels there may be any number of groups, and nothing is to be done for them.
#[test]
fn as_many_groups_as_there_are_numbers() {
    let config = Conv2dConfig { groups: usize::MAX, ..Default::default() };
    let (x, w, y) = ([0, 0, 3, 3], [0, 0, 1, 1], [0, 0, 3, 3]);
    fn view(shape: [usize; 4]) -> TensorRef<'static, f32> {
        TensorRef::contiguous(&[], shape).unwrap()
    }
    let target = |shape| TensorMut::contiguous(&mut [], shape).unwrap();
    conv2d::forward(view(x), view(w), None, &config, target(y)).unwrap();
    conv2d::backward_input(view(y), view(w), &config, target(x)).unwrap();
    conv2d::backward_weight(view(x), view(y), &config, target(w)).unwrap();
}
