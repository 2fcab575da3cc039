//! The most that a core can do: fused multiply-adds on registers alone. What kernels reach is to be
//! read against this.

use std::hint::black_box;

use crate::arch::{Isa, Kernel, Microkernel};

/// Runs `rounds` rounds of independent sums on the vectors of the current instruction set. How many
/// operations that are, [`operations`] says.
pub fn multiply_adds(rounds: usize) {
    Isa::current().run_f32(Sums { rounds });
}

/// Floating-point operations of [`multiply_adds`]; at most what a number holds.
pub fn operations(rounds: usize) -> u64 {
    Isa::current().run_f32(Operations { rounds })
}

/// Enough to hide the latency of two units, few enough for the registers.
const MANY: usize = 12;
/// The same where a vector takes two of sixteen registers.
const FEW: usize = 6;

#[inline(always)]
fn many<V: Microkernel>() -> bool {
    V::MR * V::NV >= MANY
}

struct Sums {
    rounds: usize,
}

impl Kernel<f32> for Sums {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = f32>>(self) {
        if many::<V>() { sums::<V, MANY>(self.rounds) } else { sums::<V, FEW>(self.rounds) }
    }
}

#[inline(always)]
fn sums<V: Microkernel<Elem = f32>, const SUMS: usize>(rounds: usize) {
    let x = V::splat(black_box(0.5));
    let mut sums = [x; SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = sum.mul_add(x, x);
        }
    }
    let total = sums.into_iter().fold(x, V::add);
    black_box(total.reduce_add());
}

struct Operations {
    rounds: usize,
}

impl Kernel<f32> for Operations {
    type Output = u64;

    #[inline(always)]
    fn run<V: Microkernel<Elem = f32>>(self) -> u64 {
        let sums = if many::<V>() { MANY } else { FEW };
        ((2 * V::LANES * sums) as u64).saturating_mul(self.rounds as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_grow_with_the_rounds() {
        for isa in Isa::available() {
            isa.with(|| {
                multiply_adds(3);
                assert!(operations(1) >= 2 * 8 * FEW as u64);
                assert_eq!(operations(7), 7 * operations(1));
            });
        }
    }
}
