//! Pooling of every instruction set against its definition, in every memory format.

mod common;

use common::{assert_thread_independent, each_isa, noise, to};
use proptest::prelude::*;
use topedge_kernels::pool::{self, Pool2dConfig};
use topedge_kernels::reference::pool::{self as naive, Windows};
use topedge_kernels::{Element, TensorMut, TensorRef};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Format {
    Contiguous,
    ChannelsLast,
    BatchLast,
}

impl Format {
    fn strides(self, [n, c, h, w]: [usize; 4]) -> [usize; 4] {
        match self {
            Format::Contiguous => [c * h * w, h * w, w, 1],
            Format::ChannelsLast => [h * w * c, 1, w * c, c],
            Format::BatchLast => [1, h * w * n, w * n, n],
        }
        .map(|stride| stride.max(1))
    }
}

const FORMATS: [Format; 3] = [Format::Contiguous, Format::ChannelsLast, Format::BatchLast];

/// A tensor in a format.
#[derive(Debug, Clone, PartialEq)]
struct Tensor<T> {
    data: Vec<T>,
    shape: [usize; 4],
    format: Format,
}

impl<T: Copy> Tensor<T> {
    fn new(data: Vec<T>, shape: [usize; 4], format: Format) -> Self {
        Self { data, shape, format }
    }

    fn filled(value: T, shape: [usize; 4], format: Format) -> Self {
        Self::new(vec![value; shape.iter().product()], shape, format)
    }

    fn view(&self) -> TensorRef<'_, T> {
        TensorRef::new(&self.data, self.shape, self.format.strides(self.shape)).unwrap()
    }

    fn view_mut(&mut self) -> TensorMut<'_, T> {
        TensorMut::new(&mut self.data, self.shape, self.format.strides(self.shape)).unwrap()
    }
}

/// Small integers, so that sums are exact and maxima meet their equals, with a NaN here and there.
fn image<T: Element>(shape: [usize; 4], format: Format, seed: u32, with_nan: bool) -> Tensor<T> {
    let mut data: Vec<f64> =
        noise(shape.iter().product(), seed).iter().map(|x| (3.0 * x).round()).collect();
    if with_nan {
        data.iter_mut().skip(seed as usize % 5).step_by(23).for_each(|x| *x = f64::NAN);
    }
    Tensor::new(to(&data), shape, format)
}

/// The bits, so that NaN equals itself.
fn bits<T: Element>(x: &Tensor<T>) -> Vec<u64> {
    x.data.iter().map(|x| if x.is_nan() { 1 } else { (x.to_f64() + 0.0).to_bits() }).collect()
}

/// Fails unless both hold the same numbers, give or take the rounding of a division.
#[track_caller]
fn assert_same<T: Element>(got: &Tensor<T>, want: &Tensor<T>, context: &str) {
    let want: Vec<f64> = want.data.iter().map(|x| x.to_f64()).collect();
    common::assert_close(&got.data, &want, 1e-6, context);
}

fn check<T: Element>(
    input: [usize; 4],
    output: [usize; 4],
    windows: &[Windows; 2],
    format: Format,
    config: Option<&Pool2dConfig>,
) {
    let dilated = config.is_some_and(|config| config.dilation != [1, 1]);
    each_isa(|isa| {
        let context = format!("{}, {format:?}, {input:?} to {output:?}, {config:?}", isa.name());
        for with_nan in [false, true] {
            let x = image::<T>(input, format, 1, with_nan);
            let zero = || Tensor::filled(T::ONE, output, format);
            let indices = || Tensor::filled(77u32, output, format);
            let (mut y, mut at, mut want_y, mut want_at) = (zero(), indices(), zero(), indices());
            match config {
                Some(config) => {
                    pool::max_forward(x.view(), config, y.view_mut(), at.view_mut()).unwrap();
                }
                None => pool::adaptive_max_forward(x.view(), y.view_mut(), at.view_mut()).unwrap(),
            }
            naive::max_forward(x.view(), windows, want_y.view_mut(), want_at.view_mut());
            assert_eq!(bits(&y), bits(&want_y), "maxima, {context}");
            assert_eq!(at, want_at, "indices, {context}");

            let dy = image::<T>(output, format, 2, false);
            let mut dx = Tensor::filled(T::ONE, input, format);
            let mut want_dx = dx.clone();
            pool::max_backward(dy.view(), at.view(), dx.view_mut()).unwrap();
            naive::max_backward(dy.view(), at.view(), want_dx.view_mut());
            assert_eq!(bits(&dx), bits(&want_dx), "gradient of maxima, {context}");

            if dilated {
                continue;
            }
            match config {
                Some(config) => pool::avg_forward(x.view(), config, y.view_mut()).unwrap(),
                None => pool::adaptive_avg_forward(x.view(), y.view_mut()).unwrap(),
            }
            naive::avg_forward(x.view(), windows, want_y.view_mut());
            assert_same(&y, &want_y, &context);
            match config {
                Some(config) => pool::avg_backward(dy.view(), config, dx.view_mut()).unwrap(),
                None => pool::adaptive_avg_backward(dy.view(), dx.view_mut()).unwrap(),
            }
            naive::avg_backward(dy.view(), windows, want_dx.view_mut());
            assert_same(&dx, &want_dx, &context);
        }
    });
}

fn check_sliding<T: Element>(input: [usize; 4], config: &Pool2dConfig, format: Format) {
    let output = pool::output_shape(input, config).unwrap();
    let windows =
        [0, 1].map(|axis| Windows::sliding(config, axis, input[2 + axis], output[2 + axis]));
    check::<T>(input, output, &windows, format, Some(config));
}

fn check_adaptive<T: Element>(input: [usize; 4], out: [usize; 2], format: Format) {
    let output = [input[0], input[1], out[0], out[1]];
    let windows = [0, 1].map(|axis| Windows::adaptive(input[2 + axis], out[axis]));
    check::<T>(input, output, &windows, format, None);
}

#[test]
fn whole_vectors_and_what_is_left_of_one() {
    let overlapping = Pool2dConfig { stride: [2, 2], padding: [1, 1], ..Pool2dConfig::new([3, 3]) };
    for format in FORMATS {
        for lanes in [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100] {
            for input in [[lanes, 3, 7, 6], [3, lanes, 6, 7]] {
                check_sliding::<f32>(input, &Pool2dConfig::new([2, 2]), format);
                check_sliding::<f32>(input, &overlapping, format);
                check_adaptive::<f32>(input, [1, 1], format);
            }
        }
        check_sliding::<f64>([5, 3, 7, 6], &overlapping, format);
        check_adaptive::<f64>([5, 3, 7, 6], [3, 4], format);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_window(
        input in [1usize..20, 1usize..20, 1usize..9, 1usize..9],
        kernel in prop::array::uniform2(1usize..5),
        stride in prop::array::uniform2(1usize..5),
        padding in prop::array::uniform2(0usize..3),
        dilation in prop::sample::select(vec![[1, 1], [1, 1], [2, 1], [1, 3]]),
        (ceil_mode, count_include_pad) in any::<(bool, bool)>(),
        format in prop::sample::select(FORMATS.to_vec()),
    ) {
        let config = Pool2dConfig { kernel, stride, padding, dilation, ceil_mode, count_include_pad };
        // What is refused is another test's.
        prop_assume!(pool::output_shape(input, &config).is_ok());
        check_sliding::<f32>(input, &config, format);
    }

    #[test]
    fn any_adaptive_size(
        input in [1usize..20, 1usize..20, 1usize..9, 1usize..9],
        out in prop::array::uniform2(0usize..12),
        format in prop::sample::select(FORMATS.to_vec()),
    ) {
        check_adaptive::<f32>(input, out, format);
    }
}

#[test]
fn operands_in_different_formats() {
    let (input, output) = ([17, 5, 6, 6], [17, 5, 3, 3]);
    let config = Pool2dConfig::new([2, 2]);
    let windows = [0, 1].map(|axis| Windows::sliding(&config, axis, 6, 3));
    for x_format in FORMATS {
        for y_format in FORMATS {
            let x = image::<f32>(input, x_format, 1, true);
            let mut y = Tensor::filled(0.0, output, y_format);
            let mut want = y.clone();
            let mut at = Tensor::filled(0, output, Format::Contiguous);
            let mut want_at = at.clone();
            pool::max_forward(x.view(), &config, y.view_mut(), at.view_mut()).unwrap();
            naive::max_forward(x.view(), &windows, want.view_mut(), want_at.view_mut());
            assert_eq!((bits(&y), at.data), (bits(&want), want_at.data));
        }
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let input = [64, 9, 40, 40];
    let config = Pool2dConfig { stride: [2, 2], padding: [1, 1], ..Pool2dConfig::new([3, 3]) };
    let output = pool::output_shape(input, &config).unwrap();
    for format in FORMATS {
        let len = input.iter().product();
        let x = Tensor::new(to::<f32>(&noise(len, 1)), input, format);
        assert_thread_independent(|| {
            let (mut y, mut at) =
                (Tensor::filled(0.0, output, format), Tensor::filled(0, output, format));
            let (mut dx, mut average) = (x.clone(), x.clone());
            pool::max_forward(x.view(), &config, y.view_mut(), at.view_mut()).unwrap();
            pool::max_backward(y.view(), at.view(), dx.view_mut()).unwrap();
            pool::avg_backward(y.view(), &config, average.view_mut()).unwrap();
            (y, at, dx, average)
        });
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let x = image::<f32>([2, 3, 4, 4], Format::Contiguous, 1, false);
    let config = Pool2dConfig::new([2, 2]);
    let mut wrong = Tensor::filled(0.0f32, [2, 3, 2, 3], Format::Contiguous);
    let mut right = Tensor::filled(0.0f32, [2, 3, 2, 2], Format::Contiguous);
    let mut at = Tensor::filled(16u32, [2, 3, 2, 2], Format::Contiguous);
    let error = pool::max_forward(x.view(), &config, wrong.view_mut(), at.view_mut()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "max_pool2d: shape of the output: expected [2, 3, 2, 2], got [2, 3, 2, 3]"
    );
    assert!(pool::avg_forward(x.view(), &config, wrong.view_mut()).is_err());
    assert!(pool::avg_backward(wrong.view(), &config, right.view_mut()).is_err());
    let dilated = Pool2dConfig { dilation: [2, 1], ..config };
    assert!(pool::avg_forward(x.view(), &dilated, right.view_mut()).is_err());

    let mut dx = x.clone();
    let error = pool::max_backward(right.view(), at.view(), dx.view_mut()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "max_pool2d backward: index: expected a place in an image of 4 by 4, got 16"
    );
    assert!(pool::max_backward(wrong.view(), at.view(), dx.view_mut()).is_err());

    let mut other = Tensor::filled(0.0f32, [1, 3, 2, 2], Format::Contiguous);
    assert!(pool::adaptive_avg_forward(x.view(), other.view_mut()).is_err());
    let empty = Tensor::filled(0.0f32, [2, 3, 0, 4], Format::Contiguous);
    assert!(pool::adaptive_avg_forward(empty.view(), right.view_mut()).is_err());
}
