//! Optimiser steps of every instruction set against the formulas, and golden figures.

mod common;

use common::{LENGTHS, assert_close, assert_thread_independent, each_isa, noise, to};
use topedge_kernels::Element;
use topedge_kernels::optim::{Adam, Sgd, adam, sgd};
use topedge_kernels::reference::optim as naive;

const FASTAI: Adam<f64> = Adam {
    lr: 0.1,
    momentum: 0.9,
    sqr_momentum: 0.99,
    eps: 1e-5,
    weight_decay: 0.01,
    decoupled: true,
    step: 1,
};

/// The numbers, as they are after rounding to `T`.
fn rounded<T: Element>(x: f64) -> (T, f64) {
    (T::from_f64(x), T::from_f64(x).to_f64())
}

fn check_adam<T: Element>(decoupled: bool, step: u64) {
    let [lr, momentum, sqr_momentum, eps, weight_decay] =
        [0.1, 0.9, 0.99, 1e-5, 0.01].map(rounded::<T>);
    let config = Adam {
        lr: lr.0,
        momentum: momentum.0,
        sqr_momentum: sqr_momentum.0,
        eps: eps.0,
        weight_decay: weight_decay.0,
        decoupled,
        step,
    };
    let exact = Adam {
        lr: lr.1,
        momentum: momentum.1,
        sqr_momentum: sqr_momentum.1,
        eps: eps.1,
        weight_decay: weight_decay.1,
        decoupled,
        step,
    };
    each_isa(|isa| {
        for len in LENGTHS {
            let [p, g, avg] = [1, 2, 3].map(|seed| noise(len, seed));
            let sqr_avg: Vec<f64> = noise(len, 4).iter().map(|x| x.abs()).collect();
            let [mut got_p, mut got_avg, mut got_sqr] = [&p, &avg, &sqr_avg].map(|x| to::<T>(x));
            adam(&config, &mut got_p, &to(&g), &mut got_avg, &mut got_sqr).unwrap();
            let want: Vec<[f64; 3]> =
                (0..len).map(|i| naive::adam(&exact, p[i], g[i], avg[i], sqr_avg[i])).collect();
            for (which, got) in [got_p, got_avg, got_sqr].into_iter().enumerate() {
                let want: Vec<f64> = want.iter().map(|want| want[which]).collect();
                assert_close(&got, &want, 3e-6, &format!("{}, {which}, {len}", isa.name()));
            }
        }
    });
}

#[test]
fn adam_agrees_with_its_formula() {
    for decoupled in [false, true] {
        for step in [1, 2, 1000] {
            check_adam::<f32>(decoupled, step);
            check_adam::<f64>(decoupled, step);
        }
    }
}

fn check_sgd<T: Element>(momentum: f64, decoupled: bool) {
    let [lr, momentum, weight_decay] = [0.1, momentum, 0.01].map(rounded::<T>);
    let config = Sgd { lr: lr.0, momentum: momentum.0, weight_decay: weight_decay.0, decoupled };
    let exact = Sgd { lr: lr.1, momentum: momentum.1, weight_decay: weight_decay.1, decoupled };
    each_isa(|isa| {
        for len in LENGTHS {
            let [p, g, avg] = [1, 2, 3].map(|seed| noise(len, seed));
            let (mut got_p, mut got_avg) = (to::<T>(&p), to::<T>(&avg));
            sgd(&config, &mut got_p, &to(&g), &mut got_avg).unwrap();
            let want = (0..len).map(|i| naive::sgd(&exact, p[i], g[i], avg[i]));
            let (want_p, want_avg): (Vec<f64>, Vec<f64>) = want.map(|[p, avg]| (p, avg)).unzip();
            let context = format!("{}, {len}", isa.name());
            assert_close(&got_p, &want_p, 1e-6, &context);
            let untouched = if momentum.1 == 0.0 { avg } else { want_avg };
            assert_close(&got_avg, &untouched, 1e-6, &context);
        }
    });
}

#[test]
fn sgd_agrees_with_its_formula() {
    for momentum in [0.0, 0.9] {
        for decoupled in [false, true] {
            check_sgd::<f32>(momentum, decoupled);
            check_sgd::<f64>(momentum, decoupled);
        }
    }
}

/// Measured with fastai 2.8.12: `Adam([p], lr=.1, mom=.9, sqr_mom=.99, eps=1e-5, wd=.01)`.
#[test]
fn adam_as_fastai_has_it() {
    let steps = [
        ([0.1, -0.2], [0.899_010_003, -1.898_005_01]),
        ([0.3, 0.4], [0.806_502_581, -1.932_666_66]),
        ([-0.5, 0.6], [0.821_737_349, -1.998_692_87]),
    ];
    let (mut p, mut avg, mut sqr_avg) = ([1.0, -2.0], [0.0; 2], [0.0; 2]);
    for (step, (gradient, want)) in (1..).zip(steps) {
        adam(&Adam { step, ..FASTAI }, &mut p, &gradient, &mut avg, &mut sqr_avg).unwrap();
        for (got, want) in p.iter().zip(want) {
            assert!((got - want).abs() < 1e-7, "step {step}: {got} instead of {want}");
        }
    }
}

/// Measured with PyTorch 2.15: `SGD([p], lr=.1, momentum=.9)` and a gradient of 1.
#[test]
fn sgd_is_not_damped() {
    let config = Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.0, decoupled: true };
    let (mut p, mut avg) = ([1.0f64], [0.0]);
    for want in [0.9, 0.71, 0.439] {
        sgd(&config, &mut p, &[1.0], &mut avg).unwrap();
        assert!((p[0] - want).abs() < 1e-12);
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let [p, g] = [1, 2].map(|seed| to::<f64>(&noise(400_000, seed)));
    assert_thread_independent(|| {
        let (mut p, mut avg, mut sqr_avg) = (p.clone(), g.clone(), p.clone());
        adam(&FASTAI, &mut p, &g, &mut avg, &mut sqr_avg).unwrap();
        // NaN, of roots of negative averages, is not equal to itself.
        p.iter().map(|p| p.to_bits()).collect::<Vec<_>>()
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let (mut three, mut two) = ([0.0; 3], [0.0; 2]);
    let error = adam(&FASTAI, &mut three, &[0.0; 3], &mut two, &mut [0.0; 3]).unwrap_err();
    assert_eq!(error.to_string(), "adam: length of avg: expected 3, got 2");
    let zero = Adam { step: 0, ..FASTAI };
    assert!(adam(&zero, &mut three, &[0.0; 3], &mut [0.0; 3], &mut [0.0; 3]).is_err());
    let config = Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.0, decoupled: true };
    assert!(sgd(&config, &mut three, &[0.0; 3], &mut []).is_err());
    let plain = Sgd { momentum: 0.0, ..config };
    assert!(sgd(&plain, &mut three, &[0.0; 3], &mut []).is_ok());
    assert!(sgd(&plain, &mut three, &[0.0; 2], &mut []).is_err());
}
