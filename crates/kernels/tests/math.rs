//! The accuracy of the transcendental functions in `f32`, over a sample of all numbers, on every
//! instruction set.

mod common;

use common::each_isa;
use topedge_kernels::Result;
use topedge_kernels::elementwise as fast;
use topedge_kernels::reference::elementwise as naive;

/// Every so many bit patterns one is tried; prime, so that all exponents and mantissas have their
/// turn.
const STEP: usize = 4099;

/// The distance of `got` from `want` in units in the last place of an `f32` near `want`. Results
/// near 0, where intermediate ones may be flushed, count as right if they are near 0 too.
fn error(got: f32, want: f64) -> f64 {
    let tiny = 2f64.powi(-119);
    let right = if want.is_nan() {
        got.is_nan()
    } else if (want as f32).is_infinite() {
        got == want as f32
    } else {
        want.abs() < tiny && f64::from(got).abs() <= tiny
    };
    if right {
        return 0.0;
    }
    let exponent = want.abs().log2().floor() as i32;
    let error = (f64::from(got) - want).abs() / 2f64.powi(exponent - 23);
    if error.is_nan() { f64::INFINITY } else { error }
}

fn check(
    name: &str,
    f: fn(&[f32], &mut [f32]) -> Result<()>,
    exact: impl Fn(f64) -> f64,
    bound: f64,
) {
    let x: Vec<f32> = (0..=u32::MAX)
        .step_by(STEP)
        .map(f32::from_bits)
        .filter(|x| !x.is_subnormal())
        .chain([0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN])
        .collect();
    let want: Vec<f64> = x.iter().map(|&x| exact(f64::from(x))).collect();
    each_isa(|isa| {
        let mut y = vec![0.0; x.len()];
        f(&x, &mut y).unwrap();
        for ((&x, &y), &want) in x.iter().zip(&y).zip(&want) {
            let error = error(y, want);
            let isa = isa.name();
            assert!(error <= bound, "{name}({x:e}), {isa}: {y:e} is {error} ulp from {want:e}");
        }
    });
}

#[test]
fn exp_is_within_1_ulp() {
    check("exp", fast::exp, f64::exp, 1.0);
}

#[test]
fn tanh_is_within_1_and_a_half_ulp() {
    check("tanh", fast::tanh, f64::tanh, 1.5);
}

#[test]
fn sigmoid_is_within_2_ulp() {
    check("sigmoid", fast::sigmoid, naive::sigmoid, 2.0);
}

#[test]
fn silu_is_within_3_ulp() {
    check("silu", fast::silu, naive::silu, 3.0);
}

#[test]
fn gelu_is_within_6_ulp_in_its_tail_too() {
    check("gelu", fast::gelu, naive::gelu, 6.0);
}
