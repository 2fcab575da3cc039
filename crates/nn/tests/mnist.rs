//! The diagnosis of training on MNIST. For these tests `TOPEDGE_MNIST` names a folder with the four IDX
//! files.

use std::env;
use std::path::PathBuf;

use rand::SeedableRng;
use topedge_data::{DataLoaders, LoadersConfig, Splits};
use topedge_nn::callbacks::ActivationStats;
use topedge_nn::losses::CrossEntropy;
use topedge_nn::metrics::Accuracy;
use topedge_nn::{FindingKind, Learner, Net, NetConfig};

fn mnist() -> Splits {
    let dir = env::var_os("TOPEDGE_MNIST").expect("TOPEDGE_MNIST: a folder with MNIST's IDX files");
    topedge_data::load(&PathBuf::from(dir), &|_| ()).unwrap()
}

fn learner(splits: &Splits, net: Net, batch_size: usize, seed: u64) -> Learner {
    let config = LoadersConfig { batch_size, seed, ..Default::default() };
    let data = DataLoaders::new(splits, &config).unwrap();
    let mut rng = rand_pcg::Pcg64::seed_from_u64(seed);
    let config = NetConfig { classes: splits.train.vocab().len(), ..Default::default() };
    let model = net.build(&config, &mut rng).unwrap();
    Learner::new(data, model, CrossEntropy::default())
        .metric(Accuracy::default())
        .callback(ActivationStats::default())
}

fn accuracy(learner: &Learner) -> f64 {
    learner.state.row.as_ref().and_then(|row| row.metric("accuracy")).unwrap()
}

/// The chapter's unstable run: collapsed or limping, as the seed will have it.
#[test]
#[ignore = "needs MNIST: set TOPEDGE_MNIST"]
fn mnist_collapses_are_named() {
    let splits = mnist();
    let mut collapsed = 0;
    for seed in 0..3 {
        let mut learner = learner(&splits, Net::SimpleCnn, 64, seed);
        learner.fit(1, 0.06).unwrap();
        let (accuracy, found) = (accuracy(&learner), learner.diagnose());
        println!("seed {seed}: accuracy {accuracy}");
        found.iter().for_each(|finding| println!("  {finding}"));
        let named = |kind| found.iter().find(|finding| finding.kind == kind);
        if accuracy > 0.9 {
            continue;
        }
        collapsed += 1;
        // All layers die in the first quarter of the epoch.
        let dead = named(FindingKind::DeadLayer).expect("dead layers");
        assert!(dead.batch.unwrap() < 937 / 4 && dead.layer.is_some(), "{dead:?}");
        assert!(named(FindingKind::Collapse).is_some_and(|f| f.layer.is_some()), "{found:?}");
        if accuracy < 0.2 {
            let stands = named(FindingKind::NeverMoved).expect("a loss that stands");
            assert!(stands.text.contains("ln 10 = 2.30"), "{stands}");
        }
    }
    assert!(collapsed > 0, "at this rate the network without batch norm does collapse");
}

#[test]
#[ignore = "needs MNIST: set TOPEDGE_MNIST"]
fn mnist_runs_that_are_well_raise_no_alarm() {
    let splits = mnist();
    for (batch_size, seed) in [(64, 0), (512, 0), (512, 1), (512, 2)] {
        let mut learner = learner(&splits, Net::SimpleCnnBn, batch_size, seed);
        learner.fit_one_cycle(1, 0.06).unwrap();
        assert!(accuracy(&learner) >= 0.98, "{}", accuracy(&learner));
        assert_eq!(learner.diagnose(), [], "batch size {batch_size}, seed {seed}");
    }
    for seed in 0..4 {
        let mut learner = learner(&splits, Net::SimpleCnn, 512, seed);
        learner.fit_one_cycle(1, 0.06).unwrap();
        assert!(accuracy(&learner) >= 0.96, "{}", accuracy(&learner));
        assert_eq!(learner.diagnose(), [], "without batch norm, seed {seed}");
    }
    let two = splits.with_labels(&["3", "7"]).unwrap();
    let mut learner = learner(&two, Net::SimpleCnn2, 64, 0);
    learner.fit(2, 0.01).unwrap();
    assert!(accuracy(&learner) >= 0.98, "{}", accuracy(&learner));
    assert_eq!(learner.diagnose(), [], "two digits");
}
