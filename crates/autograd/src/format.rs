//! Memory formats, and moving values between layouts.

use topedge_kernels::elementwise;

use crate::error::{Error, Result};
use crate::float::Float;
use crate::layout::Layout;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

/// How images `[batch, channels, height, width]` lie in memory.
///
/// Results keep the format of their input, so that one conversion at the start of a network is
/// enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemoryFormat {
    /// NCHW: width innermost. The default everywhere.
    Contiguous,
    /// NHWC: channels innermost.
    ChannelsLast,
    /// CHWN: batch innermost. Fast for small networks, where only the batch fills vectors.
    BatchLast,
}

impl MemoryFormat {
    /// The axes of an image in memory, outermost first.
    fn order(self) -> [usize; 4] {
        match self {
            Self::Contiguous => [0, 1, 2, 3],
            Self::ChannelsLast => [0, 2, 3, 1],
            Self::BatchLast => [1, 2, 3, 0],
        }
    }
}

/// The copy's gradient is the copy of the gradient, in whatever layout.
struct Copied;

impl<T: Float> Backward<T> for Copied {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || Ok(dy))
    }
}

impl<T: Float> Tensor<T> {
    /// The same tensor laid out as `format`, in one part; shares its values if they lie so already.
    ///
    /// # Errors
    ///
    /// If the tensor does not have four axes, except for [`MemoryFormat::Contiguous`].
    pub fn to_format(&self, format: MemoryFormat) -> Result<Self> {
        if format == MemoryFormat::Contiguous {
            return Ok(self.contiguous());
        }
        if self.rank() != 4 {
            let expected = "[batch, channels, height, width]";
            let got = format!("{:?}", self.shape());
            return Err(Error::shape("to_format", "shape", expected, got));
        }
        Ok(self.recorded_in(Layout::dense(self.layout().shape, &format.order())))
    }

    /// The same tensor, row-major without gaps, in one part; shares its values if they lie so already.
    pub fn contiguous(&self) -> Self {
        self.recorded_in(Layout::row_major(self.layout().shape))
    }

    fn recorded_in(&self, layout: Layout) -> Self {
        if self.layout().same_strides(&layout) {
            return self.clone();
        }
        record(self.copied_to(layout), &[self], |_| Copied)
    }

    /// The same tensor with its first axis in one part.
    pub(crate) fn in_one_part(&self) -> Self {
        if self.parts() == 1 {
            return self.clone();
        }
        self.recorded_in(self.layout().in_one_part())
    }

    /// The same values in as many parts as `other` has, if they are not in any layout.
    pub(crate) fn in_parts_of(&self, other: &Layout) -> Self {
        if self.parts() == other.parts {
            return self.detach();
        }
        self.copied_to(other.with_shape(self.layout().shape))
    }

    /// The same values laid out as `layout`, which is dense; shares them if they lie so already.
    pub(crate) fn in_layout(&self, layout: &Layout) -> Self {
        if self.layout().same_strides(layout) { self.detach() } else { self.copied_to(*layout) }
    }

    /// The same values without gaps, axes in the same order; shares them if they lie so already.
    pub(crate) fn without_gaps(&self) -> Self {
        let layout = self.layout();
        if layout.is_dense() {
            return self.detach();
        }
        self.copied_to(layout.with_shape(layout.shape))
    }

    /// A copy laid out as `layout`, which is dense.
    pub(crate) fn copied_to(&self, layout: Layout) -> Self {
        if self.parts() > 1 && layout.parts > 1 && self.parts() != layout.parts {
            return self.detach().in_one_part().copied_to(layout);
        }
        let mut copy = Self::for_overwrite(layout);
        let parts = self.layout().parts.max(layout.parts);
        let [from, to] = [self.layout(), &layout].map(|of| match parts {
            1 => *of,
            _ => of.with_axis_of_parts(parts),
        });
        let seen = from.permuted(&to.order());
        elementwise::copy_strided(self.memory(), &seen.shape, &seen.strides, 0, copy.make_mut())
            .expect("a tensor's layout stays inside its memory");
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, random};

    #[test]
    fn formats_change_strides_and_nothing_else() {
        let x = random(1, &[2, 3, 4, 5]);
        for (format, strides) in [
            (MemoryFormat::Contiguous, [60, 20, 5, 1]),
            (MemoryFormat::ChannelsLast, [60, 1, 15, 3]),
            (MemoryFormat::BatchLast, [1, 40, 10, 2]),
        ] {
            let y = x.to_format(format).unwrap();
            assert_eq!(y.strides(), strides);
            assert_eq!(y.to_vec(), x.to_vec());
            assert!(y.contiguous().strides() == x.strides());
        }
        assert!(random(1, &[2, 3]).to_format(MemoryFormat::BatchLast).is_err());
    }

    #[test]
    fn gradients_pass_through_a_conversion() {
        gradcheck(&[random(1, &[2, 3, 1, 2])], |x| {
            let y =
                x[0].to_format(MemoryFormat::BatchLast)?.to_format(MemoryFormat::ChannelsLast)?;
            y.mul(&x[0])?.contiguous().mul(&y)
        })
        .unwrap();
    }

    #[test]
    fn any_two_numbers_of_parts() {
        let x = random(1, &[12, 2, 3, 2]);
        let in_parts = |parts| {
            let order = MemoryFormat::BatchLast.order();
            x.copied_to(Layout::dense_in_parts(x.layout().shape, &order, parts))
        };
        for a in [1, 2, 3, 4, 6, 12].map(in_parts) {
            assert_eq!(a.to_vec(), x.to_vec());
            for b in [1, 2, 3, 4, 6, 12].map(in_parts) {
                assert_eq!(a.copied_to(*b.layout()).to_vec(), x.to_vec());
                let (sum, shifted) = (a.add(&b).unwrap(), a.mul(&b.narrow(0, 3, 1).unwrap()));
                assert_eq!(sum.to_vec(), x.add(&x).unwrap().to_vec());
                assert_eq!(sum.parts(), a.parts());
                let expected = x.mul(&x.narrow(0, 3, 1).unwrap()).unwrap();
                assert_eq!(shifted.unwrap().to_vec(), expected.to_vec());
                let rows = |x: &Tensor<f64>| x.flatten(1).unwrap();
                let product = rows(&a).matmul(&rows(&b).transpose(0, 1).unwrap()).unwrap();
                let expected = rows(&x).matmul(&rows(&x).transpose(0, 1).unwrap()).unwrap();
                assert_close(&product, &expected, 1e-12);
                let y = rows(&a).linear(&rows(&b), None).unwrap();
                assert_close(&y, &expected, 1e-12);
                gradcheck(&[a.clone(), b], |x| x[0].mul(&x[1])?.add(&x[1])).unwrap();
            }
        }
    }
}
