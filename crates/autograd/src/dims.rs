//! Shapes and strides without a heap allocation.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::error::{Error, Result};

/// The most axes that a tensor can have.
pub const MAX_RANK: usize = 6;

/// Up to [`MAX_RANK`] numbers, one for each axis: a shape, strides or an order of axes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dims {
    // Beyond `rank` all are zero, so that equality can be derived.
    values: [usize; MAX_RANK],
    rank: usize,
}

impl Dims {
    /// The numbers of `values`; an error of `op` if they are too many.
    pub(crate) fn new(op: &'static str, values: &[usize]) -> Result<Self> {
        if values.len() > MAX_RANK {
            let expected = format!("at most {MAX_RANK} axes");
            return Err(Error::shape(op, "shape", expected, format!("{values:?}")));
        }
        Ok(Self::from_fn(values.len(), |axis| values[axis]))
    }

    /// `f(axis)` for each axis. `rank` is at most [`MAX_RANK`].
    pub(crate) fn from_fn(rank: usize, f: impl FnMut(usize) -> usize) -> Self {
        let mut values = [0; MAX_RANK];
        for (value, of_axis) in values[..rank].iter_mut().zip((0..rank).map(f)) {
            *value = of_axis;
        }
        Self { values, rank }
    }

    /// These numbers with that of one axis left out.
    pub(crate) fn without(&self, axis: usize) -> Self {
        Self::from_fn(self.rank - 1, |i| self[i + usize::from(i >= axis)])
    }

    /// These numbers with another for one axis.
    pub(crate) fn with(mut self, axis: usize, value: usize) -> Self {
        self[axis] = value;
        self
    }
}

impl Deref for Dims {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.values[..self.rank]
    }
}

impl DerefMut for Dims {
    fn deref_mut(&mut self) -> &mut [usize] {
        &mut self.values[..self.rank]
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
