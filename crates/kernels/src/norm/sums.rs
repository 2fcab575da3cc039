//! Two sums over the values of each channel: for the moments, and for the gradients.

use std::ops::Range;

use super::{ChannelLayout, LONG, input};
use crate::arch::{Isa, Kernel, MAX_LANES, Microkernel, Vector};
use crate::element::Element;
use crate::elementwise::lanes::load;
use crate::parallel::{self, MOVED_SLOWLY, SharedMut};
use crate::scratch;

/// How many values there are, and two sums over them, in double precision.
pub(super) type Sums = [f64; 3];

/// What is summed over the values of a channel: two terms of each value of the operands, of which
/// the first is `x`, less a `shift`.
pub(super) trait Reduction<T: Element, const IN: usize>: Copy + Sync {
    /// Whether a block is passed over twice, the second time with its own mean as the shift.
    const CENTERED: bool;

    /// What `x` is shifted by, if not by the mean of its block.
    fn shift(self, channel: usize) -> T;

    /// Implement as `#[inline(always)]`.
    fn terms<V: Vector<Elem = T>>(self, shift: V, x: [V; IN]) -> [V; 2];

    /// The sums of `n` values, of those of their terms.
    fn finish(self, n: f64, shift: f64, terms: [f64; 2]) -> Sums;

    /// The sums over two parts together.
    fn merge(self, a: Sums, b: Sums) -> Sums;
}

/// The count, the sum, and the sum of the squares of the deviations from the mean; of what a ReLU makes
/// of `x` if `RELU`.
#[derive(Clone, Copy)]
pub(super) struct Moments<const RELU: bool>;

impl<T: Element, const RELU: bool> Reduction<T, 1> for Moments<RELU> {
    const CENTERED: bool = true;

    fn shift(self, _: usize) -> T {
        T::ZERO
    }

    #[inline(always)]
    fn terms<V: Vector<Elem = T>>(self, shift: V, [x]: [V; 1]) -> [V; 2] {
        let deviation = input::<V, RELU>(x).sub(shift);
        [deviation, deviation.mul(deviation)]
    }

    // The deviations from a rounded mean do not quite add up to 0.
    fn finish(self, n: f64, shift: f64, [sum, squares]: [f64; 2]) -> Sums {
        [n, n * shift + sum, squares - sum * sum / n]
    }

    fn merge(self, a: Sums, b: Sums) -> Sums {
        if a[0] == 0.0 {
            return b;
        }
        if b[0] == 0.0 {
            return a;
        }
        let difference = b[1] / b[0] - a[1] / a[0];
        let between = difference * difference * (a[0] * b[0] / (a[0] + b[0]));
        [a[0] + b[0], a[1] + b[1], a[2] + b[2] + between]
    }
}

/// The count, the sum of `dy`, and the sum of `dy * (x - mean)`; with what a ReLU makes of `x` if `RELU`.
#[derive(Clone, Copy)]
pub(super) struct Gradient<'a, T, const RELU: bool> {
    pub(super) mean: &'a [T],
}

impl<T: Element, const RELU: bool> Reduction<T, 2> for Gradient<'_, T, RELU> {
    const CENTERED: bool = false;

    fn shift(self, channel: usize) -> T {
        self.mean[channel]
    }

    #[inline(always)]
    fn terms<V: Vector<Elem = T>>(self, shift: V, [x, dy]: [V; 2]) -> [V; 2] {
        [dy, dy.mul(input::<V, RELU>(x).sub(shift))]
    }

    fn finish(self, n: f64, _: f64, [sum, dot]: [f64; 2]) -> Sums {
        [n, sum, dot]
    }

    fn merge(self, a: Sums, b: Sums) -> Sums {
        [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
    }
}

/// Values of a channel that are summed in one go: they stay in the first cache for a second pass.
const BLOCK: usize = 1 << 12;
/// Where the channels are neighbours: rows of them that are summed in one go, at least.
const ROWS: usize = 64;
/// Values of a job.
const JOB: usize = 1 << 15;
/// Values of a job that takes several channels, each of which has fewer.
const SMALL_JOB: usize = 1 << 11;

/// Calls `each` with each of `some` channels and the sums over its values. These are all channels where those are
/// neighbours.
pub(super) fn reduce<T: Element, R: Reduction<T, IN>, const IN: usize>(
    reduction: R,
    x: [&[T]; IN],
    layout: ChannelLayout,
    some: Range<usize>,
    mut each: impl FnMut(usize, Sums),
) {
    debug_assert!(layout.inner > 1 || some == (0..layout.channels));
    let isa = Isa::current();
    let (channels, values) = (some.len(), some.len() * layout.count());
    if values == 0 {
        // Without values, any number of blocks has none.
        some.for_each(|channel| each(channel, [0.0; 3]));
        return;
    }
    let rows = Rows::new(layout);
    let blocks = Blocks::new(layout);
    let parts = if layout.inner == 1 { rows.jobs } else { blocks.jobs };
    // Partial sums, `[parts][channels]`, which are merged in order.
    scratch::with(parts * channels * 3, |partial: &mut [f64]| {
        let (partial, _) = partial.as_chunks_mut::<3>();
        let to = SharedMut::new(partial.as_mut_ptr());
        if layout.inner == 1 {
            parallel::for_each(parts, values * MOVED_SLOWLY, |part| {
                // SAFETY: each job has its own row of partial sums.
                let to = unsafe {
                    std::slice::from_raw_parts_mut(to.get().add(part * channels), channels)
                };
                scratch::with(3 * rows.period, |table: &mut [T]| {
                    T::run(isa, SumRows { reduction, x, rows, part, table, to });
                });
            });
        } else {
            let group = (SMALL_JOB / blocks.values_of_job()).clamp(1, channels);
            let groups = channels.div_ceil(group);
            parallel::for_each(parts * groups, values * MOVED_SLOWLY, |job| {
                let (part, first) = (job / groups, job % groups * group);
                for index in first..channels.min(first + group) {
                    let channel = some.start + index;
                    let sums = T::run(isa, SumBlocks { reduction, x, blocks, part, channel });
                    // SAFETY: each channel of a part is one job's.
                    unsafe { *to.get().add(part * channels + index) = sums };
                }
            });
        }
        for (index, channel) in some.enumerate() {
            let of_channel = (0..parts).map(|part| partial[part * channels + index]);
            each(channel, of_channel.fold([0.0; 3], |a, b| reduction.merge(a, b)));
        }
    });
}

/// The blocks of each channel, where its values are neighbours: some segments of `inner` values, or
/// a part of one.
#[derive(Clone, Copy)]
struct Blocks {
    layout: ChannelLayout,
    /// In a block.
    segments: usize,
    /// Of each segment of a block.
    len: usize,
    /// Blocks in a segment.
    parts: usize,
    /// Of each channel.
    count: usize,
    /// Blocks of a job.
    per_job: usize,
    /// For each channel.
    jobs: usize,
}

impl Blocks {
    fn new(layout: ChannelLayout) -> Self {
        let ChannelLayout { outer, inner, .. } = layout;
        // Upper and lower places apart, as where `apply` cuts, and of one segment as many of them.
        let parts = inner.div_ceil(BLOCK).max(if inner < LONG || outer > 1 { 1 } else { 2 });
        let parts = match parts {
            1 => 1,
            2..=4 => parts.next_multiple_of(2),
            _ => parts.next_multiple_of(4),
        };
        let len = inner.div_ceil(parts).next_multiple_of(MAX_LANES).min(inner);
        // No block has all segments.
        let segments =
            if parts > 1 { 1 } else { (BLOCK / inner.clamp(1, BLOCK)).min(outer.div_ceil(2)) };
        let count = outer.div_ceil(segments) * parts;
        let jobs = count.div_ceil(JOB / BLOCK).next_multiple_of(2);
        let per_job = count.div_ceil(jobs.max(1)).max(1);
        Self { layout, segments, len, parts, count, per_job, jobs: count.div_ceil(per_job) }
    }

    /// Of each channel.
    fn values_of_job(&self) -> usize {
        (self.per_job * self.segments * self.len).max(1)
    }

    /// Where a block begins, its number of segments, and their length.
    #[inline(always)]
    fn block(&self, channel: usize, index: usize) -> [usize; 3] {
        let ChannelLayout { outer, channels, inner } = self.layout;
        let (segment, start) = (index / self.parts * self.segments, index % self.parts * self.len);
        let offset = (segment * channels + channel) * inner + start;
        [offset, self.segments.min(outer - segment), self.len.min(inner.saturating_sub(start))]
    }
}

/// Sums some blocks of one channel.
struct SumBlocks<'a, T, R, const IN: usize> {
    reduction: R,
    x: [&'a [T]; IN],
    blocks: Blocks,
    part: usize,
    channel: usize,
}

/// Sums that a block keeps side by side: additions do not wait for each other.
const CHAINS: usize = 4;

impl<T: Element, R: Reduction<T, IN>, const IN: usize> SumBlocks<'_, T, R, IN> {
    #[inline(always)]
    fn terms<V: Vector<Elem = T>>(&self, block: [usize; 3], shift: T) -> [f64; 2] {
        let [offset, segments, len] = block;
        let stride = self.blocks.layout.channels * self.blocks.layout.inner;
        let shift_vector = V::splat(shift);
        let mut sums = [[V::splat(T::ZERO); 2]; CHAINS];
        for segment in 0..segments {
            let mut values = [V::splat(T::ZERO); IN];
            let start = offset + segment * stride;
            let mut i = 0;
            while i + V::LANES <= len {
                for [sum, other] in &mut sums {
                    if i + V::LANES > len {
                        break;
                    }
                    for (value, x) in values.iter_mut().zip(&self.x) {
                        // SAFETY: `i + LANES <= len`, the length of the segment.
                        *value = unsafe { V::load(x.as_ptr().add(start + i)) };
                    }
                    let terms = self.reduction.terms(shift_vector, values);
                    (*sum, *other) = (sum.add(terms[0]), other.add(terms[1]));
                    i += V::LANES;
                }
            }
            if i < len {
                for (j, (value, x)) in values.iter_mut().zip(&self.x).enumerate() {
                    // What fills up the vector has terms of 0.
                    let fill = if j == 0 { shift } else { T::ZERO };
                    *value = V::from_partial(&x[start + i..start + len], fill);
                }
                let terms = self.reduction.terms(shift_vector, values);
                let [sum, other] = &mut sums[0];
                (*sum, *other) = (sum.add(terms[0]), other.add(terms[1]));
            }
        }
        let [a, b, c, d] = sums;
        let total = |i: usize| a[i].add(c[i]).add(b[i].add(d[i])).reduce_add().to_f64();
        [total(0), total(1)]
    }
}

impl<T: Element, R: Reduction<T, IN>, const IN: usize> Kernel<T> for SumBlocks<'_, T, R, IN> {
    type Output = Sums;

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) -> Sums {
        let per_job = self.blocks.per_job;
        let first = self.part * per_job;
        let mut sums = [0.0; 3];
        for index in first..self.blocks.count.min(first + per_job) {
            let block = self.blocks.block(self.channel, index);
            let n = (block[1] * block[2]) as f64;
            if n == 0.0 {
                continue;
            }
            let mut shift = self.reduction.shift(self.channel);
            if R::CENTERED {
                shift = T::from_f64(self.terms::<V>(block, shift)[0] / n);
            }
            let terms = self.terms::<V>(block, shift);
            sums = self.reduction.merge(sums, self.reduction.finish(n, shift.to_f64(), terms));
        }
        sums
    }
}

/// The blocks of a layout whose channels are neighbours: some rows of all channels.
#[derive(Clone, Copy)]
struct Rows {
    channels: usize,
    /// Elements after which whole vectors of channels repeat.
    period: usize,
    /// Elements of a block: whole periods.
    block: usize,
    /// Elements of a job: whole blocks.
    job: usize,
    jobs: usize,
}

impl Rows {
    fn new(layout: ChannelLayout) -> Self {
        let channels = layout.channels.max(1);
        let period = layout.period().max(1);
        let block = BLOCK.max(ROWS * channels).next_multiple_of(period);
        let job = JOB.next_multiple_of(block);
        let jobs = (layout.outer * layout.channels).div_ceil(job);
        Self { channels, period, block, job, jobs }
    }
}

/// Sums some rows of all channels.
struct SumRows<'a, T, R, const IN: usize> {
    reduction: R,
    x: [&'a [T]; IN],
    rows: Rows,
    part: usize,
    /// `[3][period]`: the shift and the two sums of each place of a period.
    table: &'a mut [T],
    /// `[channels]`
    to: &'a mut [Sums],
}

impl<T: Element, R: Reduction<T, IN>, const IN: usize> SumRows<'_, T, R, IN> {
    /// Sums the terms of the block `start..end` into the table.
    #[inline(always)]
    fn terms<V: Vector<Elem = T>>(&mut self, start: usize, end: usize) {
        let period = self.rows.period;
        for i in (0..period).step_by(V::LANES) {
            let shift = V::from_slice(&self.table[i..]);
            let mut sums = [V::splat(T::ZERO); 2];
            for at in (start + i..end).step_by(period) {
                let len = V::LANES.min(end - at);
                let mut values = [V::splat(T::ZERO); IN];
                for (value, x) in values.iter_mut().zip(&self.x) {
                    *value = load(&x[at..at + len], T::ZERO);
                }
                let terms = self.reduction.terms(shift, values);
                if len == V::LANES {
                    sums = [sums[0].add(terms[0]), sums[1].add(terms[1])];
                } else {
                    let mut lanes = [[T::ZERO; MAX_LANES]; 2];
                    for (lanes, terms) in lanes.iter_mut().zip(terms) {
                        terms.write_to(lanes);
                        lanes[len..].fill(T::ZERO);
                    }
                    let [a, b] = lanes.each_ref().map(|lanes| V::from_slice(lanes));
                    sums = [sums[0].add(a), sums[1].add(b)];
                }
            }
            sums[0].write_to(&mut self.table[period + i..]);
            sums[1].write_to(&mut self.table[2 * period + i..]);
        }
    }

    /// One of the two sums of a channel.
    fn total(&self, which: usize, channel: usize) -> f64 {
        let period = self.rows.period;
        let places = &self.table[(1 + which) * period..(2 + which) * period];
        places[channel..].iter().step_by(self.rows.channels).map(|x| x.to_f64()).sum()
    }

    fn set_shift(&mut self, channel: usize, shift: T) {
        let places = &mut self.table[channel..self.rows.period];
        places.iter_mut().step_by(self.rows.channels).for_each(|place| *place = shift);
    }
}

impl<T: Element, R: Reduction<T, IN>, const IN: usize> Kernel<T> for SumRows<'_, T, R, IN> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(mut self) {
        let Rows { channels, block, job, .. } = self.rows;
        self.to.fill([0.0; 3]);
        let start = self.part * job;
        let end = self.x[0].len().min(start + job);
        for start in (start..end).step_by(block) {
            let end = end.min(start + block);
            let n = ((end - start) / channels) as f64;
            for channel in 0..channels {
                self.set_shift(channel, self.reduction.shift(channel));
            }
            if R::CENTERED {
                self.terms::<V>(start, end);
                for channel in 0..channels {
                    self.set_shift(channel, T::from_f64(self.total(0, channel) / n));
                }
            }
            self.terms::<V>(start, end);
            for channel in 0..channels {
                let terms = [self.total(0, channel), self.total(1, channel)];
                let shift = self.table[channel].to_f64();
                let sums = self.reduction.finish(n, shift, terms);
                self.to[channel] = self.reduction.merge(self.to[channel], sums);
            }
        }
    }
}
