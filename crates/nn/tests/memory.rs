//! Training takes no more memory the longer it runs: what is allocated at the end of each epoch is equal,
//! to the byte, and the memory of the process stays.
//!
//! A fit's `Recorder` and `ActivationStats` keep some numbers of each step, by design, until the next fit:
//! so the first part here is fits of one epoch, and the second, one long fit with both, says how much that is.
//!
//! 100,000 steps: `cargo test --release -p topedge-nn --test memory -- --ignored --nocapture`.

use std::sync::{Mutex, PoisonError};

use peak_alloc::PeakAlloc;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_data::digits::{self, Digits};
use topedge_data::{DataLoader, DataLoaders, LoaderConfig, LoadersConfig};
use topedge_nn::callbacks::{ActivationStats, Histograms};
use topedge_nn::losses::CrossEntropy;
use topedge_nn::metrics::Accuracy;
use topedge_nn::{Callback, Flow, Learner, Net, NetConfig, SavedState, State};

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

/// The bytes that are allocated and those that are in memory, at the end of each epoch.
#[cfg(target_os = "linux")]
struct Epochs(Vec<(usize, usize)>);

#[cfg(target_os = "linux")]
impl Callback for Epochs {
    fn name(&self) -> &'static str {
        "epochs"
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::nothing()
    }

    fn after_epoch(&mut self, _: &mut State) -> Flow {
        self.0.push((MEMORY.current_usage(), 1024 * resident()));
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn one_long_fit(steps: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let mut learner = learner(false)
            .callback(ActivationStats::default().with_histograms())
            .callback(Epochs(Vec::with_capacity(steps / BATCHES)));
        learner.fit(steps / BATCHES, 1e-4).unwrap();
        // Histograms have all their columns by then.
        let full = Histograms::MOST / BATCHES + 1;
        let epochs = &learner.find::<Epochs>().unwrap().0[full..];
        let (first, last) = (epochs[0], epochs[epochs.len() - 1]);
        let count = (BATCHES * (epochs.len() - 1)) as f64;
        let live = (last.0 as f64 - first.0 as f64) / count;
        let resident = (last.1 as f64 - first.1 as f64) / count;
        println!("{steps} steps: {live:.0} bytes of records a step, {resident:.0} bytes resident");
        assert!(live < 1024.0 && resident < 1024.0, "{live:.0} and {resident:.0} bytes a step");

        // An epoch adds its row; else vectors double: of the steps in both callbacks, and of the rows.
        let added: Vec<i64> =
            epochs.windows(2).map(|two| two[1].0 as i64 - two[0].0 as i64).collect();
        let row = added.iter().copied().min().unwrap();
        let doubled = added.iter().filter(|&&bytes| bytes != row).count();
        println!("{row} bytes more after each of {} epochs but {doubled}", added.len());
        let doublings = 1 + (epochs.len() / full).ilog2() as usize;
        assert!((0..100).contains(&row) && doubled <= 3 * doublings, "{added:?}");
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
    one_long_fit(4000);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "minutes: 100,000 steps"]
fn a_long_fit_keeps_its_records_at_length() {
    one_long_fit(100_000);
}
