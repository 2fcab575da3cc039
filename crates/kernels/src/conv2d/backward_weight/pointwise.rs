//! The path for kernels of one tap on images that lie channels-last: a plain GEMM, whose sum goes over
//! the places that the kernel sees.
//!
//! Channels of one place are neighbours, but those of the next may be kilobytes away, which few sets of
//! the first cache hold: so both operands are packed.

use super::super::geometry::Geometry;
use super::transpose::Transpose;
use crate::arch::{CACHE_LINE, Isa, prefetch};
use crate::element::Element;
use crate::gemm::blocked::{self, PackA, PackB};
use crate::gemm::{Finish, Microkernel, Strided};
use crate::scratch;
use crate::view::{TensorMut, TensorRef};

/// Whether this path can run.
pub(in super::super) fn can_run<T: Copy>(
    geometry: &Geometry,
    x: &TensorRef<'_, T>,
    dy: &TensorRef<'_, T>,
) -> bool {
    let inside = geometry.config.padding == [0, 0];
    geometry.taps() == 1 && inside && x.strides()[1] == 1 && dy.strides()[1] == 1
}

/// Computes the gradient, group by group, of operands for which [`can_run`] holds; if it pays and the
/// gradient's channels are neighbours, `transposed`.
pub(in super::super) fn run<T: Element>(
    isa: Isa,
    geometry: &Geometry,
    transposed: bool,
    x: &TensorRef<'_, T>,
    dy: &TensorRef<'_, T>,
    dw: &mut TensorMut<'_, T>,
) {
    let [rows, channels] = [geometry.group_outputs(), geometry.group_inputs()];
    let places = geometry.batch * geometry.out_size[0] * geometry.out_size[1];
    let [row_stride, column_stride, ..] = dw.strides();
    for group in 0..geometry.config.groups {
        let at = |view: &TensorRef<'_, T>, channels: usize, stride: [usize; 2]| Places {
            channels: view.as_ptr().wrapping_add(group * channels),
            size: geometry.out_size,
            // Along an axis of one place the stride does not matter and may be huge.
            strides: [
                view.strides()[0],
                view.strides()[2].wrapping_mul(stride[0]),
                view.strides()[3].wrapping_mul(stride[1]),
            ],
        };
        let finish = Finish { beta: T::ZERO, bias: None };
        let (a, b) = (at(dy, rows, [1, 1]), at(x, channels, geometry.config.stride));
        let dw = dw.as_ptr().wrapping_add(group * rows * row_stride);
        if transposed && column_stride == 1 {
            scratch::with(scratch::product([channels, rows]), |product: &mut [T]| {
                let c = product.as_mut_ptr();
                let output = blocked::Output { c, row_stride: rows, columns: Strided(1), finish };
                // SAFETY: as below; the product is ours alone.
                unsafe { blocked::run(isa, [channels, rows, places], &b, &a, &output) };
                T::run(
                    isa,
                    Transpose {
                        from: product.as_ptr(),
                        from_strides: [1, 0, rows],
                        to: dw,
                        to_strides: [row_stride, 0],
                        sizes: [rows, 1, channels],
                        fill: channels,
                    },
                );
            });
            continue;
        }
        let output = blocked::Output { c: dw, row_stride, columns: Strided(column_stride), finish };
        // SAFETY: without padding each place sees one pixel of the image, so that both operands hold the
        // channels of all places; the weights are distinct.
        unsafe { blocked::run(isa, [rows, channels, places], &a, &b, &output) }
    }
}

/// A matrix of places by channels.
struct Places<T> {
    /// The channels of the first place.
    channels: *const T,
    /// Places in a column and in a row.
    size: [usize; 2],
    /// Elements between neighbouring images, rows and places.
    strides: [usize; 3],
}

// SAFETY: the pointer comes from a view of a slice that may cross threads, and is only read.
unsafe impl<T: Element> Sync for Places<T> {}

impl<T: Element> Places<T> {
    /// Copies some channels of some places, and fills up with zeros to the width of a panel.
    ///
    /// # Safety
    ///
    /// The places and channels must be inside the matrix, `to` valid for `places[1] * width`.
    #[inline(always)]
    unsafe fn pack<V: Microkernel<Elem = T>>(
        &self,
        [first, places]: [usize; 2],
        [channel, channels]: [usize; 2],
        to: *mut T,
        width: usize,
    ) {
        let [height, row_len] = self.size;
        let [mut image, mut row, mut column] =
            [first / row_len / height, first / row_len % height, first % row_len];
        for place in 0..places {
            let offset = image * self.strides[0]
                + row.wrapping_mul(self.strides[1])
                + column.wrapping_mul(self.strides[2]);
            let from = self.channels.wrapping_add(offset + channel);
            let to = to.wrapping_add(place * width);
            // Of the places that are packed next: those of a row lie too far apart for the machine to do so.
            let next = from.wrapping_add(places.wrapping_mul(self.strides[2]));
            for line in (0..width).step_by(CACHE_LINE / size_of::<T>()) {
                prefetch(next.wrapping_add(line));
            }
            if channels >= width {
                // SAFETY: the caller's duty; what is packed is memory of its own.
                unsafe { from.copy_to_nonoverlapping(to, width) };
            } else {
                for i in (0..width).step_by(V::LANES) {
                    let some = V::LANES.min(channels.saturating_sub(i));
                    // SAFETY: the caller's duty.
                    unsafe {
                        V::load_first(from.wrapping_add(i), some)
                            .store_first(to.add(i), V::LANES.min(width - i));
                    }
                }
            }
            column += 1;
            if column == row_len {
                (column, row) = (0, row + 1);
                if row == height {
                    (row, image) = (0, image + 1);
                }
            }
        }
    }
}

impl<T: Element> PackA<T> for Places<T> {
    #[inline(always)]
    unsafe fn pack<V: Microkernel<Elem = T>>(
        &self,
        rows: [usize; 2],
        depth: [usize; 2],
        to: *mut T,
    ) {
        // SAFETY: the caller's duty.
        unsafe { self.pack::<V>(depth, rows, to, V::MR) }
    }

    #[inline(always)]
    fn rows_are_neighbours(&self) -> bool {
        true
    }
}

impl<T: Element> PackB<T> for Places<T> {
    #[inline(always)]
    unsafe fn pack<V: Microkernel<Elem = T>>(
        &self,
        depth: [usize; 2],
        columns: [usize; 2],
        to: *mut T,
    ) {
        // SAFETY: the caller's duty.
        unsafe { self.pack::<V>(depth, columns, to, V::NR) }
    }
}
