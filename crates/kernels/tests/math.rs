//! The accuracy of the transcendental functions in `f32`, against double precision, on every instruction
//! set: over a sample of all numbers, or, by
//! `cargo test --release -p topedge-kernels --test math -- --ignored --nocapture`, over all 2^32.

mod common;

use std::ops::Range;
use std::sync::Mutex;

use common::each_isa;
use rayon::prelude::*;
use topedge_kernels::elementwise as fast;
use topedge_kernels::reference::elementwise as naive;
use topedge_kernels::{Isa, Result};

/// Every so many bit patterns one is tried in the sample; prime, so that all exponents and mantissas
/// have their turn.
const STEP: usize = 4099;

/// The smallest normal number. What is nearer to 0 counts as 0, going in and coming out.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// The distance of `got` from `want` in units in the last place of an `f32` near `want`.
fn error(got: f32, want: f64) -> f64 {
    let right = if want.is_nan() {
        got.is_nan()
    } else if (want as f32).is_infinite() {
        got == want as f32
    } else {
        // A result that rounds to the smallest normal number may have been flushed just before.
        want.abs() < TINY * (1.0 + 1e-6) && (got == 0.0 || f64::from(got.abs()) == TINY)
    };
    if right {
        return 0.0;
    }
    let exponent = want.abs().log2().floor() as i32;
    let error = (f64::from(got) - want).abs() / 2f64.powi(exponent.max(-126) - 23);
    if error.is_nan() { f64::INFINITY } else { error }
}

/// A function: its name, the kernel, the definition and how many units in the last place it may be off.
struct Function {
    name: &'static str,
    kernel: fn(&[f32], &mut [f32]) -> Result<()>,
    exact: fn(f64) -> f64,
    bound: f64,
}

const FUNCTIONS: [Function; 5] = [
    Function { name: "exp", kernel: fast::exp, exact: f64::exp, bound: 1.0 },
    Function { name: "tanh", kernel: fast::tanh, exact: f64::tanh, bound: 1.5 },
    Function { name: "sigmoid", kernel: fast::sigmoid, exact: naive::sigmoid, bound: 2.0 },
    Function { name: "silu", kernel: fast::silu, exact: naive::silu, bound: 2.0 },
    Function { name: "gelu", kernel: fast::gelu, exact: naive::gelu, bound: 2.0 },
];

/// Tries every `step`th of some bit patterns; the largest error on each instruction set, and where.
fn largest(function: &Function, patterns: Range<u64>, step: usize) -> Vec<(f64, f32)> {
    let x: Vec<f32> = patterns.step_by(step).map(|bits| f32::from_bits(bits as u32)).collect();
    let exact = |&x: &f32| {
        let x = if x.is_subnormal() { 0.0_f32.copysign(x) } else { x };
        (function.exact)(f64::from(x))
    };
    let want: Vec<f64> = x.iter().map(exact).collect();
    let largest = Mutex::new(vec![]);
    each_isa(|_| {
        let mut y = vec![0.0; x.len()];
        (function.kernel)(&x, &mut y).unwrap();
        let errors = x.iter().zip(&y).zip(&want).map(|((&x, &y), &want)| (error(y, want), x));
        let most = errors.fold((0.0, 0.0), |most, next| if next.0 > most.0 { next } else { most });
        largest.lock().unwrap().push(most);
    });
    largest.into_inner().unwrap()
}

/// Tries every `step`th number.
fn check(step: usize) {
    const BLOCKS: u32 = 1 << 10;
    for function in &FUNCTIONS {
        let block = |i: u32| (u64::from(i) << 22)..(u64::from(i) + 1) << 22;
        let each = (0..BLOCKS).into_par_iter().map(|i| largest(function, block(i), step));
        let more = |a: (f64, f32), b: (f64, f32)| if b.0 > a.0 { b } else { a };
        let all = each.reduce_with(|a, b| a.into_iter().zip(b).map(|(a, b)| more(a, b)).collect());
        for (isa, (error, x)) in Isa::available().zip(all.unwrap()) {
            let (name, isa, bound) = (function.name, isa.name(), function.bound);
            println!("{name}, {isa}: {error:.3} ulp at {x:e}");
            assert!(error <= bound, "{name}({x:e}), {isa}: {error} ulp, more than {bound}");
        }
    }
}

#[test]
fn sample_of_all_numbers() {
    check(STEP);
}

#[test]
#[ignore = "minutes: all numbers"]
fn all_numbers() {
    check(1);
}

/// Both zeros, both infinities, no number, the ends of the normal numbers and of what is none.
#[test]
fn special_values() {
    let x = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN];
    let tiny = [f32::MIN_POSITIVE, -f32::MIN_POSITIVE, 1e-45, -1e-45, 1e-39, -1e-39];
    for function in &FUNCTIONS {
        for x in x.into_iter().chain(tiny) {
            let bits = u64::from(x.to_bits());
            for (error, _) in largest(function, bits..bits + 1, 1) {
                assert!(error <= function.bound, "{}({x:e}): {error} ulp", function.name);
            }
        }
    }
}
