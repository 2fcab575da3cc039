//! How the values of an activation are distributed.

use crate::arch::{Isa, Kernel, MAX_LANES, Microkernel, Vector};
use crate::parallel::{self, SharedMut};

/// The number of bins of a histogram.
const BINS: usize = 40;
/// Values that one job looks at: work is cut by shape alone, so that the sums are the same on any
/// number of threads.
const CHUNK: usize = 1 << 13;
/// Multiply-adds in the time that a value takes.
const WORK: usize = 16;
/// Values that are summed in single precision before their sum goes to the total.
const BLOCK: usize = 1024;
/// Vectors of sums that are kept side by side: additions do not wait for each other.
const CHAINS: usize = 2;

/// The distribution of some values.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Their mean; NaN of none.
    pub mean: f64,
    /// The unbiased standard deviation; NaN of fewer than two.
    pub std: f64,
    /// The part of them that are at most .05: near zero, or negative. NaN of none.
    pub near_zero: f64,
    /// How many lie in each of 40 bins from 0 to 10, .25 wide; 10 itself counts to the last one, and
    /// what lies outside to none.
    pub histogram: Option<[u32; BINS]>,
}

/// What one job saw.
#[derive(Clone, Default)]
struct Part {
    /// Sums of `x - shift` and of its square.
    sum: f64,
    squares: f64,
    near_zero: usize,
    bins: Option<[u32; PLACES]>,
}

/// The distribution of `values`, in one pass over them, with a histogram or without.
///
/// ```
/// use topedge_kernels::distribution::distribution;
///
/// let seen = distribution(&[-1.0, 0.0, 0.5, 2.5], true);
/// assert_eq!((seen.mean, seen.near_zero), (0.5, 0.5));
/// let histogram = seen.histogram.unwrap();
/// assert_eq!((histogram[0], histogram[2], histogram[10]), (1, 1, 1));
/// ```
pub fn distribution(values: &[f32], histogram: bool) -> Distribution {
    let isa = Isa::current();
    // Squares of distances to some value of theirs cancel less than those of the values.
    let shift = values.first().copied().filter(|x| x.is_finite()).unwrap_or(0.0);
    let chunks = values.len().div_ceil(CHUNK);
    let mut parts = vec![Part::default(); chunks];
    let to = SharedMut::new(parts.as_mut_ptr());
    parallel::for_each(chunks, values.len() * WORK, |index| {
        let chunk = &values[index * CHUNK..values.len().min((index + 1) * CHUNK)];
        let part = isa.run_f32(Look { chunk, shift, histogram });
        // SAFETY: each job has its part.
        unsafe { *to.get().add(index) = part };
    });
    let n = values.len() as f64;
    let sum: f64 = parts.iter().map(|part| part.sum).sum();
    let squares: f64 = parts.iter().map(|part| part.squares).sum();
    let squares = squares - sum * sum / n;
    // Rounding may leave less than 0. NaN stays NaN.
    let variance = if squares < 0.0 { 0.0 } else { squares } / (n - 1.0);
    let near_zero: usize = parts.iter().map(|part| part.near_zero).sum();
    Distribution {
        mean: f64::from(shift) + sum / n,
        std: if values.len() < 2 { f64::NAN } else { variance.sqrt() },
        near_zero: near_zero as f64 / n,
        histogram: histogram.then(|| {
            let mut bins = [0; BINS];
            for part in parts.iter().filter_map(|part| part.bins.as_ref()) {
                for (bin, &count) in bins.iter_mut().zip(&part[FIRST_BIN..]) {
                    *bin += count;
                }
                bins[BINS - 1] += part[TEN];
            }
            bins
        }),
    }
}

/// One chunk's part.
struct Look<'a> {
    chunk: &'a [f32],
    shift: f32,
    histogram: bool,
}

impl Kernel<f32> for Look<'_> {
    type Output = Part;

    #[inline(always)]
    fn run<V: Microkernel<Elem = f32>>(self) -> Part {
        let Look { chunk, shift, histogram } = self;
        let mut part = Part::default();
        let mut bins = [0; PLACES];
        let (blocks, rest) = chunk.as_chunks::<BLOCK>();
        for block in blocks {
            part.add::<V>(block, shift);
            if histogram {
                count::<V>(block, &mut bins);
            }
        }
        for &x in rest {
            let distance = f64::from(x) - f64::from(shift);
            part.sum += distance;
            part.squares += distance * distance;
            part.near_zero += usize::from(x <= NEAR_ZERO);
        }
        if histogram && !rest.is_empty() {
            // What fills the block is counted nowhere.
            let mut block = [-1.0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            count::<V>(&block, &mut bins);
        }
        part.bins = histogram.then_some(bins);
        part
    }
}

impl Part {
    #[inline(always)]
    fn add<V: Vector<Elem = f32>>(&mut self, block: &[f32; BLOCK], shift: f32) {
        // Whatever the lanes, they divide a block.
        const { assert!(BLOCK.is_multiple_of(CHAINS * MAX_LANES)) };
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let (shift, limit) = (V::splat(shift), V::splat(NEAR_ZERO));
        let (mut sums, mut squares, mut near) = ([zero; CHAINS], [zero; CHAINS], [zero; CHAINS]);
        for group in block.chunks_exact(CHAINS * V::LANES) {
            for (chain, x) in group.chunks_exact(V::LANES).enumerate() {
                let x = V::from_slice(x);
                let distance = x.sub(shift);
                sums[chain] = sums[chain].add(distance);
                squares[chain] = distance.mul_add(distance, squares[chain]);
                near[chain] = near[chain].add(V::select(x.le(limit), one, zero));
            }
        }
        let total = |chains: [V; CHAINS]| f64::from(chains[0].add(chains[1]).reduce_add());
        self.sum += total(sums);
        self.squares += total(squares);
        // Whole numbers, exact in single precision.
        self.near_zero += total(near) as usize;
    }
}

/// What counts as near zero, and all below.
const NEAR_ZERO: f32 = 0.05;

/// The place of what no bin is for.
const OUTSIDE: usize = 0;
const FIRST_BIN: usize = 1;
/// The place of 10 itself.
const TEN: usize = FIRST_BIN + BINS;
/// Places that are counted in one go over a block.
const AT_ONCE: usize = 8;
/// The places, rounded up.
const PLACES: usize = (TEN + 1).next_multiple_of(AT_ONCE);

/// Added to a small whole number, leaves it in the last bits.
const WHOLE: f32 = 12_582_912.0; // 1.5 * 2^23

/// Bytes that are compared at once, and counters that are bytes, too.
const BYTES: usize = 32;
const WORDS: usize = BLOCK / 4;

/// Counts the values of a block by their places. Each place goes over the block anew, for that is but a
/// comparison and a subtraction for every 32 values; the places above the largest that occurs are left out.
#[inline(always)]
fn count<V: Vector<Elem = f32>>(block: &[f32; BLOCK], counts: &mut [u32; PLACES]) {
    const { assert!(BLOCK.is_multiple_of(BYTES) && BLOCK / BYTES <= u8::MAX as usize) };
    // Four places in the bytes of a word: two by two as whole numbers, then both. Words are written and read as
    // whole vectors; bytes that were written in smaller pieces would have to be waited for.
    let (parts, byte) = (block.as_chunks::<WORDS>().0, V::splat(256.0));
    let first = V::splat(WHOLE + 257.0 * FIRST_BIN as f32);
    let mut halves = [[0.0_f32; WORDS]; 2];
    for (half, part) in halves.iter_mut().zip(parts.as_chunks::<2>().0) {
        let lanes = part[0].chunks_exact(V::LANES).zip(part[1].chunks_exact(V::LANES));
        for (half, (low, high)) in half.chunks_exact_mut(V::LANES).zip(lanes) {
            let (low, high) = (places(V::from_slice(low)), places(V::from_slice(high)));
            high.mul_add(byte, low.add(first)).write_to(half);
        }
    }
    let mut places = [0_u8; BLOCK];
    let words = places.as_chunks_mut::<4>().0.iter_mut();
    for (word, (low, high)) in words.zip(halves[0].iter().zip(&halves[1])) {
        *word = ((low.to_bits() & 0xffff) | (high.to_bits() << 16)).to_ne_bytes();
    }
    let largest = usize::from(places.iter().fold(0, |most, &place| most.max(place)));
    for first in (FIRST_BIN..=largest).step_by(AT_ONCE) {
        let mut equal = [[0_u8; BYTES]; AT_ONCE];
        for group in places.as_chunks::<BYTES>().0 {
            for (place, equal) in equal.iter_mut().enumerate() {
                for (equal, &found) in equal.iter_mut().zip(group) {
                    *equal += u8::from(found == (first + place) as u8);
                }
            }
        }
        for (count, equal) in counts[first..].iter_mut().zip(&equal) {
            *count += equal.iter().map(|&n| u32::from(n)).sum::<u32>();
        }
    }
}

/// The place of each lane, as a whole number, less [`FIRST_BIN`].
#[inline(always)]
fn places<V: Vector<Elem = f32>>(x: V) -> V {
    let y = x.mul(V::splat(BINS as f32 / 10.0));
    let outside = V::splat(OUTSIDE as f32 - FIRST_BIN as f32);
    // NaN, too, is outside.
    let y = y.max(outside);
    V::select(y.le(V::splat(BINS as f32)), y, outside).floor()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Value by value, in double precision.
    fn by_definition(values: &[f32]) -> Distribution {
        let n = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let squares: f64 = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
        let mut bins = [0; BINS];
        for &x in values.iter().filter(|x| (0.0..=10.0).contains(*x)) {
            bins[((x * 4.0) as usize).min(BINS - 1)] += 1;
        }
        Distribution {
            mean,
            std: (squares / (n - 1.0)).sqrt(),
            near_zero: values.iter().filter(|&&x| x <= 0.05).count() as f64 / n,
            histogram: Some(bins),
        }
    }

    /// Numbers between 0 and 1 that look random: SplitMix64 (Steele, Lea, Flood 2014).
    fn random(len: usize) -> impl Iterator<Item = f32> {
        (1..=len as u64).map(|i| {
            let x = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((x ^ (x >> 31)) >> 40) as f32 / (1 << 24) as f32
        })
    }

    #[test]
    fn of_random_values() {
        for (len, offset) in [(2, 0.0), (100, 3.0), (5_000, -1.0), (300_001, 100.0)] {
            let values: Vec<f32> = random(len).map(|x| offset + 12.0 * x - 1.0).collect();
            let expected = by_definition(&values);
            for isa in Isa::available() {
                let got = isa.with(|| distribution(&values, true));
                assert_eq!(got.histogram, expected.histogram);
                assert_eq!(got.near_zero, expected.near_zero);
                let tolerance = 1e-6 * f64::from(offset.abs().max(1.0));
                assert!((got.mean - expected.mean).abs() < tolerance, "{got:?} {expected:?}");
                assert!((got.std / expected.std - 1.0).abs() < 1e-5, "{got:?} {expected:?}");
            }
        }
    }

    #[test]
    fn edges_of_bins() {
        let cases = [
            (0.0, Some(0)),
            (-0.0, Some(0)),
            (-1e-9, None),
            (f32::MIN_POSITIVE, Some(0)),
            (0.249_999_99, Some(0)),
            (0.25, Some(1)),
            (5.0, Some(20)),
            (4.999_999_5, Some(19)),
            (9.75, Some(39)),
            (10.0, Some(39)),
            (10.000_001, None),
            (-3.0, None),
            (1e30, None),
            (f32::INFINITY, None),
            (f32::NEG_INFINITY, None),
            (f32::NAN, None),
        ];
        for (x, expected) in cases {
            // Both in a whole block and in what is left behind one.
            for len in [1, BLOCK] {
                let histogram = distribution(&vec![x; len], true).histogram.unwrap();
                let found: Vec<_> = (0..BINS).filter(|&i| histogram[i] > 0).collect();
                assert_eq!(found, Vec::from_iter(expected), "{x}");
                assert!(histogram.iter().all(|&n| n == 0 || n as usize == len), "{x}");
            }
        }
    }

    #[test]
    fn equal_values_count_without_overflow_and_do_not_deviate() {
        let values = vec![0.3; 3 * CHUNK + 5];
        let got = distribution(&values, true);
        assert_eq!(got.histogram.unwrap()[1] as usize, values.len());
        assert_eq!((got.std, got.near_zero), (0.0, 0.0));
        assert!((got.mean - f64::from(0.3_f32)).abs() < 1e-12);
    }

    #[test]
    fn few_values() {
        let one = distribution(&[2.0], false);
        assert!(one.mean == 2.0 && one.std.is_nan() && one.histogram.is_none());
        let none = distribution(&[], true);
        assert!(none.mean.is_nan() && none.near_zero.is_nan());
    }

    #[test]
    fn the_same_on_any_number_of_threads() {
        let values: Vec<f32> = (0..5 * CHUNK + 77).map(|i| (i as f32).sin()).collect();
        for isa in Isa::available() {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| isa.with(|| distribution(&values, true)))
            };
            let one = run(1);
            for threads in [2, 3, 4, 8] {
                assert_eq!(run(threads), one, "{threads} threads on {}", isa.name());
            }
        }
    }
}
