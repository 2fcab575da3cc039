//! Tensors as kernels see them.

use topedge_kernels::{BatchMut, BatchRef, MatMut, MatRef, ShapeError, TensorMut, TensorRef};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::layout::Layout;
use crate::tensor::Tensor;

/// `values` as an array, if there are so many; else an error of `op` about `what`, which has `axes`.
fn exactly<const N: usize>(
    op: &'static str,
    what: &str,
    axes: &str,
    values: &[usize],
    shape: &[usize],
) -> Result<[usize; N]> {
    values
        .try_into()
        .map_err(|_| Error::shape(op, format!("shape of {what}"), axes, format!("{shape:?}")))
}

impl<T: Float> Tensor<T> {
    /// The sizes of a tensor that `op` needs to have exactly the given `axes`.
    pub(crate) fn sizes<const N: usize>(
        &self,
        op: &'static str,
        what: &str,
        axes: &str,
    ) -> Result<[usize; N]> {
        exactly(op, what, axes, self.shape(), self.shape())
    }

    /// Refuses a tensor in several parts.
    fn check_one_part(&self, op: &'static str, what: &str) -> Result<()> {
        match self.parts() {
            1 => Ok(()),
            parts => Err(Error::shape(op, format!("number of parts of {what}"), 1, parts)),
        }
    }

    /// A matrix to read, in one part.
    pub(crate) fn matrix(&self, op: &'static str, what: &str, axes: &str) -> Result<MatRef<'_, T>> {
        self.check_one_part(op, what)?;
        let shape = self.sizes(op, what, axes)?;
        let strides = exactly(op, what, axes, self.strides(), self.shape())?;
        Ok(MatRef::new(self.memory(), shape, strides)?)
    }

    /// A matrix to write.
    pub(crate) fn matrix_mut(&mut self, op: &'static str, what: &str) -> Result<MatMut<'_, T>> {
        let shape = self.sizes(op, what, "two axes")?;
        let strides = exactly(op, what, "two axes", self.strides(), self.shape())?;
        Ok(MatMut::new(self.make_mut(), shape, strides)?)
    }

    /// Images or weights to read, in one part.
    pub(crate) fn images(
        &self,
        op: &'static str,
        what: &str,
        axes: &str,
    ) -> Result<TensorRef<'_, T>> {
        self.check_one_part(op, what)?;
        let shape = self.sizes(op, what, axes)?;
        let strides = exactly(op, what, axes, self.strides(), self.shape())?;
        Ok(TensorRef::new(self.memory(), shape, strides)?)
    }

    /// Images or weights to write, in one part.
    pub(crate) fn images_mut(&mut self, op: &'static str, what: &str) -> Result<TensorMut<'_, T>> {
        debug_assert_eq!(self.parts(), 1);
        let shape = self.sizes(op, what, "four axes")?;
        let strides = exactly(op, what, "four axes", self.strides(), self.shape())?;
        Ok(TensorMut::new(self.make_mut(), shape, strides)?)
    }

    /// Images to read, in any number of parts.
    pub(crate) fn batch(
        &self,
        op: &'static str,
        what: &str,
        axes: &str,
    ) -> Result<BatchRef<'_, T>> {
        if self.parts() == 1 {
            return Ok(self.images(op, what, axes)?.into());
        }
        let shape = self.sizes(op, what, axes)?;
        let strides = exactly(op, what, axes, self.strides(), self.shape())?;
        Ok(BatchRef::in_parts(self.dense(), shape, strides, self.parts())?)
    }

    /// Images to write, in any number of parts.
    pub(crate) fn batch_mut(&mut self, op: &'static str, what: &str) -> Result<BatchMut<'_, T>> {
        if self.parts() == 1 {
            return Ok(self.images_mut(op, what)?.into());
        }
        let (shape, parts) = (self.sizes(op, what, "four axes")?, self.parts());
        let strides = exactly(op, what, "four axes", self.strides(), self.shape())?;
        Ok(BatchMut::in_parts(self.make_mut(), shape, strides, parts)?)
    }

    /// A vector to read that `op` needs to have `len` elements.
    pub(crate) fn vector(&self, op: &'static str, what: &str, len: usize) -> Result<Self> {
        if self.shape() != [len] {
            let got = format!("{:?}", self.shape());
            return Err(Error::shape(op, format!("shape of {what}"), format!("[{len}]"), got));
        }
        Ok(self.without_gaps())
    }

    /// Refuses an `axis` of `op` that the tensor does not have.
    pub(crate) fn check_axis(&self, op: &'static str, axis: usize) -> Result<()> {
        if axis < self.rank() {
            return Ok(());
        }
        let expected = format!("less than the rank of shape {:?}", self.shape());
        Err(Error::shape(op, "axis", expected, axis))
    }

    /// A kernel's `y = f(x)` on each element; the result lies as this does.
    pub(crate) fn map(
        &self,
        kernel: impl FnOnce(&[T], &mut [T]) -> std::result::Result<(), ShapeError>,
    ) -> Self {
        let x = self.without_gaps();
        let mut y = Self::for_overwrite(*x.layout());
        kernel(x.dense(), y.make_mut()).expect("both have the length of one layout");
        y
    }

    /// A kernel's `y = f(a, b)` on each pair of elements; the result lies as this does.
    ///
    /// # Errors
    ///
    /// That of the kernel, if the shapes differ.
    pub(crate) fn zip(
        &self,
        b: &Self,
        kernel: impl FnOnce(&[T], &[T], &mut [T]) -> std::result::Result<(), ShapeError>,
    ) -> Result<Self> {
        let a = self.without_gaps();
        let b = b.in_layout(a.layout());
        let mut y = Self::for_overwrite(*a.layout());
        kernel(a.dense(), b.dense(), y.make_mut())?;
        Ok(y)
    }

    /// A tensor to write of another shape, axes in the same order in memory.
    pub(crate) fn like_with_shape(&self, op: &'static str, shape: &[usize]) -> Result<Self> {
        Self::like_layout(self.layout(), op, shape)
    }

    /// A tensor to write of another shape than `layout`'s, axes in its order in memory.
    pub(crate) fn like_layout(layout: &Layout, op: &'static str, shape: &[usize]) -> Result<Self> {
        crate::layout::checked_len(op, shape)?;
        let shape = crate::dims::Dims::new(op, shape)?;
        Ok(Self::for_overwrite(layout.with_shape(shape)))
    }
}
