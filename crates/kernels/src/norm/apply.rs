//! Functions of each value and of some numbers of its channel.

use std::ops::Range;

use super::{ChannelLayout, LONG, input};
use crate::arch::{Isa, Kernel, MAX_LANES, Microkernel, Vector};
use crate::element::Element;
use crate::elementwise::lanes::{load, store};
use crate::parallel::{self, MOVED, SharedMut};
use crate::scratch;

/// A function of `N` numbers of a channel, of a value and of what stands in the place of the result: loads of that
/// vanish where it does not look. Implement as `#[inline(always)]`.
pub(super) trait ChannelOp<T: Element, const N: usize>: Copy + Sync {
    fn apply<V: Vector<Elem = T>>(self, numbers: [V; N], x: V, place: V) -> V;
}

/// `(x - mean) * scale + shift`: no digit of a mean that is large beside the deviations is lost to
/// the rounding of the scale. With `RELU`, of what a ReLU makes of `x`.
#[derive(Clone, Copy)]
pub(super) struct Transform<const RELU: bool>;

impl<T: Element, const RELU: bool> ChannelOp<T, 3> for Transform<RELU> {
    #[inline(always)]
    fn apply<V: Vector<Elem = T>>(self, [mean, scale, shift]: [V; 3], x: V, _: V) -> V {
        input::<V, RELU>(x).sub(mean).mul_add(scale, shift)
    }
}

/// `(x - mean) * of_x + dy * scale + shift`; with `RELU`, of what a ReLU makes of `x`, and on through it.
#[derive(Clone, Copy)]
pub(super) struct Backward<const RELU: bool>;

impl<T: Element, const RELU: bool> ChannelOp<T, 4> for Backward<RELU> {
    #[inline(always)]
    fn apply<V: Vector<Elem = T>>(self, numbers: [V; 4], x: V, dy: V) -> V {
        let [mean, of_x, scale, shift] = numbers;
        let dx = input::<V, RELU>(x).sub(mean).mul_add(of_x, dy.mul_add(scale, shift));
        gradient::<V, RELU>(x, dx)
    }
}

/// `dy * scale`; with `RELU`, on through the ReLU of `x`.
#[derive(Clone, Copy)]
pub(super) struct Scale<const RELU: bool>;

impl<T: Element, const RELU: bool> ChannelOp<T, 1> for Scale<RELU> {
    #[inline(always)]
    fn apply<V: Vector<Elem = T>>(self, [scale]: [V; 1], x: V, dy: V) -> V {
        gradient::<V, RELU>(x, dy.mul(scale))
    }
}

/// What is left of `dx` before the ReLU of `x`, if there is one.
#[inline(always)]
fn gradient<V: Vector, const RELU: bool>(x: V, dx: V) -> V {
    let zero = V::splat(V::Elem::ZERO);
    if RELU { V::select(x.le(zero), zero, dx) } else { dx }
}

/// Elements of a job.
const CHUNK: usize = 1 << 13;

/// Sets the values of `some` channels of `y` to `op` of the numbers of each, of `x` and of `y` itself, both of
/// `layout`'s size. These are all channels where fewer than [`LONG`] of their values are neighbours.
pub(super) fn each_channel<T, O, const N: usize>(
    layout: ChannelLayout,
    some: Range<usize>,
    op: O,
    numbers: impl Fn(usize) -> [T; N],
    x: &[T],
    y: &mut [T],
) where
    T: Element,
    O: ChannelOp<T, N>,
{
    let ChannelLayout { outer, channels, inner } = layout;
    debug_assert!(inner >= LONG || some == (0..channels));
    let len = y.len();
    if len == 0 {
        return;
    }
    let isa = Isa::current();
    let period = if inner == 1 { layout.period() } else { channels };
    scratch::with(N * period, |table: &mut [T]| {
        for channel in some.clone() {
            for (row, number) in table.chunks_exact_mut(period).zip(numbers(channel)) {
                for place in row[channel..].iter_mut().step_by(channels) {
                    *place = number;
                }
            }
        }
        let table = &*table;
        let y = SharedMut::new(y.as_mut_ptr());
        // `start..end` of each job, in elements.
        let run = |start: usize, end: usize, segments: Segments| {
            let x = &x[start..end];
            // SAFETY: jobs are given parts of `y` that do not meet.
            let y = unsafe { std::slice::from_raw_parts_mut(y.get().add(start), end - start) };
            T::run(isa, Apply { op, table, period, segments, x, y });
        };
        if inner == 1 {
            let step = (CHUNK / period).max(1) * period;
            parallel::for_each(len.div_ceil(step), len * MOVED, |job| {
                run(job * step, len.min((job + 1) * step), Segments::Periodic);
            });
        } else if inner >= LONG {
            // Like a convolution, a thread first takes the upper places of all channels, or the lower, or if these
            // are in several places in memory, some of those: what it has written last is in its cache.
            let parts = inner.div_ceil(CHUNK).max(if outer == 1 { 2 } else { 1 });
            let part_len = inner.div_ceil(parts).next_multiple_of(MAX_LANES);
            let group = (CHUNK / part_len).max(1);
            let groups = some.len().div_ceil(group);
            let operations = outer * some.len() * inner * MOVED;
            parallel::for_each(outer * groups * parts, operations, |job| {
                let (part, place) = if outer == 1 {
                    (job / groups, job % groups)
                } else {
                    (job % parts, job / parts)
                };
                let first = some.start + place % groups * group;
                for channel in first..some.end.min(first + group) {
                    let segment = (place / groups * channels + channel) * inner;
                    let start = segment + (part * part_len).min(inner);
                    let end = (segment + inner).min(start + part_len);
                    run(start, end, Segments::Whole { channel, len: part_len });
                }
            });
        } else {
            let group = CHUNK / inner;
            parallel::for_each((outer * channels).div_ceil(group), len * MOVED, |job| {
                let first = job * group;
                let end = len.min((first + group) * inner);
                run(first * inner, end, Segments::Whole { channel: first % channels, len: inner });
            });
        }
    });
}

/// How the channels of a chunk follow each other.
#[derive(Clone, Copy)]
enum Segments {
    /// `len` values of one channel, then of the next; the first is `channel`.
    Whole { channel: usize, len: usize },
    /// One value of each, from the first.
    Periodic,
}

struct Apply<'a, T, O, const N: usize> {
    op: O,
    /// `[N][period]`
    table: &'a [T],
    period: usize,
    segments: Segments,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T, O, const N: usize> Kernel<T> for Apply<'_, T, O, N>
where
    T: Element,
    O: ChannelOp<T, N>,
{
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let Self { op, table, period, segments, x, y } = self;
        let zero = V::splat(T::ZERO);
        match segments {
            Segments::Whole { mut channel, len } => {
                for (x, y) in x.chunks(len).zip(y.chunks_mut(len)) {
                    let mut numbers = [zero; N];
                    for (j, number) in numbers.iter_mut().enumerate() {
                        *number = V::splat(table[j * period + channel]);
                    }
                    let whole = y.len() - y.len() % V::LANES;
                    for j in (0..whole).step_by(V::LANES) {
                        // SAFETY: `j + LANES <= whole`, and `x` is as long as `y`.
                        unsafe {
                            let y = y.as_mut_ptr().add(j);
                            op.apply(numbers, V::load(x.as_ptr().add(j)), V::load(y)).store(y);
                        }
                    }
                    if whole < y.len() {
                        let y = &mut y[whole..];
                        let x = V::from_partial(&x[whole..], T::ZERO);
                        op.apply(numbers, x, V::from_partial(y, T::ZERO)).write_partial(y);
                    }
                    channel = (channel + 1) % period;
                }
            }
            Segments::Periodic => {
                for (x, y) in x.chunks(period).zip(y.chunks_mut(period)) {
                    let vectors = x.chunks(V::LANES).zip(y.chunks_mut(V::LANES));
                    for (j, (x, y)) in vectors.enumerate() {
                        let mut numbers = [zero; N];
                        for (k, number) in numbers.iter_mut().enumerate() {
                            *number = V::from_slice(&table[k * period + j * V::LANES..]);
                        }
                        store(op.apply(numbers, load(x, T::ZERO), load(y, T::ZERO)), y);
                    }
                }
            }
        }
    }
}
