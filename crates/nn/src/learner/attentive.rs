//! A thread pool that stays awake.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// Runs `step` in the thread pool, entered once for all its parallel loops. Meanwhile the pool's other
/// threads look for work instead of falling asleep: the loops of a step are short, and to wake a
/// thread takes as long as one of them.
pub(super) fn run<R: Send>(step: impl FnOnce() -> R + Send) -> R {
    let done = AtomicBool::new(false);
    rayon::scope(|scope| {
        let stepping = rayon::current_thread_index();
        let done = &done;
        scope.spawn_broadcast(move |_, context| {
            // The thread of the step may come here, too, while it waits for others inside a loop.
            while Some(context.index()) != stepping && !done.load(Relaxed) {
                if rayon::yield_now() != Some(rayon::Yield::Executed) {
                    thread::yield_now();
                }
            }
        });
        let _done = SetOnDrop(done);
        step()
    })
}

/// Says that the step is over, also if it panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
