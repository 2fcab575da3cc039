//! Histograms of as many batches as a fit has, in memory that does not grow with it.

use serde::{Deserialize, Serialize};

/// The bins of a histogram.
const BINS: usize = 40;

/// The histograms of a layer's outputs in the training batches of a fit, in columns: one for each batch,
/// up to [`MOST`](Self::MOST) of them. When another batch comes, each two neighbours become one, and from
/// then on a column stands for twice as many batches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Saved", into = "Saved")]
pub struct Histograms {
    batches: usize,
    /// The sums of the counts of as many batches as a column stands for; in the last of those there are.
    sums: Vec<[u64; BINS]>,
}

impl Histograms {
    /// As many columns there are at most.
    pub const MOST: usize = 1024;

    /// Adds the histogram of the next batch.
    pub fn push(&mut self, histogram: &[u32; BINS]) {
        let batches = self.batches + 1;
        if batches_of_column(batches) > batches_of_column(self.batches) {
            for i in 0..Self::MOST / 2 {
                let [mut sums, other] = [self.sums[2 * i], self.sums[2 * i + 1]];
                add(&mut sums, other);
                self.sums[i] = sums;
            }
            self.sums.truncate(Self::MOST / 2);
        }
        if self.batches.is_multiple_of(batches_of_column(batches)) {
            self.sums.push([0; BINS]);
        }
        self.batches = batches;
        if let Some(last) = self.sums.last_mut() {
            add(last, histogram.map(u64::from));
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// The columns: the counts of a batch, or, if a column stands for several, their means, rounded.
    ///
    /// ```
    /// use topedge_nn::callbacks::Histograms;
    ///
    /// let mut histograms = Histograms::default();
    /// for batch in 0..1025 {
    ///     histograms.push(&[100 * batch; 40]);
    /// }
    /// let columns = histograms.columns();
    /// assert_eq!((columns.len(), columns[1][0], columns[512][0]), (513, 250, 102_400));
    /// ```
    pub fn columns(&self) -> Vec<[u32; BINS]> {
        let each = batches_of_column(self.batches);
        let batches = |column: usize| each.min(self.batches - column * each) as u64;
        let mean = |sum: u64, n: u64| sum.saturating_add(n / 2) / n;
        let columns =
            self.sums.iter().enumerate().map(|(i, sums)| {
                sums.map(|sum| mean(sum, batches(i)).try_into().unwrap_or(u32::MAX))
            });
        columns.collect()
    }
}

/// How many batches a column stands for, of `batches` in all.
fn batches_of_column(batches: usize) -> usize {
    batches.div_ceil(Histograms::MOST).next_power_of_two()
}

fn add(sums: &mut [u64; BINS], counts: [u64; BINS]) {
    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(count));
}

/// How they lie in a checkpoint: the columns one behind the other, as serde knows no arrays of 40.
#[derive(Serialize, Deserialize)]
struct Saved {
    batches: usize,
    sums: Vec<u64>,
}

impl From<Histograms> for Saved {
    fn from(Histograms { batches, sums }: Histograms) -> Saved {
        Saved { batches, sums: sums.into_flattened() }
    }
}

impl TryFrom<Saved> for Histograms {
    type Error = &'static str;

    fn try_from(Saved { batches, sums }: Saved) -> Result<Histograms, &'static str> {
        // No fit gets to more, and so there is always a next one.
        let columns =
            (batches <= usize::MAX / 2).then(|| batches.div_ceil(batches_of_column(batches)));
        match sums.as_chunks() {
            (sums, []) if Some(sums.len()) == columns => {
                Ok(Histograms { batches, sums: sums.to_vec() })
            }
            _ => Err("as many columns as there are for so many batches"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = Histograms::MOST;

    fn histogram(batch: usize) -> [u32; BINS] {
        std::array::from_fn(|bin| (batch * batch % 1009 + bin) as u32)
    }

    fn of(batches: usize) -> Histograms {
        let mut histograms = Histograms::default();
        (0..batches).for_each(|batch| histograms.push(&histogram(batch)));
        histograms
    }

    #[test]
    fn a_column_for_each_batch_up_to_the_limit() {
        assert!(of(0).is_empty() && of(0).columns().is_empty());
        for batches in [1, 2, MOST - 1, MOST] {
            let expected: Vec<_> = (0..batches).map(histogram).collect();
            assert_eq!(of(batches).columns(), expected, "{batches}");
        }
    }

    #[test]
    fn then_each_is_the_mean_of_several() {
        for (batches, each) in [(MOST + 1, 2), (2 * MOST, 2), (2 * MOST + 1, 4), (7 * MOST + 5, 8)]
        {
            let all: Vec<_> = (0..batches).map(histogram).collect();
            let mean = |some: &[[u32; BINS]]| -> [u32; BINS] {
                std::array::from_fn(|bin| {
                    let sum: u32 = some.iter().map(|counts| counts[bin]).sum();
                    (f64::from(sum) / some.len() as f64).round() as u32
                })
            };
            let expected: Vec<_> = all.chunks(each).map(mean).collect();
            assert_eq!(of(batches).columns(), expected, "{batches}");
            assert!(expected.len() <= MOST);
        }
    }

    #[test]
    fn what_is_saved_goes_on_as_it_would_have() {
        for batches in [0, 1, MOST, MOST + 1, 2 * MOST + 7] {
            let bytes = postcard::to_allocvec(&of(batches)).unwrap();
            let mut back: Histograms = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(back, of(batches));
            (batches..batches + 1500).for_each(|batch| back.push(&histogram(batch)));
            assert_eq!(back, of(batches + 1500), "{batches}");
        }
    }

    #[test]
    fn columns_that_cannot_be_are_refused() {
        for (batches, columns) in
            [(0, 1), (1, 0), (MOST, MOST - 1), (MOST + 1, MOST + 1), (usize::MAX, MOST)]
        {
            let bytes = postcard::to_allocvec(&(batches, vec![0_u64; columns * BINS])).unwrap();
            assert!(postcard::from_bytes::<Histograms>(&bytes).is_err(), "{batches}");
        }
        let bytes = postcard::to_allocvec(&(1_usize, vec![0_u64; BINS + 1])).unwrap();
        assert!(postcard::from_bytes::<Histograms>(&bytes).is_err());
        // Counts that no batch has: nothing overflows.
        let bytes = postcard::to_allocvec(&(MOST, vec![u64::MAX; MOST * BINS])).unwrap();
        let mut most: Histograms = postcard::from_bytes(&bytes).unwrap();
        most.push(&[1; BINS]);
        assert_eq!(most.columns()[0], [u32::MAX; BINS]);
    }
}
