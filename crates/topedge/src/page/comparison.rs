//! A training run, to be laid beside another.

use topedge_nn::callbacks::{ActivationStats, Recorder};
use topedge_nn::optim::Hyper;
use topedge_nn::{ENOUGH_BATCHES, Evidence, diagnose};
use topedge_report::Run;

/// What was recorded in a training run, with its diagnosis, as a [`Comparison`] lays it beside another.
/// `settings` are pairs of name and value.
///
/// ```
/// use topedge::comparable_run;
/// use topedge::nn::callbacks::ActivationStats;
/// use topedge::prelude::*;
/// use topedge::report::Comparison;
///
/// let splits = digits::generate(&Digits { train: 512, valid: 100, ..Default::default() })?;
/// let train = |lr: f64| -> topedge::Result<Learner> {
///     let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
///     let model = Net::SimpleCnn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
///     let mut learner = Learner::new(data, model, CrossEntropy::default())
///         .callback(ActivationStats::default());
///     learner.fit(1, lr)?;
///     Ok(learner)
/// };
/// let learners = [train(0.001)?, train(0.01)?];
/// let [a, b] = [0, 1].map(|i| {
///     let recorder = learners[i].find::<Recorder>().expect("every learner has one");
///     let stats = learners[i].find::<ActivationStats>().expect("it was given");
///     comparable_run(["slow", "fast"][i], vec![], recorder, stats, 10)
/// });
/// let comparison = Comparison { a, b };
/// // The same weights meet the same images first; after a step they are not the same any more.
/// assert_eq!(comparison.losses().different, Some(1));
/// # Ok::<(), topedge::Error>(())
/// ```
///
/// [`Comparison`]: topedge_report::Comparison
pub fn comparable_run<'a>(
    name: &str,
    settings: Vec<(String, String)>,
    recorder: &'a Recorder,
    stats: &'a ActivationStats,
    classes: usize,
) -> Run<'a> {
    let lr = recorder.hyper(Hyper::Lr);
    let evidence = Evidence {
        losses: &recorder.losses,
        lrs: lr,
        rows: &recorder.rows,
        layers: &stats.layers,
        classes,
        ..Default::default()
    };
    Run {
        name: name.to_string(),
        settings,
        epochs: recorder.rows.iter().map(super::epoch).collect(),
        findings: diagnose(&evidence).into_iter().map(super::finding).collect(),
        judged: recorder.losses.len() >= ENOUGH_BATCHES,
        losses: &recorder.losses,
        smoothed: &recorder.smoothed_losses,
        lr,
        momentum: recorder.hyper(Hyper::Momentum),
        layers: stats.layers.iter().map(crate::plots::layer_stats).collect(),
    }
}
