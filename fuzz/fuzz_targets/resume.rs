//! A fit that goes on from a checkpoint whose contents were changed, and whose checksum fits them, comes
//! to its end or to an error.

#![no_main]

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use std::{env, fs, process};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge::data::{DataLoaders, Dataset, LoadersConfig, Splits};
use topedge::nn::callbacks::{
    ActivationStats, EarlyStopping, GradientAccumulation, MixUp, ReduceLrOnPlateau,
};
use topedge::nn::layers::{BatchNorm2d, Dropout, Flatten, Linear, LinearConfig, Sequential};
use topedge::nn::losses::CrossEntropy;
use topedge::nn::metrics::Accuracy;
use topedge::nn::optim::Adam;
use topedge::nn::{Checkpoint, Checkpoints, Error, Learner, Result};
use topedge_fuzz::{checkpoint_of, contents_of};

/// With something of each kind that a checkpoint keeps.
fn learner() -> Result<Learner> {
    let set = |n: u8| {
        let labels = (0..u32::from(n)).map(|i| i % 2).collect();
        let vocab = ["a", "b"].map(str::to_string).to_vec();
        Dataset::new((0..4 * n).collect(), [1, 2, 2], labels, vocab)
    };
    let config = LoadersConfig { batch_size: 2, ..Default::default() };
    let data = DataLoaders::new(&Splits::new(set(4)?, set(2)?)?, &config)?;
    let net = Sequential::new()
        .push(BatchNorm2d::new(1)?)
        .push(Flatten)
        .push(Dropout::new(0.5)?)
        .push(Linear::new(4, 2, &LinearConfig::default(), &mut Pcg64::seed_from_u64(1))?);
    Ok(Learner::new(data, net, CrossEntropy::default())
        .metric(Accuracy::default())
        .optimizer(Adam::pytorch())
        .callback(MixUp::new(0.4)?)
        .callback(GradientAccumulation::new(3))
        .callback(ActivationStats::default().with_histograms())
        .callback(ReduceLrOnPlateau::default())
        .callback(EarlyStopping::default()))
}

/// Two epochs of two batches.
fn fit(learner: &mut Learner) -> Result<()> {
    learner.fit(2, 0.1)
}

/// The contents of all checkpoints of a fit: one after each batch and each epoch.
static WHOLE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let path = env::temp_dir().join(format!("topedge-fuzz-{}", process::id()));
    let mut whole: Vec<Vec<u8>> = vec![];
    loop {
        let stop = Arc::new(AtomicBool::new(true));
        let checkpoints = Checkpoints { path: path.clone(), stop, ..Default::default() };
        let mut learner = learner().unwrap().checkpoints(checkpoints);
        if path.exists() {
            learner.resume(Checkpoint::load(&path).unwrap());
        }
        match fit(&mut learner) {
            Err(Error::Stopped { .. }) => whole.push(contents_of(&fs::read(&path).unwrap())),
            outcome => break outcome.unwrap(),
        }
    }
    fs::remove_file(path).unwrap();
    whole
});

#[derive(Debug, Arbitrary)]
struct Case {
    checkpoint: u8,
    changes: Vec<Change>,
}

/// A change of the contents, at a place counted from their end: they begin with settings, which must be
/// those of the learner.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Change {
    Replace(u16, u8),
    Insert(u16, u8),
    Remove(u16),
}

impl Change {
    fn apply(self, contents: &mut Vec<u8>) {
        let at = |place: u16| contents.len().checked_sub(1 + usize::from(place));
        match self {
            Change::Replace(place, byte) => {
                if let Some(at) = at(place) {
                    contents[at] = byte;
                }
            }
            Change::Insert(place, byte) => {
                if let Some(at) = at(place) {
                    contents.insert(at, byte);
                }
            }
            Change::Remove(place) => {
                if let Some(at) = at(place) {
                    contents.remove(at);
                }
            }
        }
    }
}

fuzz_target!(|case: Case| {
    let mut contents = WHOLE[usize::from(case.checkpoint) % WHOLE.len()].clone();
    case.changes.iter().for_each(|change| change.apply(&mut contents));
    if let Ok(checkpoint) = Checkpoint::from_bytes(&checkpoint_of(&contents)) {
        let mut learner = learner().unwrap();
        learner.resume(checkpoint);
        let _ = fit(&mut learner);
    }
});
