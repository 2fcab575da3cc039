//! The gradient of the bias.

use crate::arch::{Isa, Kernel};
use crate::element::Element;
use crate::error::{Result, check_elements, check_len};
use crate::gemm::Microkernel;
use crate::parallel::{self, MOVED, SharedMut};
use crate::view::BatchRef;

/// Sets `db[k]` to the sum of `dy[n, k, h, w]` over images and places.
///
/// # Errors
///
/// If `db` does not have one number for each channel of `dy`, or `dy` has more elements than any memory
/// holds.
pub fn backward_bias<'a, T: Element>(dy: impl Into<BatchRef<'a, T>>, db: &mut [T]) -> Result<()> {
    let dy = dy.into();
    check("conv2d backward to bias", &dy, db)?;
    run(Isa::current(), &dy, db);
    Ok(())
}

/// What [`backward_bias`] says about the arguments.
pub(super) fn check<T: Element>(op: &'static str, dy: &BatchRef<'_, T>, db: &[T]) -> Result<()> {
    check_elements(op, "output's gradient", dy.shape())?;
    check_len(op, "the bias's gradient", dy.shape()[1], db.len())
}

/// Computes the gradient, of arguments for which [`check`] found nothing to say.
pub(super) fn run<T: Element>(isa: Isa, dy: &BatchRef<'_, T>, db: &mut [T]) {
    if dy.shape().contains(&0) {
        db.fill(T::ZERO);
        return;
    }
    let [batch, channels, height, width] = dy.shape();
    let to = SharedMut::new(db.as_mut_ptr());
    parallel::for_each(channels, batch * channels * height * width * MOVED, |channel| {
        let sum = T::run(isa, SumChannel { dy, channel });
        // SAFETY: one job a channel, and `db` has them all.
        unsafe { *to.get().add(channel) = sum };
    });
}

/// Sums one channel: along the axis that is contiguous in memory in vectors, and over the others in
/// double precision, since there may be a great many.
struct SumChannel<'a, T> {
    dy: &'a BatchRef<'a, T>,
    channel: usize,
}

impl<T: Element> Kernel<T> for SumChannel<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) -> T {
        let parts = self.dy.parts();
        let ([n, _, h, w], strides) = (self.dy.part(0).shape(), self.dy.strides());
        let mut axes = [(strides[0], n), (strides[2], h), (strides[3], w)];
        axes.sort_unstable();
        // Axes that lie one behind the other in memory are one long axis.
        let (mut stride, mut run) = axes[0];
        let mut outer = [(0, 1), axes[2]];
        match [axes[1], axes[2]] {
            [(second, b), (third, c)] if second == stride * run && third == second * b => {
                run *= b * c;
                outer = [(0, 1), (0, 1)];
            }
            [(second, b), _] if second == stride * run => run *= b,
            [second, _] => outer[0] = second,
        }
        if run == 1 {
            (stride, run) = outer[1];
            outer[1] = (0, 1);
        }
        let mut total = 0.0;
        for part in 0..parts {
            let first = self.dy.part(part).as_ptr().wrapping_add(self.channel * strides[1]);
            for i in 0..outer[0].1 {
                for j in 0..outer[1].1 {
                    let from = first.wrapping_add(i * outer[0].0 + j * outer[1].0);
                    // SAFETY: the axes are those of the part, so the run is inside it.
                    total += unsafe { sum_run::<V>(from, stride, run) };
                }
            }
        }
        T::from_f64(total)
    }
}

/// Elements that are summed in single precision before they join the total.
pub(super) const SINGLE: usize = 4096;

/// # Safety
///
/// Valid for reading `len` elements, `stride` apart.
#[inline(always)]
unsafe fn sum_run<V: Microkernel>(from: *const V::Elem, stride: usize, len: usize) -> f64 {
    let mut total = 0.0;
    let mut i = 0;
    if stride == 1 {
        while len - i >= V::LANES {
            let end = len.min(i + SINGLE);
            let mut sums = [V::splat(V::Elem::ZERO); 4];
            while end - i >= sums.len() * V::LANES {
                for sum in &mut sums {
                    // SAFETY: inside the run.
                    *sum = sum.add(unsafe { V::load(from.add(i)) });
                    i += V::LANES;
                }
            }
            while end - i >= V::LANES {
                // SAFETY: inside the run.
                sums[0] = sums[0].add(unsafe { V::load(from.add(i)) });
                i += V::LANES;
            }
            let [a, b, c, d] = sums;
            total += a.add(b).add(c.add(d)).reduce_add().to_f64();
        }
    }
    while i < len {
        // SAFETY: inside the run.
        total += unsafe { *from.add(i * stride) }.to_f64();
        i += 1;
    }
    total
}
