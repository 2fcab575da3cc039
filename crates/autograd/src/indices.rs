//! Where in its image plane each maximum of a pooled image lies.

use topedge_kernels::{BatchMut, BatchRef};

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
    pub(crate) fn batch(&self) -> Result<BatchRef<'_, u32>> {
        let Layout { shape, strides, parts, .. } = &self.layout;
        let values = self.buffer.as_slice();
        Ok(BatchRef::in_parts(values, Self::four(shape), Self::four(strides), *parts)?)
    }

    /// To write.
    pub(crate) fn batch_mut(&mut self) -> Result<BatchMut<'_, u32>> {
        let Layout { shape, strides, parts, .. } = &self.layout;
        let values = self.buffer.get_mut().expect("nobody else has these indices");
        Ok(BatchMut::in_parts(values, Self::four(shape), Self::four(strides), *parts)?)
    }
}
