//! Where in its image plane each maximum of a pooled image lies.

use topedge_kernels::{TensorMut, TensorRef};

use crate::error::Result;
use crate::layout::Layout;
use crate::pool::Buffer;

/// Indices for the images of a layout, laid out alike.
pub(crate) struct Indices {
    buffer: Buffer<u32>,
    layout: Layout,
}

impl Indices {
    /// Indices to write: they are arbitrary. `layout` is dense.
    pub(crate) fn for_overwrite(layout: Layout) -> Self {
        Self { buffer: Buffer::for_overwrite(layout.len()), layout }
    }

    /// As an array; the layouts of images have four axes.
    fn four(dims: &[usize]) -> [usize; 4] {
        dims.try_into().expect("images have four axes")
    }

    /// To read.
    pub(crate) fn images(&self) -> Result<TensorRef<'_, u32>> {
        let Layout { shape, strides, .. } = &self.layout;
        Ok(TensorRef::new(self.buffer.as_slice(), Self::four(shape), Self::four(strides))?)
    }

    /// To write.
    pub(crate) fn images_mut(&mut self) -> Result<TensorMut<'_, u32>> {
        let Layout { shape, strides, .. } = &self.layout;
        let values = self.buffer.get_mut().expect("nobody else has these indices");
        Ok(TensorMut::new(values, Self::four(shape), Self::four(strides))?)
    }
}
