//! Buffers that come back: after the first training step nothing is allocated.
//!
//! A buffer goes to the pool of its element type when the last tensor on it drops, and serves the
//! next tensor of about its length. The pool keeps what a program held at its peak until
//! [`clear_pool`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::float::Float;

/// Buffers begin on a cache line, so that whole vectors never straddle two.
const ALIGNMENT: usize = 64;

/// Memory of a buffer, with the `Arc` that counts its holders: both are reused.
struct Block<T> {
    values: Vec<T>,
    /// The first element used, for the sake of [`ALIGNMENT`].
    start: usize,
    /// The shelf it returns to; `None` if the memory was a user's vector.
    shelf: Option<usize>,
}

/// Where the buffers of one element type wait.
pub struct Pool<T> {
    /// By length, rounded up by [`shelf_for`].
    shelves: Mutex<BTreeMap<usize, Vec<Arc<Block<T>>>>>,
    allocated: AtomicUsize,
}

/// An element type that has a pool.
pub trait Pooled: Copy + Default + Send + Sync + 'static {
    /// The one pool of this type.
    #[doc(hidden)]
    fn pool() -> &'static Pool<Self>;
}

macro_rules! pooled {
    ($($t:ty),*) => {$(
        impl Pooled for $t {
            fn pool() -> &'static Pool<Self> {
                static POOL: Pool<$t> =
                    Pool { shelves: Mutex::new(BTreeMap::new()), allocated: AtomicUsize::new(0) };
                &POOL
            }
        }
    )*};
}
pooled!(f32, f64, u32);

/// What the pool of an element type has done and holds; see [`pool_stats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    /// Buffers allocated since the program began.
    pub allocated: usize,
    /// Buffers that wait for their next use.
    pub idle: usize,
    /// Bytes of the buffers that wait.
    pub idle_bytes: usize,
}

/// The state of the pool of `T`. In a training loop `allocated` stands still after the first step.
pub fn pool_stats<T: Float>() -> PoolStats {
    let pool = T::pool();
    let shelves = pool.lock();
    let idle = shelves.values().map(Vec::len).sum();
    let bytes = |block: &Arc<Block<T>>| block.values.len() * size_of::<T>();
    let idle_bytes = shelves.values().flatten().map(bytes).sum();
    PoolStats { allocated: pool.allocated.load(Relaxed), idle, idle_bytes }
}

/// Gives the memory of the buffers of `T` that wait back to the system.
pub fn clear_pool<T: Float>() {
    // Freed after the lock is released.
    let _shelves = std::mem::take(&mut *T::pool().lock());
}

/// `len` rounded up, to at least 16 and by at most a quarter, so that a slightly smaller last batch
/// does not bring buffers of its own.
fn shelf_for(len: usize) -> usize {
    len.max(1).next_multiple_of((len.next_power_of_two() / 8).max(16))
}

impl<T: Pooled> Pool<T> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Vec<Arc<Block<T>>>>> {
        // No panic can leave the map half changed.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, shelf: usize) -> Arc<Block<T>> {
        if let Some(block) = self.lock().get_mut(&shelf).and_then(Vec::pop) {
            return block;
        }
        self.allocated.fetch_add(1, Relaxed);
        let slack = ALIGNMENT / size_of::<T>() - 1;
        let values = vec![T::default(); shelf + slack];
        let start = values.as_ptr().align_offset(ALIGNMENT).min(slack);
        Arc::new(Block { values, start, shelf: Some(shelf) })
    }
}

/// Shared memory of a known length. Clones share it; the last to drop returns it to the pool.
#[derive(Clone)]
pub(crate) struct Buffer<T: Pooled> {
    /// `None` only while dropping.
    block: Option<Arc<Block<T>>>,
    len: usize,
}

impl<T: Pooled> Buffer<T> {
    /// A buffer to write: it holds whatever its last user left.
    pub(crate) fn for_overwrite(len: usize) -> Self {
        Self { block: Some(T::pool().take(shelf_for(len))), len }
    }

    /// A user's vector, as it is.
    pub(crate) fn adopt(values: Vec<T>) -> Self {
        let len = values.len();
        Self { block: Some(Arc::new(Block { values, start: 0, shelf: None })), len }
    }

    /// The vector given to [`Buffer::adopt`], if this is its last holder.
    pub(crate) fn reclaim(mut self) -> Option<Vec<T>> {
        let block = Arc::get_mut(self.block.as_mut()?)?;
        block.shelf.is_none().then(|| std::mem::take(&mut block.values))
    }

    fn block(&self) -> &Arc<Block<T>> {
        self.block.as_ref().expect("a buffer has its block until it drops")
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        let block = self.block();
        &block.values[block.start..][..self.len]
    }

    /// The values to change, if nobody shares them.
    pub(crate) fn get_mut(&mut self) -> Option<&mut [T]> {
        let block = Arc::get_mut(self.block.as_mut()?)?;
        Some(&mut block.values[block.start..][..self.len])
    }

    /// Whether another holder shares the memory.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(self.block()) > 1
    }
}

impl<T: Pooled> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(mut block) = self.block.take()
            && let Some(Block { shelf: Some(shelf), .. }) = Arc::get_mut(&mut block)
        {
            let shelf = *shelf;
            T::pool().lock().entry(shelf).or_default().push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shelves_waste_at_most_a_quarter() {
        assert_eq!(shelf_for(0), 16);
        assert_eq!(shelf_for(1), 16);
        for len in 65..5000 {
            let shelf = shelf_for(len);
            assert!(shelf >= len && 4 * (shelf - len) <= len, "{len} -> {shelf}");
            assert_eq!(shelf_for(shelf), shelf);
        }
    }

    #[test]
    fn buffers_come_back_and_are_aligned() {
        // u32 is used by no other test of this file, and this length by no other test.
        const LEN: usize = 123_457;
        let mut first = Buffer::<u32>::for_overwrite(LEN);
        first.get_mut().unwrap().fill(7);
        let place = first.as_slice().as_ptr();
        assert_eq!(place.align_offset(ALIGNMENT), 0);
        let shared = first.clone();
        assert!(first.is_shared() && first.get_mut().is_none());
        drop(first);
        assert_ne!(Buffer::<u32>::for_overwrite(LEN).as_slice().as_ptr(), place);
        drop(shared);
        let again = [Buffer::<u32>::for_overwrite(LEN), Buffer::for_overwrite(LEN - 1)];
        assert!(again.iter().any(|buffer| buffer.as_slice().as_ptr() == place));
    }

    #[test]
    fn an_adopted_vector_is_given_back_whole_and_never_pooled() {
        let values = vec![1u32, 2, 3];
        let place = values.as_ptr();
        let buffer = Buffer::adopt(values);
        let shared = buffer.clone();
        assert!(shared.reclaim().is_none());
        let values = buffer.reclaim().unwrap();
        assert_eq!((values.as_ptr(), values), (place, vec![1, 2, 3]));
        assert!(Buffer::<u32>::for_overwrite(3).reclaim().is_none());
    }
}
