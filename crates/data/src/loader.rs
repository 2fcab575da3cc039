//! Hands out a data set batch by batch.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rand::seq::SliceRandom;

use crate::batch::{Batch, Gather, MemoryFormat};
use crate::dataset::{Dataset, Splits};
use crate::error::{DataError, Result};
use crate::normalize::Normalize;
use crate::prefetch::Prefetch;
use crate::random::generator;

/// How a [`DataLoader`] hands out its data. By default: 64 images a batch, in the order of the
/// data set, the last batch as short as it comes, pixels scaled to 0..1, batch-last in memory,
/// prepared ahead where a core is left for that.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderConfig {
    /// Images in a batch.
    pub batch_size: usize,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
    /// Whether a last batch that would be short is left out.
    pub drop_last: bool,
    /// The seed of the shuffling.
    pub seed: u64,
    /// How the values of a batch lie in memory.
    pub format: MemoryFormat,
    /// What the pixels are normalised by.
    pub normalize: Normalize,
    /// Whether a background thread prepares the next batches while the caller uses this one, where the rayon
    /// pool of who calls [`DataLoader::epoch`] leaves a core for it; where not, the pool's threads make each
    /// batch together when it is asked for. There is no need of several: making a batch takes about a
    /// thirtieth of the time in which one core trains the smallest networks on it.
    pub prefetch: bool,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        LoaderConfig {
            batch_size: 64,
            shuffle: false,
            drop_last: false,
            seed: 42,
            format: MemoryFormat::default(),
            normalize: Normalize::default(),
            prefetch: true,
        }
    }
}

/// A data set cut into batches, epoch after epoch.
///
/// ```
/// use topedge_data::{DataLoader, Dataset, LoaderConfig};
///
/// let vocab = vec!["even".to_string(), "odd".to_string()];
/// let labels = (0..10).map(|i| i % 2).collect();
/// let data = Dataset::new((0..10).collect(), [1, 1, 1], labels, vocab)?;
/// let config = LoaderConfig { batch_size: 4, shuffle: true, ..Default::default() };
/// let loader = DataLoader::new(data, config)?;
///
/// let mut epoch = loader.epoch(0);
/// let mut sizes = vec![];
/// while let Some(batch) = epoch.next() {
///     let batch = batch?;
///     sizes.push(batch.labels.len());
///     epoch.recycle(batch); // its memory serves a later batch
/// }
/// assert_eq!(sizes, [4, 4, 2]);
/// # Ok::<(), topedge_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct DataLoader {
    data: Dataset,
    config: LoaderConfig,
    gather: Gather,
    spare: Spare,
}

/// Batches whose memory waits for reuse.
type Spare = Arc<Mutex<Vec<Batch>>>;

impl DataLoader {
    /// A loader of `data`.
    ///
    /// # Errors
    ///
    /// When the batch size is 0, or `drop_last` would leave no batch at all, or the normalisation
    /// does not fit the channels.
    pub fn new(data: Dataset, config: LoaderConfig) -> Result<DataLoader> {
        if config.batch_size == 0 {
            return Err(DataError::setting("batch_size", 0, "at least 1"));
        }
        if config.drop_last && config.batch_size > data.len() {
            return Err(DataError::setting(
                "batch_size",
                config.batch_size,
                format!("at most the {} images that there are", data.len()),
            ));
        }
        let [channels, ..] = data.image_shape();
        config.normalize.check(channels)?;
        let gather = Gather::new(&config.normalize, channels, config.format);
        Ok(DataLoader { data, config, gather, spare: Spare::default() })
    }

    /// The data that is loaded.
    pub fn dataset(&self) -> &Dataset {
        &self.data
    }

    /// How it is loaded.
    pub fn config(&self) -> &LoaderConfig {
        &self.config
    }

    /// The number of batches in an epoch.
    pub fn batches(&self) -> usize {
        let (len, size) = (self.data.len(), self.config.batch_size);
        if self.config.drop_last { len / size } else { len.div_ceil(size) }
    }

    /// One pass over the data. The order depends on the seed and `epoch` alone, and not on
    /// prefetching.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// [`epoch`](Self::epoch) from its batch number `first` on, 0 being the first of all. Those before it
    /// are not made.
    ///
    /// ```
    /// # use topedge_data::{DataLoader, Dataset, LoaderConfig};
    /// # let vocab = vec!["x".to_string()];
    /// # let data = Dataset::new((0..10).collect(), [1, 1, 1], vec![0; 10], vocab)?;
    /// # let config = LoaderConfig { batch_size: 4, shuffle: true, ..Default::default() };
    /// # let loader = DataLoader::new(data, config)?;
    /// let whole: Vec<_> = loader.epoch(3).collect::<Result<_, _>>()?;
    /// let rest: Vec<_> = loader.epoch_from(3, 1).collect::<Result<_, _>>()?;
    /// assert_eq!(rest, whole[1..]);
    /// # Ok::<(), topedge_data::DataError>(())
    /// ```
    pub fn epoch_from(&self, epoch: u64, first: usize) -> Epoch {
        let mut order: Vec<usize> = (0..self.data.len()).collect();
        if self.config.shuffle {
            order.shuffle(&mut generator(&[self.config.seed, epoch]));
        }
        let batches = Batches {
            data: self.data.clone(),
            gather: self.gather.clone(),
            order: order.into(),
            batch_size: self.config.batch_size,
            remaining: first.min(self.batches())..self.batches(),
            spare: Arc::clone(&self.spare),
            shared: true,
        };
        Epoch::new(batches, self.config.prefetch)
    }
}

/// One pass over the data of a [`DataLoader`]. Ends after the first error.
pub struct Epoch {
    source: Source,
    /// Batches still to come.
    remaining: usize,
    spare: Spare,
}

enum Source {
    Here(Batches),
    Ahead(Prefetch<Batch>),
}

impl Epoch {
    fn new(batches: Batches, prefetch: bool) -> Epoch {
        // Beside threads that are all at work, one more would interrupt them.
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let prefetch = prefetch && cores > rayon::current_num_threads();
        // Where no thread is to be had, the caller's do the work.
        let alone = Batches { shared: false, ..batches.clone() };
        let ahead = prefetch.then(|| Prefetch::new(alone).ok()).flatten();
        Epoch {
            remaining: batches.remaining.len(),
            spare: Arc::clone(&batches.spare),
            source: match ahead {
                Some(ahead) => Source::Ahead(ahead),
                None => Source::Here(batches),
            },
        }
    }

    /// Gives back a batch that is done with: its memory serves a later one, so that an epoch in
    /// full swing allocates nothing.
    pub fn recycle(&self, batch: Batch) {
        lock(&self.spare).push(batch);
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.remaining == 0 {
            return None;
        }
        let next = match &mut self.source {
            // A panic is an error here too, as it is on a thread.
            Source::Here(batches) => catch_unwind(AssertUnwindSafe(|| batches.next()))
                .map_err(|panic| DataError::loader_panicked(&*panic))
                .transpose(),
            Source::Ahead(batches) => batches.next(),
        };
        self.remaining = match next {
            Some(Ok(_)) => self.remaining - 1,
            _ => 0,
        };
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An error ends the epoch early.
        (self.remaining.min(1), Some(self.remaining))
    }
}

impl std::fmt::Debug for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epoch").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

/// The batches of one epoch, made when asked for.
#[derive(Clone)]
struct Batches {
    data: Dataset,
    gather: Gather,
    order: Arc<[usize]>,
    batch_size: usize,
    /// Numbers of the batches still to come.
    remaining: Range<usize>,
    spare: Spare,
    /// Whether the threads of the caller's pool make a batch together.
    shared: bool,
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let start = self.remaining.next()? * self.batch_size;
        let rest = &self.order[start..];
        let indices = &rest[..self.batch_size.min(rest.len())];
        let mut batch = lock(&self.spare).pop().unwrap_or_default();
        self.gather.fill(&self.data, indices, self.shared, &mut batch);
        Some(batch)
    }
}

/// The spare batches. A panic elsewhere cannot have left them half-changed.
fn lock(spare: &Mutex<Vec<Batch>>) -> std::sync::MutexGuard<'_, Vec<Batch>> {
    spare.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What [`DataLoaders::new`] needs to know. By default: batches of 64, batch-last, normalised by
/// the training set.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadersConfig {
    /// Images in a batch, in training and validation.
    pub batch_size: usize,
    /// The seed of the shuffling.
    pub seed: u64,
    /// How the values of a batch lie in memory.
    pub format: MemoryFormat,
    /// What the pixels are normalised by; `None` for [`Normalize::of`] the training set.
    pub normalize: Option<Normalize>,
}

impl Default for LoadersConfig {
    fn default() -> Self {
        LoadersConfig { batch_size: 64, seed: 42, format: MemoryFormat::default(), normalize: None }
    }
}

/// The loaders that a network is trained with: training is shuffled and drops a last short batch,
/// validation does neither.
#[derive(Debug)]
pub struct DataLoaders {
    /// Loads the training set.
    pub train: DataLoader,
    /// Loads the validation set.
    pub valid: DataLoader,
}

impl DataLoaders {
    /// Loaders of both sets, which are normalised alike.
    ///
    /// # Errors
    ///
    /// When the batch size is 0 or larger than the training set, or the normalisation does not
    /// fit the channels.
    pub fn new(splits: &Splits, config: &LoadersConfig) -> Result<DataLoaders> {
        let normalize = config.normalize.clone();
        let valid = LoaderConfig {
            batch_size: config.batch_size,
            seed: config.seed,
            format: config.format,
            normalize: normalize.unwrap_or_else(|| Normalize::of(&splits.train)),
            ..Default::default()
        };
        let train = LoaderConfig { shuffle: true, drop_last: true, ..valid.clone() };
        Ok(DataLoaders {
            train: DataLoader::new(splits.train.clone(), train)?,
            valid: DataLoader::new(splits.valid.clone(), valid)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_a_batch_is_made_ends_the_epoch_with_an_error() {
        let vocab = vec!["x".to_string()];
        let data = Dataset::new(vec![0; 6], [1, 1, 1], vec![0; 6], vocab).unwrap();
        for prefetch in [true, false] {
            let batches = Batches {
                gather: Gather::new(&Normalize::default(), 1, MemoryFormat::default()),
                data: data.clone(),
                // There is no image 99.
                order: [0, 1, 2, 99, 4, 5].into(),
                batch_size: 2,
                remaining: 0..3,
                spare: Spare::default(),
                shared: true,
            };
            // A pool of one leaves a core for a thread that prepares, if there are two.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let mut epoch = pool.install(|| Epoch::new(batches, prefetch));
            assert_eq!(epoch.next().unwrap().unwrap().indices, [0, 1]);
            let error = epoch.next().unwrap().unwrap_err().to_string();
            assert!(error.starts_with("the loader of batches panicked: "), "{error}");
            assert!(error.contains("99"), "{error}");
            assert!(epoch.next().is_none());
        }
    }
}
