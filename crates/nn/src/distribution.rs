//! How the values of an activation are distributed.

use rayon::prelude::*;

/// The number of bins of a histogram. Together they span 0 to 10, .25 each.
pub(crate) const BINS: usize = 40;

/// Values that one job looks at: work is cut by shape alone, so that the sums are the same on any
/// number of threads. No more than the tables of [`PairTable`] can count.
const CHUNK: usize = 1 << 17;
/// Values that are summed in single precision before their sum goes to the total.
const BLOCK: usize = 1024;
/// Sums that are kept side by side, for the compiler to put into vectors.
const LANES: usize = 16;

/// The distribution of some values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distribution {
    /// NaN without values.
    pub(crate) mean: f64,
    /// The unbiased standard deviation; NaN of fewer than two values.
    pub(crate) std: f64,
    /// The part of the values that are at most .05.
    pub(crate) near_zero: f64,
    /// How many values lie in each bin; 10 itself counts to the last.
    pub(crate) histogram: Option<[u32; BINS]>,
}

/// What one job saw.
struct Part {
    /// Sums of `x - shift` and of its square.
    sum: f64,
    squares: f64,
    near_zero: usize,
    bins: Option<[u32; PLACES]>,
}

impl Distribution {
    /// One pass over `values`.
    pub(crate) fn of(values: &[f32], histogram: bool) -> Distribution {
        // Squares of distances to some value of theirs cancel less than those of the values.
        let shift = values.first().copied().filter(|x| x.is_finite()).unwrap_or(0.0);
        let chunks = values.par_chunks(CHUNK).with_max_len(1);
        let parts: Vec<Part> = chunks.map(|chunk| Part::of(chunk, shift, histogram)).collect();
        let n = values.len() as f64;
        let sum: f64 = parts.iter().map(|part| part.sum).sum();
        let squares: f64 = parts.iter().map(|part| part.squares).sum();
        let variance = (squares - sum * sum / n).max(0.0) / (n - 1.0);
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
}

impl Part {
    fn of(chunk: &[f32], shift: f32, histogram: bool) -> Part {
        let mut part = Part { sum: 0.0, squares: 0.0, near_zero: 0, bins: None };
        let mut pairs = histogram.then(PairTable::new);
        let (blocks, rest) = chunk.as_chunks::<BLOCK>();
        for block in blocks {
            part.add(block, shift);
            if let Some(pairs) = &mut pairs {
                pairs.count(block);
            }
        }
        part.add(rest, shift);
        part.bins = pairs.map(|pairs| {
            let mut bins = pairs.singles();
            rest.iter().for_each(|&x| bins[place(x) as usize] += 1);
            bins
        });
        part
    }

    fn add(&mut self, block: &[f32], shift: f32) {
        let (mut sums, mut squares, mut near) = ([0.0; LANES], [0.0; LANES], [0_u32; LANES]);
        let (groups, rest) = block.as_chunks::<LANES>();
        for group in groups {
            for lane in 0..LANES {
                let x = group[lane];
                sums[lane] += x - shift;
                squares[lane] += (x - shift) * (x - shift);
                near[lane] += u32::from(x <= 0.05);
            }
        }
        for (lane, &x) in rest.iter().enumerate() {
            sums[lane] += x - shift;
            squares[lane] += (x - shift) * (x - shift);
            near[lane] += u32::from(x <= 0.05);
        }
        let total = |lanes: [f32; LANES]| lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
        self.sum += total(sums);
        self.squares += total(squares);
        self.near_zero += near.iter().sum::<u32>() as usize;
    }
}

/// The places that [`place`] tells apart, rounded up to a power of two.
const PLACES: usize = 64;
/// Behind the place of what lies below 0, or is NaN.
const FIRST_BIN: usize = 1;
/// The place of 10 itself. What lies above comes next.
const TEN: usize = FIRST_BIN + BINS;

/// Where a value is counted. No branch, and nothing that SSE2 lacks, so that it becomes vectors.
#[inline(always)]
fn place(x: f32) -> u32 {
    // Added to a small number, it leaves a whole one in the last bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    let y = 4.0 * x;
    let y = if y > -1.0 { y } else { -1.0 };
    let y = if y <= BINS as f32 { y } else { BINS as f32 + 1.0 };
    let nearest = (y + ROUND) - ROUND;
    let floor = if nearest > y { nearest - 1.0 } else { nearest };
    (floor + 1.0 + ROUND).to_bits() % PLACES as u32
}

/// Counts values two at a time, by the pair of their places: half as many counters to change, and
/// most neighbours change different ones, so that they do not wait for each other.
struct PairTable {
    tables: [Box<[u16; PLACES * PLACES]>; 2],
}

impl PairTable {
    fn new() -> PairTable {
        // Of a chunk's pairs, each of the tables counts half: no more than fit.
        const { assert!(CHUNK / 4 <= u16::MAX as usize) };
        PairTable { tables: [Box::new([0; PLACES * PLACES]), Box::new([0; PLACES * PLACES])] }
    }

    fn count(&mut self, block: &[f32; BLOCK]) {
        let (a, b) = block.split_at(BLOCK / 2);
        let mut pairs = [0_u32; BLOCK / 2];
        for ((pair, &a), &b) in pairs.iter_mut().zip(a).zip(b) {
            *pair = place(a) * PLACES as u32 + place(b);
        }
        let [even, odd] = &mut self.tables;
        for &[a, b] in pairs.as_chunks::<2>().0 {
            even[a as usize % (PLACES * PLACES)] += 1;
            odd[b as usize % (PLACES * PLACES)] += 1;
        }
    }

    /// How often each place was counted, as the first of a pair or as the second.
    fn singles(&self) -> [u32; PLACES] {
        let mut singles = [0; PLACES];
        for table in &self.tables {
            for (first, row) in table.as_chunks::<PLACES>().0.iter().enumerate() {
                for (second, &count) in row.iter().enumerate() {
                    singles[first] += u32::from(count);
                    singles[second] += u32::from(count);
                }
            }
        }
        singles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

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

    #[test]
    fn of_random_values() {
        let mut rng = Pcg64::seed_from_u64(1);
        for (len, offset) in [(2, 0.0), (100, 3.0), (5_000, -1.0), (300_001, 100.0)] {
            let random = (0..len).map(|_| offset + 6.0 * rng.random::<f32>() - 1.0);
            let values: Vec<f32> = random.collect();
            let (got, expected) = (Distribution::of(&values, true), by_definition(&values));
            assert_eq!(got.histogram, expected.histogram);
            assert_eq!(got.near_zero, expected.near_zero);
            assert!((got.mean - expected.mean).abs() < 1e-6 * offset.abs().max(1.0) as f64);
            assert!((got.std / expected.std - 1.0).abs() < 1e-5, "{got:?} {expected:?}");
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
                let histogram = Distribution::of(&vec![x; len], true).histogram.unwrap();
                let found: Vec<_> = (0..BINS).filter(|&i| histogram[i] > 0).collect();
                assert_eq!(found, Vec::from_iter(expected), "{x}");
                assert!(histogram.iter().all(|&n| n == 0 || n as usize == len), "{x}");
            }
        }
    }

    #[test]
    fn equal_values_count_without_overflow_and_do_not_deviate() {
        let values = vec![0.3; 3 * CHUNK + 5];
        let got = Distribution::of(&values, true);
        assert_eq!(got.histogram.unwrap()[1] as usize, values.len());
        assert_eq!((got.std, got.near_zero), (0.0, 0.0));
        assert!((got.mean - f64::from(0.3_f32)).abs() < 1e-12);
    }

    #[test]
    fn few_values() {
        let one = Distribution::of(&[2.0], false);
        assert!(one.mean == 2.0 && one.std.is_nan() && one.histogram.is_none());
        let none = Distribution::of(&[], true);
        assert!(none.mean.is_nan() && none.near_zero.is_nan());
    }

    #[test]
    fn the_same_on_any_number_of_threads() {
        let values: Vec<f32> = (0..5 * CHUNK).map(|i| (i as f32).sin()).collect();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Distribution::of(&values, true))
        };
        assert_eq!(run(1), run(3));
    }
}
