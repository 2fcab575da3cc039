//! `<im2col(x), m> == <x, col2im(m)>` for any images, kernel and matrix.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use topedge_fuzz::{Convolution, Format, Geometry, integers};
use topedge_kernels::conv2d::{Conv2dConfig, col2im, im2col};
use topedge_kernels::{MatMut, MatRef, TensorMut, TensorRef};

#[derive(Debug, Arbitrary)]
struct Case {
    geometry: Geometry,
    format: Format,
}

fuzz_target!(|case: Case| {
    let Some(Convolution { input, weight, output, config }) = case.geometry.convolution() else {
        return;
    };
    // All channels are one group's.
    let config = Conv2dConfig { groups: 1, ..config };
    let channels = input[1];
    let kernel = [weight[2], weight[3]];
    let (rows, places) = (channels * kernel[0] * kernel[1], output[0] * output[2] * output[3]);
    let (strides, len) = case.format.layout(input);
    let (x, m) = (integers::<f64>(len, 1), integers::<f64>(rows * places, 2));

    let mut columns = vec![9.0; rows * places];
    let view = MatMut::row_major(&mut columns, rows, places).unwrap();
    let images = TensorRef::new(&x, input, strides).unwrap();
    im2col(images, kernel, &config, view).unwrap();
    let left: f64 = columns.iter().zip(&m).map(|(a, b)| a * b).sum();

    // Between the elements nothing is written, so that these zeros add nothing to the sum.
    let mut gradient = vec![0.0; len];
    let view = TensorMut::new(&mut gradient, input, strides).unwrap();
    col2im(MatRef::row_major(&m, rows, places).unwrap(), kernel, &config, view).unwrap();
    let right: f64 = gradient.iter().zip(&x).map(|(a, b)| a * b).sum();
    assert_eq!(left, right);
});
