//! Any convolution and its gradients, in any memory format and on every instruction set, are those
//! of the naive loops.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use topedge_fuzz::{Format, Geometry, integers};
use topedge_kernels::conv2d::{self, output_shape};
use topedge_kernels::{Element, Isa, TensorMut, TensorRef, reference::conv2d as naive};

#[derive(Debug, Arbitrary)]
struct Case {
    geometry: Geometry,
    formats: [Format; 3],
    bias: bool,
    double: bool,
}

fn check<T: Element>(case: &Case) {
    let (input, weight, config) =
        (case.geometry.input(), case.geometry.weight(), &case.geometry.config());
    let Ok(output) = output_shape(input, weight, config) else {
        return;
    };
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
        let mut db = vec![T::ONE; weight[0]];
        let y_view = TensorMut::new(&mut y, output, ys).unwrap();
        let dx_view = TensorMut::new(&mut dx, input, xs).unwrap();
        let dw_view = TensorMut::new(&mut dw, weight, ws).unwrap();
        if reference {
            naive::forward(x_view, w_view, bias, config, y_view).unwrap();
            naive::backward_input(dy_view, w_view, config, dx_view).unwrap();
            naive::backward_weight(x_view, dy_view, config, dw_view).unwrap();
            naive::backward_bias(dy_view, &mut db).unwrap();
        } else {
            conv2d::forward(x_view, w_view, bias, config, y_view).unwrap();
            conv2d::backward_input(dy_view, w_view, config, dx_view).unwrap();
            conv2d::backward_weight(x_view, dy_view, config, dw_view).unwrap();
            conv2d::backward_bias(dy_view, &mut db).unwrap();
        }
        [y, dx, dw, db]
    };
    let expected = outputs(true);
    for isa in Isa::available() {
        let got = isa.with(|| outputs(false));
        for ((got, expected), what) in got.iter().zip(&expected).zip(["y", "dx", "dw", "db"]) {
            assert!(got == expected, "{what} differs from the reference on {}", isa.name());
        }
    }
}

fuzz_target!(|case: Case| if case.double { check::<f64>(&case) } else { check::<f32>(&case) });
