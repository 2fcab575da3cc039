//! The general path: a GEMM whose panels are packed straight from the images.
//!
//! Rows are output channels, columns `(tap, channel)`, and the sum runs over places.

use super::super::geometry::Geometry;
use crate::arch::Isa;
use crate::element::Element;
use crate::gemm::blocked::{self, ColumnOffsets, MAX_NR, Output, PackA, PackB};
use crate::gemm::{Finish, Microkernel};
use crate::parallel::{self, SharedMut};
use crate::scratch;
use crate::view::{TensorMut, TensorRef};

/// Weights from which on one sum has tiles enough for every thread.
const WIDE: usize = 1 << 16;
/// Places in a piece of the sum, at the least.
const PIECE: usize = 4096;
/// Pieces of the sum, at the most: each has a copy of the weight.
const MAX_PIECES: usize = 16;

/// Computes the gradient, group by group.
pub(in super::super) fn run<T: Element>(
    isa: Isa,
    geometry: &Geometry,
    x: &TensorRef<'_, T>,
    dy: &TensorRef<'_, T>,
    dw: &mut TensorMut<'_, T>,
) {
    let (rows, channels) = (geometry.group_outputs(), geometry.group_inputs());
    let columns = geometry.taps() * channels;
    let places = geometry.batch * geometry.out_size[0] * geometry.out_size[1];
    let pieces = if rows * columns >= WIDE { 1 } else { (places / PIECE).clamp(1, MAX_PIECES) };
    let piece = places.div_ceil(pieces);
    for group in 0..geometry.config.groups {
        scratch::with(pieces * rows * columns, |sums: &mut [T]| {
            let to = SharedMut::new(sums.as_mut_ptr());
            parallel::for_each(pieces, rows * columns * places, |index| {
                let first = (index * piece).min(places);
                let sum = Sum { geometry, x, dy, group, first };
                let output = Output {
                    // SAFETY: each piece has `rows * columns` sums of its own.
                    c: unsafe { to.get().add(index * rows * columns) },
                    row_stride: columns,
                    columns: Contiguous,
                    finish: Finish { beta: T::ZERO, bias: None },
                };
                let size = [rows, columns, piece.min(places - first)];
                // SAFETY: rows, columns and places are those of the views, which the geometry was
                // made of; the sums are this piece's.
                unsafe { blocked::run(isa, size, &sum, &sum, &output) };
            });
            super::store(geometry, sums, group, dw);
        });
    }
}

/// A piece of the sum over places, from `first` on.
struct Sum<'a, T> {
    geometry: &'a Geometry,
    x: &'a TensorRef<'a, T>,
    dy: &'a TensorRef<'a, T>,
    group: usize,
    first: usize,
}

impl<T> Sum<'_, T> {
    /// `(image, [height, width])` of a place of this piece.
    #[inline(always)]
    fn place(&self, index: usize) -> (usize, [usize; 2]) {
        let [height, width] = self.geometry.out_size;
        let place = self.first + index;
        let position = place % (height * width);
        (place / (height * width), [position / width, position % width])
    }
}

/// The output's gradient: `[rows][places]`.
impl<T: Element> PackA<T> for Sum<'_, T> {
    #[inline(always)]
    unsafe fn pack<V: Microkernel<Elem = T>>(
        &self,
        [i0, rows]: [usize; 2],
        [k0, depth]: [usize; 2],
        to: *mut T,
    ) {
        let strides = self.dy.strides();
        let channel = self.group * self.geometry.group_outputs() + i0;
        for k in 0..depth {
            let (n, [h, w]) = self.place(k0 + k);
            let offset = n * strides[0] + channel * strides[1] + h * strides[2] + w * strides[3];
            for i in 0..V::MR {
                // SAFETY: channel and place are inside `dy`; `to` is the caller's duty.
                unsafe {
                    *to.add(k * V::MR + i) = if i < rows {
                        *self.dy.as_ptr().add(offset + i * strides[1])
                    } else {
                        T::ZERO
                    };
                }
            }
        }
    }
}

/// What each place sees: `[places][taps * channels]`.
impl<T: Element> PackB<T> for Sum<'_, T> {
    #[inline(always)]
    unsafe fn pack<V: Microkernel<Elem = T>>(
        &self,
        [k0, depth]: [usize; 2],
        [j0, columns]: [usize; 2],
        to: *mut T,
    ) {
        let (geometry, strides) = (self.geometry, self.x.strides());
        let (channels, kernel_width) = (geometry.group_inputs(), geometry.kernel[1]);
        let mut taps = [([0; 2], 0); MAX_NR];
        for (j, tap) in taps[..columns].iter_mut().enumerate() {
            let (index, channel) = ((j0 + j) / channels, (j0 + j) % channels);
            let channel = self.group * channels + channel;
            *tap = ([index / kernel_width, index % kernel_width], channel * strides[1]);
        }
        for k in 0..depth {
            let (n, out) = self.place(k0 + k);
            for (j, &(tap, channel)) in taps[..V::NR].iter().enumerate() {
                let mut value = T::ZERO;
                if j < columns {
                    let h = geometry.input_at(0, out[0], tap[0]);
                    let w = geometry.input_at(1, out[1], tap[1]);
                    let [height, width] = geometry.in_size;
                    if (0..height as isize).contains(&h) && (0..width as isize).contains(&w) {
                        let place = h as usize * strides[2] + w as usize * strides[3];
                        let offset = n * strides[0] + channel + place;
                        // SAFETY: channel and place are inside `x`.
                        value = unsafe { *self.x.as_ptr().add(offset) };
                    }
                }
                // SAFETY: `to` is the caller's duty.
                unsafe { *to.add(k * V::NR + j) = value };
            }
        }
    }
}

/// The columns of a piece lie one behind the other.
struct Contiguous;

impl ColumnOffsets for Contiguous {
    #[inline(always)]
    fn offsets(&self, j0: usize, offsets: &mut [usize]) {
        for (j, offset) in offsets.iter_mut().enumerate() {
            *offset = j0 + j;
        }
    }
}
