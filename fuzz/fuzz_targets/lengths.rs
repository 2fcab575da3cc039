//! Kernels on plain slices with any sizes and lengths at all, as those on images in the target `arguments`:
//! each call is refused with an error, or does what it says; none panics, hangs or touches what is not its
//! own.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use topedge_fuzz::any::{MOST, Number, View, compare, too_much, work};
use topedge_fuzz::integers;
use topedge_kernels::distribution::distribution;
use topedge_kernels::elementwise as e;
use topedge_kernels::norm::{self, BatchNorm, ChannelLayout};
use topedge_kernels::optim::{Adam, Sgd, adam, sgd};
use topedge_kernels::softmax::{self, CrossEntropy, cross_entropy};
use topedge_kernels::{Isa, Result, ShapeError, peak, reduce, reference};

#[derive(Debug, Arbitrary)]
struct Case {
    views: [View; 3],
    /// Whether slices have the lengths that follow from the sizes, instead of any.
    fits: bool,
    offset: Number,
    rank: u8,
    labels: Vec<u8>,
    ignored: Option<u32>,
    smoothing: f32,
    flags: [bool; 2],
    kind: u8,
}

impl Case {
    /// As long as these sizes say if it is to fit and they say little, else as long as the view.
    fn slice(&self, view: usize, sizes: &[usize]) -> Vec<f32> {
        let len = work(&[sizes]);
        let view = &self.views[view];
        let fits = self.fits && len <= MOST;
        integers(if fits { len as usize } else { view.length() }, view.length() as u8)
    }

    fn sizes(&self) -> [usize; 3] {
        let [a, b, c, _] = self.views[0].shape();
        [a, b, c]
    }
}

// Of most calls, refused or not, what is there to be seen is that nothing else happens.

fn batch_norm(case: &Case) {
    let [outer, channels, inner] = case.sizes();
    let layout = ChannelLayout { outer, channels, inner };
    let [x, mut y] = [0, 1].map(|view| case.slice(view, &[outer, channels, inner]));
    let numbers = case.slice(2, &[channels]);
    let (mut mean, mut var) = (numbers.clone(), numbers.clone());
    let relu = case.flags[0];
    let _ = norm::batch_stats(&x, layout, relu, &mut mean, &mut var);
    let norm = BatchNorm { layout, mean: &mean, var: &var, gamma: &numbers, eps: 1e-5, relu };
    let (mut dgamma, mut dbeta) = (numbers.clone(), numbers.clone());
    let _ = norm::normalize(&x, &norm, &numbers, &mut y);
    let _ = norm::backward_train(&x, &norm, &mut y, &mut dgamma, &mut dbeta);
    let _ = norm::backward_eval(&x, &norm, &mut y, &mut dgamma, &mut dbeta);
}

fn reductions(case: &Case) {
    let [outer, n, inner] = case.sizes();
    let x = case.slice(0, &[outer, n, inner]);
    let mut y = case.slice(1, &[outer, inner]);
    let _ = reduce::mean_axis(&x, outer, n, inner, &mut y);
    if reduce::sum_axis(&x, outer, n, inner, &mut y).is_ok() {
        let sums: f32 = y.iter().sum();
        assert_eq!(sums, reduce::sum(&x));
    }
    let mut places = vec![u32::MAX; y.len()];
    if reduce::argmax_axis(&x, outer, n, inner, &mut places).is_ok() {
        assert!(places.iter().all(|&place| (place as usize) < n));
    }
    let _ = reduce::broadcast_axis(&y, outer, n, inner, &mut x.clone());
    let _ = (reduce::mean(&x), reduce::sum_squares(&x));
    let _ = distribution(&x, case.flags[0]);
    assert!(peak::operations(outer) >= outer as u64);
}

fn softmaxes(case: &Case) {
    let [outer, n, inner] = case.sizes();
    let [x, dy] = [0, 1].map(|view| case.slice(view, &[outer, n, inner]));
    let mut y = dy.clone();
    for f in [softmax::softmax, softmax::log_softmax] {
        let _ = f(&x, outer, n, inner, &mut y);
    }
    for f in [softmax::softmax_backward, softmax::log_softmax_backward] {
        let _ = f(&x, &dy, outer, n, inner, &mut y);
    }
}

fn losses(case: &Case) -> Result<()> {
    let [a, b, _] = &case.views;
    let [samples, classes, _] = case.sizes();
    let samples = if case.fits { case.labels.len() } else { samples };
    let shape = [samples, classes];
    if case.labels.len() == samples && too_much(&[work(&[&shape]), classes as u128]) {
        return Ok(());
    }
    let (x, mut dx, weights) = (a.data(1), b.data(2), case.slice(2, &[classes]));
    let labels: Vec<u32> = case.labels.iter().map(|&label| u32::from(label)).collect();
    let config = CrossEntropy {
        class_weights: case.flags[0].then_some(&weights[..]),
        label_smoothing: f64::from(case.smoothing),
        ignore_index: case.ignored,
    };
    let logits = a.matrix(&x, shape)?;
    let _ = cross_entropy(logits, &labels, &config, None);
    let _ = cross_entropy(logits, &labels, &config, Some(b.matrix_mut(&mut dx, shape)?));
    Ok(())
}

/// Views of up to nine axes, copied and added to.
fn copies(case: &Case) {
    let rank = usize::from(case.rank % 10);
    let axes = |f: fn(&View) -> [usize; 4]| -> Vec<usize> {
        case.views.iter().flat_map(f).take(rank).collect()
    };
    let (shape, mut strides) = (axes(View::shape), axes(View::strides));
    if case.flags[0] {
        strides.pop();
    }
    let (offset, x) = (case.offset.get(), case.views[0].data(1));
    let y = case.slice(1, &shape);
    let unequal = || ShapeError::new("copies", "lengths", "others", "these");
    // The naive loops take what lies within the data.
    let inside = strides.len() == rank
        && rank <= 8
        && work(&[&shape]) == y.len() as u128
        && (y.is_empty() || {
            let steps = shape.iter().zip(&strides);
            let reach = steps.map(|(&n, &stride)| (n as u128 - 1).saturating_mul(stride as u128));
            reach.fold(offset as u128, u128::saturating_add) < x.len() as u128
        });
    compare(
        &y,
        |y| e::copy_strided(&x, &shape, &strides, offset, y),
        |y| {
            if !inside {
                return Err(unequal());
            }
            if !y.is_empty() {
                let copy = reference::elementwise::copy_strided(&x, &shape, &strides, offset);
                y.copy_from_slice(&copy);
            }
            Ok(())
        },
    );
    let added = e::scatter_strided(&y, &mut x.clone(), &shape, &strides, offset);
    assert_eq!(added.is_ok(), inside);
}

fn elements(case: &Case) {
    let [n, m, _] = case.sizes();
    let (a, b) = (case.slice(0, &[n]), case.slice(1, &[n]));
    let mut y = if case.flags[0] { a.clone() } else { case.slice(2, &[m]) };
    let s = case.smoothing;
    for f in [e::relu, e::sigmoid, e::tanh, e::gelu, e::silu, e::sqrt, e::exp, e::ln] {
        let _ = f(&a, &mut y);
    }
    for f in [e::leaky_relu, e::scale, e::add_scalar, e::powf] {
        let _ = f(&a, s, &mut y);
    }
    for f in [e::add, e::sub, e::mul, e::div, e::relu_backward, e::sigmoid_backward] {
        let _ = f(&a, &b, &mut y);
    }
    for f in [e::tanh_backward, e::gelu_backward, e::silu_backward] {
        let _ = f(&a, &b, &mut y);
    }
    let _ = e::leaky_relu_backward(&a, s, &b, &mut y);
    let _ = e::add_assign(&mut y, &a);
    let _ = e::axpy(s, &a, &mut y);

    let (mut p, mut avg) = (b.clone(), y.clone());
    let (lr, momentum, weight_decay, decoupled) = (s, if case.flags[1] { 0.0 } else { s }, s, true);
    let _ = sgd(&Sgd { lr, momentum, weight_decay, decoupled }, &mut p, &a, &mut avg);
    let step = n as u64;
    let config = Adam { lr, momentum, sqr_momentum: s, eps: 1e-5, weight_decay, decoupled, step };
    let _ = adam(&config, &mut p, &a, &mut avg, &mut y);
}

fuzz_target!(|case: Case| {
    let kind = case.kind % 6;
    if kind == 0 {
        return copies(&case);
    }
    for isa in Isa::available() {
        isa.with(|| match kind {
            1 => batch_norm(&case),
            2 => reductions(&case),
            3 => softmaxes(&case),
            // A view that is refused is an answer, too.
            4 => drop(losses(&case)),
            _ => elements(&case),
        });
    }
});
