//! A thread of the pool and those that help it with one loop after the other.
//!
//! Most loops of a training step are shorter than it takes to wake a thread, and not much longer
//! than it takes to hand work over by rayon's queues. So the pool's other threads stay awake for a
//! moment after each loop, and watch for the next one in a place that they all know. A loop's jobs
//! are taken one by one, by whoever is free; the caller itself needs nobody, and waits at the end
//! only for jobs that others have begun.

use std::any::Any;
use std::cell::Cell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{lock, take};

/// For how long idle threads watch for the caller's next loop.
const LINGER: Duration = Duration::from_micros(200);
/// For how long they watch at the longest, before they have to be asked again: a thread that came here
/// while it waited for something else gets back to that.
const LONGEST: Duration = Duration::from_millis(20);
/// Looks at the caller's place between two at the clock and at rayon's queues: about a microsecond.
const LOOKS: usize = 32;
/// Looks between two offers to let other programs run, each of which takes as long as some of them.
const LOOKS_ALONE: usize = 32 * LOOKS;

/// Most shares of a loop.
const MAX_SHARES: usize = 16;

/// How many jobs of a share are taken; in a pair of cache lines of its own.
#[repr(align(128))]
struct Taken(AtomicUsize);

/// A loop, on its caller's stack.
struct Loop<'a> {
    job: &'a (dyn Fn(usize) + Sync),
    jobs: usize,
    shares: usize,
    taken: [Taken; MAX_SHARES],
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl<'a> Loop<'a> {
    fn new(jobs: usize, job: &'a (dyn Fn(usize) + Sync)) -> Self {
        Self {
            job,
            jobs,
            shares: rayon::current_num_threads().min(MAX_SHARES),
            taken: [const { Taken(AtomicUsize::new(0)) }; MAX_SHARES],
            panic: Mutex::new(None),
        }
    }

    /// Runs what jobs there are left to take, of the share of this `member` of the team first.
    fn work(&self, member: usize) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for turn in 0..self.shares {
                let share = (member + turn) % self.shares;
                let size = self.jobs / self.shares + usize::from(share < self.jobs % self.shares);
                let first = self.jobs / self.shares * share + share.min(self.jobs % self.shares);
                let taken = &self.taken[share].0;
                // The look before saves those that come last a write. One's own share is seldom taken.
                while turn == 0 || taken.load(Relaxed) < size {
                    let index = taken.fetch_add(1, Relaxed);
                    if index >= size {
                        break;
                    }
                    (self.job)(first + index);
                }
            }
        }));
        if let Err(panic) = outcome {
            // Nobody begins another job.
            self.taken.iter().for_each(|taken| taken.0.store(self.jobs, Relaxed));
            lock(&self.panic).get_or_insert(panic);
        }
    }
}

/// The loops of one thread of a pool, as those that help it see them. Everything that a loop changes is in
/// one cache line, which goes from thread to thread as seldom as can be.
#[repr(align(128))]
struct Caller {
    /// How many there have been.
    loops: AtomicUsize,
    /// The one that runs now.
    current: AtomicPtr<Loop<'static>>,
    /// Threads that have looked at `current` and may be at work on what they saw.
    inside: AtomicUsize,
    /// Threads that watch for the next one.
    watching: Watching,
}

/// In a pair of cache lines of its own: the caller reads it before each loop.
#[repr(align(128))]
struct Watching(AtomicUsize);

thread_local! {
    static CALLER: Arc<Caller> = Arc::new(Caller {
        loops: AtomicUsize::new(0),
        current: AtomicPtr::new(ptr::null_mut()),
        inside: AtomicUsize::new(0),
        watching: Watching(AtomicUsize::new(0)),
    });
    /// Whether this thread runs a loop, or a job of one.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, loops of this thread are rayon's.
struct AtWork {
    outer: bool,
}

impl AtWork {
    fn enter() -> Self {
        Self { outer: AT_WORK.replace(true) }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.set(self.outer);
    }
}

/// Whether the loops of this thread, as it is now, can be a team's.
pub(super) fn can_run() -> bool {
    !AT_WORK.get() && rayon::current_thread_index().is_some()
}

/// Calls `job` for each number below `jobs`, on this thread and those that watch it.
pub(super) fn run(jobs: usize, job: &(dyn Fn(usize) + Sync)) {
    let work = Loop::new(jobs, job);
    CALLER.with(|caller| {
        keep_awake(caller);
        // Only this thread changes these two. Whoever sees the new number sees the new loop, or that it is over.
        caller.current.store(ptr::from_ref(&work).cast_mut().cast(), Release);
        caller.loops.store(caller.loops.load(Relaxed) + 1, Release);
        // Until nobody is inside any more: what is taken from rayon's queues on the way may have loops of
        // its own, and those must not wait for who is inside this one.
        let _at_work = AtWork::enter();
        // It catches panics, so that what follows is always done.
        work.work(0);
        caller.current.store(ptr::null_mut(), SeqCst);
        let mut looks = 0;
        while caller.inside.load(SeqCst) > 0 {
            looks += 1;
            if looks % LOOKS == 0 {
                // A job may wait for others that it has given to rayon.
                rest(looks);
            }
            spin_loop();
        }
    });
    if let Some(panic) = take(&work.panic) {
        resume_unwind(panic);
    }
}

impl Caller {
    /// Helps with the loop that runs now, if there is one and it is not that which was `seen` last. Returns
    /// whether there has been a new one.
    fn help(&self, member: usize, seen: &mut usize) -> bool {
        let loops = self.loops.load(Acquire);
        if loops == *seen {
            return false;
        }
        *seen = loops;
        self.inside.fetch_add(1, SeqCst);
        // SAFETY: the caller takes the loop away from here before it waits for `inside` to be 0, and
        // only then does its loop end. So one that is seen after `inside` was counted up lives until it
        // is counted down.
        if let Some(work) = unsafe { self.current.load(SeqCst).as_ref() } {
            let _at_work = AtWork::enter();
            work.work(member);
        }
        self.inside.fetch_sub(1, Release);
        true
    }
}

/// Makes sure that the pool's other threads watch the caller from now on.
fn keep_awake(caller: &Arc<Caller>) {
    if caller.watching.0.load(Acquire) > 0 {
        return;
    }
    caller.watching.0.store(rayon::current_num_threads() - 1, Relaxed);
    let (this, caller) = (rayon::current_thread_index().unwrap_or(0), Arc::clone(caller));
    rayon::spawn_broadcast(move |context| {
        if context.index() != this && !AT_WORK.get() {
            let threads = context.num_threads();
            watch(&caller, (context.index() + threads - this) % threads);
        }
        if context.index() != this {
            caller.watching.0.fetch_sub(1, Release);
        }
    });
}

/// Helps `caller` until it has not had a loop for a while, or for long enough.
fn watch(caller: &Caller, member: usize) {
    let start = Instant::now();
    let (mut seen, mut looks, mut last) = (0, 0, start);
    loop {
        let mut helped = false;
        for _ in 0..LOOKS {
            helped |= caller.help(member, &mut seen);
            spin_loop();
        }
        looks += LOOKS;
        let found = rest(looks);
        let now = Instant::now();
        if helped || found {
            last = now;
        }
        if now - last > LINGER || now - start > LONGEST {
            return;
        }
    }
}

/// After so many `looks`, runs something that waits in rayon's queues; or else, every now and then, lets
/// other programs and threads run. Returns whether there was something in the queues.
fn rest(looks: usize) -> bool {
    let found = rayon::yield_now() == Some(rayon::Yield::Executed);
    if !found && looks.is_multiple_of(LOOKS_ALONE) {
        thread::yield_now();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pool(threads: usize, f: impl FnOnce() + Send) {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f);
    }

    #[test]
    fn each_job_once_loop_after_loop() {
        for threads in [1, 2, 3, 8] {
            in_pool(threads, || {
                for jobs in (0..200).chain([10_000]) {
                    let counts: Vec<_> = (0..jobs).map(|_| AtomicUsize::new(0)).collect();
                    run(jobs, &|index| {
                        counts[index].fetch_add(1, Relaxed);
                    });
                    assert!(counts.iter().all(|count| count.load(Relaxed) == 1));
                }
            });
        }
    }

    #[test]
    fn loops_within_jobs_and_callers_side_by_side() {
        in_pool(3, || {
            rayon::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|_| {
                        let count = AtomicUsize::new(0);
                        run(50, &|_| {
                            assert!(!can_run());
                            crate::parallel::for_each(20, usize::MAX, |_| {
                                count.fetch_add(1, Relaxed);
                            });
                        });
                        assert_eq!(count.load(Relaxed), 1000);
                    });
                }
            });
        });
    }

    #[test]
    fn joins_within_joins() {
        fn sum(range: std::ops::Range<u64>) -> u64 {
            if range.end - range.start < 4 {
                return range.sum();
            }
            let middle = (range.start + range.end) / 2;
            let [a, b] = crate::parallel::join(
                usize::MAX,
                || sum(range.start..middle),
                || sum(middle..range.end),
            );
            a + b
        }
        for threads in [2, 3, 8] {
            in_pool(threads, || {
                for _ in 0..200 {
                    assert_eq!(sum(0..1000), 499_500);
                }
            });
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_harms_no_later_loop() {
        in_pool(2, || {
            for bad in [0, 7, 99] {
                let outcome = catch_unwind(|| run(100, &|index| assert_ne!(index, bad)));
                assert!(outcome.is_err());
                assert!(can_run());
            }
            let count = AtomicUsize::new(0);
            run(100, &|_| {
                count.fetch_add(1, Relaxed);
            });
            assert_eq!(count.into_inner(), 100);
        });
    }
}
