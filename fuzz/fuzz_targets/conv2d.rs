//! Any convolution and its gradients, in any memory format and on every instruction set, are those
//! of the naive loops: to the bit, or by Winograd's method within its bound.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use topedge_fuzz::{Convolution, Format, Geometry, integers};
use topedge_kernels::{
    Element, Isa, TensorMut, TensorRef, Winograd, conv2d, reference::conv2d as naive,
};

#[derive(Debug, Arbitrary)]
struct Case {
    geometry: Geometry,
    formats: [Format; 3],
    bias: bool,
    double: bool,
    winograd: bool,
}

/// The error of Winograd's method, relative to the terms of a sum if each were the largest; of one of
/// these integers' it is 16.
const WINOGRAD_BOUND: [f64; 2] = [16.0 * 1e-6, 16.0 * 2e-15];

fn check<T: Element>(case: &Case) {
    let Some(Convolution { input, weight, output, config }) = case.geometry.convolution() else {
        return;
    };
    let config = &config;
    let [(xs, x_len), (ws, w_len), (ys, y_len)] =
        [(0, input), (1, weight), (2, output)].map(|(i, shape)| case.formats[i].layout(shape));
    let (x, w, dy) = (integers::<T>(x_len, 1), integers::<T>(w_len, 2), integers::<T>(y_len, 3));
    let bias = integers::<T>(weight[0], 4);
    let bias = case.bias.then_some(&bias[..]);
    let x_view = TensorRef::new(&x, input, xs).unwrap();
    let w_view = TensorRef::new(&w, weight, ws).unwrap();
    let dy_view = TensorRef::new(&dy, output, ys).unwrap();
    // Outputs start as what they must not be, and must not change between their elements.
    let (y, dx, dw) = (integers::<T>(y_len, 5), integers::<T>(x_len, 6), integers::<T>(w_len, 7));
    let outputs = |reference: bool| {
        let (mut y, mut dx, mut dw) = (y.clone(), dx.clone(), dw.clone());
        let (mut db, mut other_dw) = (vec![T::ONE; weight[0]], dw.clone());
        let mut other_db = db.clone();
        let y_view = TensorMut::new(&mut y, output, ys).unwrap();
        let dx_view = TensorMut::new(&mut dx, input, xs).unwrap();
        let dw_view = TensorMut::new(&mut dw, weight, ws).unwrap();
        if reference {
            naive::forward(x_view, w_view, bias, config, y_view).unwrap();
            naive::backward_input(dy_view, w_view, config, dx_view).unwrap();
            naive::backward_weight(x_view, dy_view, config, dw_view).unwrap();
            naive::backward_bias(dy_view, &mut db).unwrap();
            (other_dw, other_db) = (dw.clone(), db.clone());
        } else {
            conv2d::forward(x_view, w_view, bias, config, y_view).unwrap();
            conv2d::backward_input(dy_view, w_view, config, dx_view).unwrap();
            conv2d::backward_weight(x_view, dy_view, config, dw_view).unwrap();
            conv2d::backward_bias(dy_view, &mut db).unwrap();
            let (dw, db) = (TensorMut::new(&mut other_dw, weight, ws).unwrap(), &mut other_db);
            conv2d::backward_parameters(x_view, dy_view, config, dw, db).unwrap();
        }
        [y, dx, dw, db, other_dw, other_db]
    };
    let expected = outputs(true);
    // What each element of a result sums: taps and channels, or places.
    let places = output[0] * output[2] * output[3];
    let terms = [9 * weight[1], 9 * weight[0] / config.groups, places, 0, places, 0];
    let setting = if case.winograd { Winograd::Always } else { Winograd::Off };
    let unit = WINOGRAD_BOUND[usize::from(case.double)];
    for isa in Isa::available() {
        let got = isa.with(|| setting.with(|| outputs(false)));
        for (i, what) in ["y", "dx", "dw", "db", "dw with db", "db with dw"].into_iter().enumerate()
        {
            let bound = if case.winograd { unit * terms[i].max(9) as f64 } else { 0.0 };
            let near = |(a, b): (&T, &T)| (a.to_f64() - b.to_f64()).abs() <= bound;
            let right = got[i] == expected[i] || got[i].iter().zip(&expected[i]).all(near);
            assert!(right, "{what} differs from the reference on {}", isa.name());
        }
    }
}

fuzz_target!(|case: Case| if case.double { check::<f64>(&case) } else { check::<f32>(&case) });
