//! How work is shared out: in pieces cut by shape alone, on the rayon pool of the caller.
//!
//! A caller that is inside the pool (`rayon::scope`, `ThreadPool::install`) finds its other threads
//! awake: after each parallel loop they look for more work a little longer before they fall asleep,
//! for many loops are shorter than it takes to wake a thread.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Instant;

use rayon::prelude::*;

/// Below this many operations a second thread costs more than it brings: one core does this much
/// in the time in which the two have found each other.
const SMALL: usize = 1 << 18;

/// Multiply-adds in the time in which an element is read, changed a little and written.
pub(crate) const MOVED: usize = 8;

/// Microseconds for which idle threads wait for the caller's next loop.
const LINGER: u64 = 200;

/// Calls `job` for each of `jobs` pieces, which together are about `operations` multiply-adds; in
/// parallel if that is worth it.
pub(crate) fn for_each(jobs: usize, operations: usize, job: impl Fn(usize) + Sync + Send) {
    if jobs < 2 || operations < SMALL || rayon::current_num_threads() == 1 {
        (0..jobs).for_each(job);
    } else {
        keep_awake();
        (0..jobs).into_par_iter().with_max_len(1).for_each(|index| {
            let _inside = Inside::enter();
            job(index);
        });
        keep_awake();
    }
}

/// Both results, of work that together is about `operations` multiply-adds; in parallel if that is
/// worth it. Unlike `rayon::join` it keeps the pool's threads awake for the next call.
pub fn join<T: Send>(
    operations: usize,
    a: impl FnOnce() -> T + Send,
    b: impl FnOnce() -> T + Send,
) -> [T; 2] {
    if operations < SMALL || rayon::current_num_threads() == 1 {
        [a(), b()]
    } else {
        keep_awake();
        let results = rayon::join(a, b).into();
        keep_awake();
        results
    }
}

/// The parallel loops of one thread of a pool, as those that help it see them.
#[derive(Default)]
struct Caller {
    /// When the last one began or ended; see [`now`].
    last: AtomicU64,
    /// Threads that wait for the next one.
    waiting: AtomicUsize,
}

thread_local! {
    static CALLER: Arc<Caller> = Arc::default();
    /// Whether this thread runs a job of a loop: then it is not the caller whom others wait for.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// A job that this thread runs, while it lives.
struct Inside {
    outer: bool,
}

impl Inside {
    fn enter() -> Self {
        Self { outer: INSIDE.replace(true) }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.outer);
    }
}

/// Microseconds since some moment.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_micros() as u64
}

/// Makes sure that the pool's other threads look for work from now on, if this is one of them.
fn keep_awake() {
    let Some(this) = rayon::current_thread_index() else {
        return;
    };
    if INSIDE.get() {
        return;
    }
    CALLER.with(|caller| {
        caller.last.store(now(), Relaxed);
        if caller.waiting.load(Relaxed) > 0 {
            return;
        }
        caller.waiting.store(rayon::current_num_threads() - 1, Relaxed);
        let caller = Arc::clone(caller);
        rayon::spawn_broadcast(move |context| {
            if context.index() != this {
                look_for_work(&caller);
                caller.waiting.fetch_sub(1, Relaxed);
            }
        });
    });
}

/// Runs what there is to run until `caller` has not had any for a while. It always ends, so that two
/// callers that help each other cannot wait for each other.
fn look_for_work(caller: &Caller) {
    let mut last = now();
    loop {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            last = now();
        } else if now().saturating_sub(last.max(caller.last.load(Relaxed))) > LINGER {
            return;
        } else {
            thread::yield_now();
        }
    }
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
