//! Arguments that may be anything at all.

use arbitrary::Arbitrary;
use topedge_kernels::{BatchMut, BatchRef, Isa, MatMut, MatRef, Result, TensorMut, TensorRef};

use crate::integers;

/// A size, stride or step: mostly a small one.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Number {
    Small(u8),
    Medium(u16),
    /// `2^power` and its neighbours.
    NearPower(u8, i8),
    /// Nearly all that fits.
    FromTheTop(u8),
}

impl Number {
    pub fn get(self) -> usize {
        match self {
            Number::Small(n) => usize::from(n % 10),
            Number::Medium(n) => usize::from(n),
            Number::NearPower(power, by) => {
                (1_usize << (power % 64)).wrapping_add_signed(isize::from(by % 4))
            }
            Number::FromTheTop(n) => usize::MAX - usize::from(n),
        }
    }
}

/// A slice, and what is said of how a tensor lies in it.
#[derive(Debug, Arbitrary)]
pub struct View {
    pub shape: [Number; 4],
    pub strides: [Number; 4],
    /// Whether the strides are those of a contiguous tensor, instead.
    contiguous: bool,
    len: u16,
}

impl View {
    pub fn shape(&self) -> [usize; 4] {
        self.shape.map(Number::get)
    }

    pub fn strides(&self) -> [usize; 4] {
        self.strides.map(Number::get)
    }

    pub fn length(&self) -> usize {
        usize::from(self.len % 4096)
    }

    pub fn data(&self, seed: u8) -> Vec<f32> {
        integers(self.length(), seed)
    }

    pub fn view<'a>(&self, data: &'a [f32], shape: [usize; 4]) -> Result<TensorRef<'a, f32>> {
        if self.contiguous {
            return TensorRef::contiguous(data, shape);
        }
        TensorRef::new(data, shape, self.strides())
    }

    pub fn view_mut<'a>(
        &self,
        data: &'a mut [f32],
        shape: [usize; 4],
    ) -> Result<TensorMut<'a, f32>> {
        if self.contiguous {
            return TensorMut::contiguous(data, shape);
        }
        TensorMut::new(data, shape, self.strides())
    }

    pub fn batch<'a>(
        &self,
        data: &'a [f32],
        shape: [usize; 4],
        parts: usize,
    ) -> Result<BatchRef<'a, f32>> {
        BatchRef::in_parts(data, shape, self.strides(), parts)
    }

    pub fn batch_mut<'a>(
        &self,
        data: &'a mut [f32],
        shape: [usize; 4],
        parts: usize,
    ) -> Result<BatchMut<'a, f32>> {
        BatchMut::in_parts(data, shape, self.strides(), parts)
    }

    pub fn matrix<'a>(&self, data: &'a [f32], shape: [usize; 2]) -> Result<MatRef<'a, f32>> {
        let [row, column, ..] = self.strides();
        MatRef::new(data, shape, [row, column])
    }

    pub fn matrix_mut<'a>(
        &self,
        data: &'a mut [f32],
        shape: [usize; 2],
    ) -> Result<MatMut<'a, f32>> {
        let [row, column, ..] = self.strides();
        MatMut::new(data, shape, [row, column])
    }
}

/// Products that a call may take here. A view that repeats its elements may ask for any number of them.
pub const MOST: u128 = 1 << 16;

pub fn work(factors: &[&[usize]]) -> u128 {
    let factors = factors.iter().copied().flatten();
    factors.fold(1, |product, &n| product.saturating_mul(n as u128))
}

/// Whether one of these is more than a call may take.
pub fn too_much(work: &[u128]) -> bool {
    work.iter().any(|&n| n > MOST)
}

/// Runs a kernel and the naive loops on copies of `start`: both refuse it, or both give the same.
pub fn compare(
    start: &[f32],
    kernel: impl Fn(&mut [f32]) -> Result<()>,
    naive: impl FnOnce(&mut [f32]) -> Result<()>,
) {
    let mut expected = start.to_vec();
    let outcome = naive(&mut expected);
    for isa in Isa::available() {
        let mut got = start.to_vec();
        assert_eq!(isa.with(|| kernel(&mut got)).is_ok(), outcome.is_ok(), "{}", isa.name());
        // What was refused is as it was.
        assert!(got == expected, "differs on {}", isa.name());
    }
}
