//! Copies images so that their channels are neighbours.

use crate::arch::Kernel;
use crate::element::Element;
use crate::gemm::Microkernel;

/// Elements that are transposed at once, in each direction: a cache line.
const SQUARE: usize = 16;

/// Copies `[images][width][channels]` so that channels are innermost.
pub(super) struct Transpose<T> {
    pub(super) from: *const T,
    pub(super) from_strides: [usize; 3],
    pub(super) to: *mut T,
    pub(super) to_strides: [usize; 2],
    pub(super) sizes: [usize; 3],
    /// Channels of the copy: behind those there are, zeros.
    pub(super) fill: usize,
}

impl<T: Element> Kernel<T> for Transpose<T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let [images, width, channels] = self.sizes;
        let Self { from_strides: [image_stride, width_stride, channel_stride], .. } = self;
        // Squares of channels by what is contiguous: images, or else columns.
        let ([outer, inner], [from_outer, from_inner], [to_outer, to_inner]) = if image_stride == 1
        {
            let [to_image, to_width] = self.to_strides;
            ([width, images], [width_stride, image_stride], [to_width, to_image])
        } else {
            ([images, width], [image_stride, width_stride], self.to_strides)
        };
        for o in 0..outer {
            for i0 in (0..inner).step_by(SQUARE) {
                for c0 in (0..self.fill).step_by(SQUARE) {
                    for i in i0..inner.min(i0 + SQUARE) {
                        let from = self.from.wrapping_add(o * from_outer + i * from_inner);
                        let to = self.to.wrapping_add(o * to_outer + i * to_inner);
                        for c in c0..channels.min(c0 + SQUARE) {
                            // SAFETY: inside the operand and the room that it is packed to.
                            unsafe { *to.add(c) = *from.add(c * channel_stride) };
                        }
                        for c in c0.max(channels)..self.fill.min(c0 + SQUARE) {
                            // SAFETY: as above.
                            unsafe { *to.add(c) = T::ZERO };
                        }
                    }
                }
            }
        }
    }
}
