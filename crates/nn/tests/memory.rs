//! Training takes no more memory the longer it runs: what is allocated at the end of each epoch is equal,
//! to the byte, and the memory of the process stays.
//!
//! A fit's `Recorder` keeps some numbers of each step, by design, until the next fit: so the first part
//! here is fits of one epoch, and the second, one long fit, says how much that is.
//!
//! 100,000 steps: `cargo test --release -p topedge-nn --test memory -- --ignored --nocapture`.

use std::sync::{Mutex, PoisonError};

use peak_alloc::PeakAlloc;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_data::digits::{self, Digits};
use topedge_data::{DataLoader, DataLoaders, LoaderConfig, LoadersConfig};
use topedge_nn::losses::CrossEntropy;
use topedge_nn::metrics::Accuracy;
use topedge_nn::{Learner, Net, NetConfig};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is counted for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Batches of an epoch.
const BATCHES: usize = 50;

/// A learner on batches of eight digits.
fn learner(prefetch: bool) -> Learner {
    let config = Digits { train: 8 * BATCHES, valid: 16, ..Default::default() };
    let splits = digits::generate(&config).unwrap();
    let data = DataLoaders::new(&splits, &LoadersConfig { batch_size: 8, ..Default::default() });
    let DataLoaders { train, valid } = data.unwrap();
    let again = |loader: DataLoader| {
        let config = LoaderConfig { prefetch, ..loader.config().clone() };
        DataLoader::new(loader.dataset().clone(), config).unwrap()
    };
    let data = DataLoaders { train: again(train), valid: again(valid) };
    let mut rng = Pcg64::seed_from_u64(1);
    let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng).unwrap();
    Learner::new(data, model, CrossEntropy::default()).metric(Accuracy::default())
}

fn epoch_after_epoch(steps: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // One thread, and none that loads: which thread has had which job, or how many batches are on their
    // way, is chance.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let mut learner = learner(false);
        let mut live = Vec::with_capacity(steps / BATCHES);
        while live.len() < steps / BATCHES {
            learner.fit(1, 1e-4).unwrap();
            live.push(MEMORY.current_usage());
        }
        println!("{} bytes at the end of each of {} epochs", live[2], live.len());
        // Buffers come to their places in the first.
        let other = live[2..].iter().position(|&bytes| bytes != live[2]);
        assert_eq!(other, None, "{:?}", &live[..live.len().min(20)]);
    });
}

/// KiB of the process that are in memory.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[cfg(target_os = "linux")]
fn one_long_fit(steps: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        let mut learner = learner(true);
        learner.fit(2, 1e-4).unwrap();
        let before = (MEMORY.current_usage(), resident());
        learner.fit(steps / BATCHES, 1e-4).unwrap();
        let live = MEMORY.current_usage().saturating_sub(before.0) as f64 / steps as f64;
        let resident = 1024.0 * (resident() as f64 - before.1 as f64) / steps as f64;
        println!("{steps} steps: {live:.0} bytes of records a step, {resident:.0} bytes resident");
        assert!(live < 200.0 && resident < 1024.0, "{live:.0} and {resident:.0} bytes a step");
    });
}

#[test]
fn the_same_at_the_end_of_each_epoch() {
    epoch_after_epoch(500);
}

#[test]
#[ignore = "minutes: 100,000 steps"]
fn the_same_at_the_end_of_each_epoch_at_length() {
    epoch_after_epoch(100_000);
}

#[cfg(target_os = "linux")]
#[test]
fn a_long_fit_keeps_its_records() {
    one_long_fit(2000);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "minutes: 100,000 steps"]
fn a_long_fit_keeps_its_records_at_length() {
    one_long_fit(100_000);
}
