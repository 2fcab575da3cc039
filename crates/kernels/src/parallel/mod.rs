//! How work is shared out: in pieces that cut sums by shape alone, on the rayon pool of the caller.

mod team;

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

/// Below this many operations a second thread costs more than it brings: one core does this much
/// in the time in which the two have found each other and fetched what the other has written.
#[cfg(not(test))]
const SMALL: usize = 1 << 17;
/// In tests even small shapes are shared out.
#[cfg(test)]
const SMALL: usize = 1 << 10;

/// Jobs come in multiples of this where there are enough, so that two threads or four have the same to do.
pub(crate) const EVEN: usize = 4;

/// Multiply-adds in the time in which an element is read, changed a little and written.
pub(crate) const MOVED: usize = 8;
/// The same where elements are moved one by one, or each is looked at several times.
pub(crate) const MOVED_SLOWLY: usize = 4 * MOVED;

/// About how many operations so many of so many are. They only say whether a second thread pays, so more
/// than a number holds are as many as it holds.
pub(crate) fn operations<const N: usize>(sizes: [usize; N]) -> usize {
    sizes.into_iter().fold(1, usize::saturating_mul)
}

/// How many threads share work of about so many `operations`. It may decide how work is cut where that cuts no sum.
pub(crate) fn threads(operations: usize) -> usize {
    if operations < SMALL { 1 } else { rayon::current_num_threads() }
}

/// Part number `part` of `parts`, if `len` things are cut into parts as equal as can be.
pub(crate) fn share(len: usize, parts: usize, part: usize) -> Range<usize> {
    let (size, longer) = (len / parts, len % parts);
    // The longer ones are spread evenly, too: `longer * part / parts` of them come before.
    let before = |part: usize| match longer.checked_mul(part) {
        Some(product) => product / parts,
        None => (longer as u128 * part as u128 / parts as u128) as usize,
    };
    let start = |part: usize| size * part + before(part);
    start(part)..start(part + 1)
}

/// The length of the longest part, if `len` things are cut into as few parts as go, equal but for the last, of
/// `most` at the most; at least 1.
pub(crate) fn even(len: usize, most: usize) -> usize {
    len.div_ceil(len.div_ceil(most).max(1)).max(1)
}

/// Calls `job` for each of `jobs` pieces, which together are about `operations` multiply-adds; in
/// parallel if that is worth it.
///
/// A loop inside a job of another one, or outside of the pool, is rayon's; any other one is the
/// team's, whose threads find each other sooner.
pub(crate) fn for_each(jobs: usize, operations: usize, job: impl Fn(usize) + Sync + Send) {
    if jobs < 2 || threads(operations) == 1 {
        (0..jobs).for_each(job);
    } else if team::can_run() {
        team::run(jobs, &job);
    } else {
        (0..jobs).into_par_iter().with_max_len(1).for_each(job);
    }
}

/// Calls `job` for each of `jobs` pieces of about `operations` multiply-adds each, which share themselves out:
/// side by side only where each is too small for that.
pub(crate) fn for_each_whole(jobs: usize, operations: usize, job: impl Fn(usize) + Sync + Send) {
    if operations < SMALL {
        for_each(jobs, operations.saturating_mul(jobs), job);
    } else {
        (0..jobs).for_each(job);
    }
}

/// Both results, of work that together is about `operations` multiply-adds; in parallel if that is
/// worth it. A caller inside the pool finds its other threads awake, for a moment after each call.
pub fn join<T: Send>(
    operations: usize,
    a: impl FnOnce() -> T + Send,
    b: impl FnOnce() -> T + Send,
) -> [T; 2] {
    if threads(operations) == 1 {
        [a(), b()]
    } else if team::can_run() {
        let (a, b) = (Mutex::new(Some(a)), Mutex::new(Some(b)));
        let results = [const { Mutex::new(None) }; 2];
        team::run(2, &|index| {
            let result = if index == 0 { take(&a).map(|a| a()) } else { take(&b).map(|b| b()) };
            *lock(&results[index]) = result;
        });
        results.map(|result| take(&result).expect("each job has run once"))
    } else {
        rayon::join(a, b).into()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
    lock(place).take()
}

/// A pointer that several jobs write through, each to places of its own.
pub(crate) struct SharedMut<T>(*mut T);

impl<T> Clone for SharedMut<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SharedMut<T> {}

// SAFETY: only an address; whoever writes through it has the duty to write where nobody else does.
unsafe impl<T: Send> Send for SharedMut<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<T> {}

impl<T> SharedMut<T> {
    pub(crate) fn new(pointer: *mut T) -> Self {
        Self(pointer)
    }

    /// By a method, so that a closure captures the whole wrapper.
    pub(crate) fn get(self) -> *mut T {
        self.0
    }
}
