//! A training step of `simple-cnn-bn` on one thread and, in turn with it, on the threads that
//! `RAYON_NUM_THREADS` says. Prints one JSON object: what `peers/alone.py` reads.

use std::error::Error;
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};
use topedge_benches::{TrainingStep, medians_in_turn};

const BATCH_SIZE: usize = 512;
/// So many that it does not count that threads of the other pool go to sleep and those of this one wake: with
/// four steps a turn, two threads seem to take a third longer.
const STEPS: usize = 40;
const TOTAL: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let threads = rayon::current_num_threads();
    // A network for each pool: no memory goes from one to the other.
    let (mut one, mut all) = (TrainingStep::new(BATCH_SIZE)?, TrainingStep::new(BATCH_SIZE)?);
    let pool = |threads| ThreadPoolBuilder::new().num_threads(threads).build();
    let (one_thread, all_threads) = (pool(1)?, pool(threads)?);
    let [one, all] = medians_in_turn(
        TOTAL,
        [&mut || steps(&one_thread, &mut one), &mut || steps(&all_threads, &mut all)],
    );
    println!(
        r#"{{"case":"batch {BATCH_SIZE}","threads":{threads},"seconds":{:.9},"one_thread":{:.9}}}"#,
        all / STEPS as f64,
        one / STEPS as f64,
    );
    Ok(())
}

fn steps(pool: &ThreadPool, step: &mut TrainingStep) {
    pool.install(|| (0..STEPS).for_each(|_| step.run().expect("the shapes fit")));
}
