//! What the tests of layers share.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use topedge_autograd::{Float, Tape, Tensor, no_grad};

use crate::context::Context;
use crate::module::{Item, ItemMut, Module, walk, walk_mut};

pub(crate) fn rng() -> Pcg64 {
    Pcg64::seed_from_u64(7)
}

/// Values between -1 and 1.
pub(crate) fn tensor(shape: &[usize]) -> Tensor<f64> {
    let mut rng = rng();
    let values = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0));
    Tensor::new(values.collect(), shape).unwrap()
}

/// Checks `output_shape` against the shape of an actual output.
pub(crate) fn check_shape<T: Float>(module: &mut dyn Module<T>, input: &[usize]) {
    let y = module.forward(&Tensor::ones(input).unwrap(), &mut Context::train(1)).unwrap();
    assert_eq!(module.output_shape(input).unwrap(), y.shape(), "{}", module.kind());
}

/// Checks backward against central differences of `sum(w * forward(x))`, w fixed, for the input
/// and for each parameter.
pub(crate) fn check_gradients(module: &mut dyn Module<f64>, x: &Tensor<f64>) {
    let x = x.clone().requires_grad();
    let forward = |module: &mut dyn Module<f64>, x: &Tensor<f64>| {
        let y = module.forward(x, &mut Context::train(1)).unwrap();
        let weights = tensor(y.shape());
        y.mul(&weights).unwrap().sum()
    };
    let tape = Tape::new();
    let loss = forward(module, &x);
    tape.backward(&loss).unwrap();
    drop(tape);

    let compare = |place: &str, backward: f64, numeric: f64| {
        let tolerance = 1e-6 + 1e-4 * numeric.abs();
        assert!(
            (backward - numeric).abs() <= tolerance,
            "{place}: backward {backward}, numeric {numeric}"
        );
    };
    const STEP: f64 = 1e-6;
    let gradient = x.grad().unwrap().to_vec();
    for (i, &gradient) in gradient.iter().enumerate() {
        let mut at = |step: f64| {
            let mut x = x.detach();
            x.make_mut()[i] += step;
            no_grad(|| forward(module, &x)).item().unwrap()
        };
        let numeric = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        compare(&format!("input {i}"), gradient, numeric);
    }

    let mut gradients = vec![];
    walk(module, &mut |path, item| {
        if let Item::Parameter(parameter) = item {
            let gradient = parameter.value.grad();
            let gradient = gradient.unwrap_or_else(|| panic!("no gradient of {path}"));
            gradients.push((path.to_string(), gradient.to_vec()));
        }
    });
    for (path, gradient) in gradients {
        for (i, &gradient) in gradient.iter().enumerate() {
            let mut at = |step: f64| {
                shift(module, &path, i, step);
                let loss = no_grad(|| forward(module, &x)).item().unwrap();
                shift(module, &path, i, -step);
                loss
            };
            let numeric = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            compare(&format!("{path} {i}"), gradient, numeric);
        }
    }
}

fn shift(module: &mut dyn Module<f64>, path: &str, i: usize, step: f64) {
    walk_mut(module, &mut |at, item| {
        if let ItemMut::Parameter(parameter) = item
            && at == path
        {
            parameter.value.make_mut()[i] += step;
        }
    });
}
