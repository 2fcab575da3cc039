//! Each finding in a series that is made to show it, and in a training run that fails in this way.

use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_data::digits::{self, Digits};
use topedge_data::{DataLoaders, Dataset, LoadersConfig, Splits};

use super::*;
use crate::callbacks::Histograms;
use crate::layers::Sequential;
use crate::losses::CrossEntropy;
use crate::metrics::Accuracy;
use crate::optim::Sgd;
use crate::{Init, Net, NetConfig};

fn row(epoch: usize, train_loss: f64, valid_loss: f64) -> EpochRow {
    let (train_loss, valid_loss) = (Some(train_loss), Some(valid_loss));
    EpochRow { epoch, train_loss, valid_loss, metrics: vec![], seconds: 1.0, train_seconds: 1.0 }
}

fn layer(path: &str, std: Vec<f64>, near_zero: Vec<f64>) -> LayerStats {
    let mean = vec![0.1; std.len()];
    let layer = "Conv2d".to_string();
    LayerStats {
        path: path.to_string(),
        layer,
        mean,
        std,
        near_zero,
        histograms: Histograms::default(),
    }
}

fn kinds(findings: &[Finding]) -> Vec<FindingKind> {
    findings.iter().map(|finding| finding.kind).collect()
}

fn falling(n: usize) -> Vec<f32> {
    (0..n).map(|i| 2.3 * 0.97_f32.powi(i as i32) + 0.1).collect()
}

#[test]
fn nothing_of_nothing_and_nothing_of_a_run_that_is_well() {
    assert_eq!(diagnose(&Evidence::default()), []);
    let losses = falling(100);
    let layers = [
        layer("0.0", vec![1.0; 100], vec![0.8; 100]),
        layer("1.0", vec![3.0; 100], vec![1.0; 100]),
    ];
    let rows = [row(0, 0.5, 0.4), row(1, 0.2, 0.25), row(2, 0.1, 0.26)];
    let evidence = Evidence {
        losses: &losses,
        layers: &layers,
        rows: &rows,
        classes: 10,
        ..Default::default()
    };
    assert_eq!(diagnose(&evidence), []);
}

#[test]
fn a_dead_layer_is_named_with_its_batch() {
    let near_zero = |n: usize| (0..100).map(|i| if i < n { 0.7 } else { 0.97 }).collect();
    let layers = [
        layer("0.0", vec![1.0; 100], vec![0.5; 100]),
        layer("3.0", vec![1.0; 100], near_zero(40)),
        layer("4.0", vec![1.0; 100], vec![1.0; 100]),
    ];
    let evidence = Evidence { layers: &layers, lrs: &[0.06; 100], ..Default::default() };
    let found = diagnose(&Evidence { lacks_batch_norm: true, ..evidence });
    assert_eq!(kinds(&found), [FindingKind::DeadLayer]);
    assert_eq!((found[0].layer.as_deref(), found[0].batch), (Some("3.0"), Some(40)));
    assert_eq!(
        found[0].to_string(),
        "Layer 3.0, Conv2d: 97 % near zero since batch 40: lower the rate (0.06 at its highest), or warm up \
         (1cycle does), or add batch norm"
    );
    // What is there already is not advised.
    let lrs: Vec<f64> = (0..100).map(|i| 0.01 + 0.001 * f64::from(i)).collect();
    let found = diagnose(&Evidence { lrs: &lrs, ..evidence });
    assert_eq!(found[0].advice, "lower the rate (0.109 at its highest)");
    assert_eq!(found[0].severity, Severity::Warning);
}

#[test]
fn collapse_and_regrowth_are_counted() {
    // Doubles for five batches, then falls to where it began; three times.
    let std = (0..60).map(|i| if i % 20 < 5 { 2_f64.powi(i % 20) } else { 1.0 }).collect();
    let layers = [layer("2.0", std, vec![0.5; 60]), layer("3.0", vec![1.0; 60], vec![0.5; 60])];
    let found = diagnose(&Evidence { layers: &layers, ..Default::default() });
    assert_eq!(kinds(&found), [FindingKind::Collapse]);
    assert_eq!((found[0].layer.as_deref(), found[0].batch), (Some("2.0"), Some(5)));
    assert!(found[0].text.contains("from a standard deviation of 16 to 1"), "{}", found[0]);
    assert!(found[0].text.contains("regrow 2 times"), "{}", found[0]);
}

#[test]
fn explosions_are_failures() {
    let std: Vec<f64> = (0..40).map(|i| 1.5_f64.powi(i)).collect();
    let layers = [layer("1.0", std.clone(), vec![0.5; 40])];
    let found = diagnose(&Evidence { layers: &layers, ..Default::default() });
    assert_eq!(kinds(&found), [FindingKind::Exploding]);
    assert_eq!(found[0].batch, std.iter().position(|&std| std > 1000.0));

    let mut nan = layer("1.0", vec![1.0; 3], vec![0.5; 3]);
    nan.mean[2] = f64::NAN;
    let found = diagnose(&Evidence { layers: &[nan], ..Default::default() });
    assert_eq!((found[0].kind, found[0].batch), (FindingKind::Exploding, Some(2)));
}

#[test]
fn a_rate_too_high_for_the_start() {
    let mut losses = falling(200);
    losses[3..8].fill(4.0);
    let lrs = vec![0.06; 200];
    let found = diagnose(&Evidence { losses: &losses, lrs: &lrs, ..Default::default() });
    assert_eq!(kinds(&found), [FindingKind::RateTooHigh]);
    assert_eq!(found[0].batch, Some(5));
    assert!(found[0].text.contains("from 2.4 to 4 ") && found[0].text.contains("0.06"));
    // Steps of no size did not do it.
    assert_eq!(
        diagnose(&Evidence { losses: &losses, lrs: &[1e-21; 200], ..Default::default() }),
        []
    );
}

#[test]
fn a_loss_that_stands() {
    let mut losses = vec![2.31; 100];
    losses[..7].fill(5.0);
    let evidence = Evidence { losses: &losses, classes: 10, ..Default::default() };
    let found = diagnose(&evidence);
    assert_eq!(found[0].kind, FindingKind::NeverMoved);
    assert_eq!((found[0].severity, found[0].batch), (Severity::Failure, Some(7)));
    assert!(found[0].text.contains("ln 10 = 2.30"), "{}", found[0]);

    let began = vec![5.0; 100];
    let found = diagnose(&Evidence { losses: &began, ..evidence });
    assert!(found[0].text.contains("where it began"), "{}", found[0]);
    let short = vec![2.31; 10];
    assert_eq!(diagnose(&Evidence { losses: &short, ..evidence }), []);
}

#[test]
fn overfitting_names_the_epoch() {
    let rows = [row(0, 1.0, 0.9), row(1, 0.5, 0.6), row(2, 0.3, 0.65), row(3, 0.1, 0.8)];
    let losses = falling(400);
    let found = diagnose(&Evidence { losses: &losses, rows: &rows, ..Default::default() });
    assert_eq!(kinds(&found), [FindingKind::Overfitting]);
    assert_eq!(found[0].batch, Some(200));
    assert!(found[0].text.contains("since epoch 1") && found[0].text.contains("0.6 to 0.8"));
}

fn digits(train: usize) -> Splits {
    digits::generate(&Digits { train, valid: 400, ..Default::default() }).unwrap()
}

fn learner(splits: &Splits, model: Sequential, batch_size: usize) -> Learner {
    let config = LoadersConfig { batch_size, ..Default::default() };
    Learner::new(DataLoaders::new(splits, &config).unwrap(), model, CrossEntropy::default())
        .metric(Accuracy::default())
        .callback(ActivationStats::default())
}

fn build(net: Net, seed: u64) -> Sequential {
    net.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(seed)).unwrap()
}

#[test]
fn runs_that_are_well_are_left_alone() {
    let splits = digits(4000);
    let mut norm = learner(&splits, build(Net::SimpleCnnBn, 1), 64);
    norm.fit_one_cycle(2, 0.03).unwrap();
    assert_eq!(norm.diagnose(), []);
    let mut plain = learner(&splits, build(Net::SimpleCnn, 1), 64);
    plain.fit_one_cycle(3, 0.005).unwrap();
    assert_eq!(plain.diagnose(), []);
}

#[test]
fn a_flat_high_rate_kills_a_network_without_batch_norm() {
    let mut learner = learner(&digits(4000), build(Net::SimpleCnn, 2), 64);
    learner.fit(2, 0.1).unwrap();
    let found = learner.diagnose();
    assert_eq!(found[0].kind, FindingKind::RateTooHigh, "the cause comes first");
    for kind in [
        FindingKind::NeverMoved,
        FindingKind::DeadLayer,
        FindingKind::Collapse,
        FindingKind::RateTooHigh,
    ] {
        assert!(kinds(&found).contains(&kind), "{kind:?}: {found:?}");
    }
    assert!(found.iter().all(|finding| finding.batch.is_some()));
}

#[test]
fn too_large_weights_explode() {
    let splits = digits(2000);
    let mut model = build(Net::SimpleCnn, 1);
    Init::KaimingNormal.apply(&mut model, &mut Pcg64::seed_from_u64(1)).unwrap();
    let mut learner = learner(&splits, model, 64).optimizer(Sgd::default());
    // It may well end with a loss that is not finite.
    let outcome = learner.fit(2, 3.0);
    let found = learner.diagnose();
    assert!(kinds(&found).contains(&FindingKind::Exploding), "{outcome:?} {found:?}");
}

#[test]
fn a_rate_of_nearly_nothing_moves_nothing() {
    let mut learner = learner(&digits(2000), build(Net::SimpleCnn, 1), 64);
    learner.fit(1, 1e-9).unwrap();
    let found = learner.diagnose();
    assert_eq!(kinds(&found), [FindingKind::NeverMoved]);
    assert!(found[0].advice.contains("very low"), "{}", found[0]);
}

#[test]
fn a_low_rate_has_hardly_learned() {
    let mut learner = learner(&digits(4000), build(Net::SimpleCnnBn, 1), 64);
    learner.fit_one_cycle(2, 2e-5).unwrap();
    let found = learner.diagnose();
    assert_eq!(kinds(&found), [FindingKind::NeverMoved], "{found:?}");
    assert!(found[0].text.contains("hardly learned") && found[0].advice.contains("higher rate"));
}

/// The training set, with other labels.
fn relabelled(splits: Splits, mut label: impl FnMut(u32) -> u32) -> Splits {
    let images = &splits.train;
    let pixels = (0..images.len()).flat_map(|i| images.image(i).to_vec()).collect();
    let labels = images.labels().iter().map(|&l| label(l)).collect();
    let vocab = images.vocab().to_vec();
    let train = Dataset::new(pixels, images.image_shape(), labels, vocab).unwrap();
    Splits::new(train, splits.valid).unwrap()
}

#[test]
fn labels_that_do_not_fit_are_not_blamed_on_the_rate() {
    use rand::RngExt;
    let mut rng = Pcg64::seed_from_u64(5);
    let splits = relabelled(digits(4000), |_| rng.random_range(0..10));
    let mut learner = learner(&splits, build(Net::SimpleCnnBn, 1), 64);
    learner.fit_one_cycle(1, 0.01).unwrap();
    let found = learner.diagnose();
    assert!(kinds(&found).contains(&FindingKind::NeverMoved), "{found:?}");
    assert!(found.iter().any(|finding| finding.advice.contains("labels fit")), "{found:?}");
    assert!(found.iter().all(|finding| !finding.advice.contains("batch norm")), "{found:?}");
}

#[test]
fn a_gap_that_stays_is_overfitting() {
    // The validation loss never rises much.
    let rows: Vec<_> =
        (0..12).map(|i| row(i, 0.5 * 0.6_f64.powi(i as i32), 0.55 - 0.005 * i as f64)).collect();
    let losses = falling(1200);
    let found = diagnose(&Evidence { losses: &losses, rows: &rows, ..Default::default() });
    assert_eq!(kinds(&found), [FindingKind::Overfitting]);
    assert_eq!(found[0].batch, Some(300), "{}", found[0]);
    // Nearly always right: a large ratio, but nothing to gain.
    let rows: Vec<_> = (0..12).map(|i| row(i, 0.002, 0.03)).collect();
    assert_eq!(diagnose(&Evidence { losses: &losses, rows: &rows, ..Default::default() }), []);
}

#[test]
fn numbers_are_written_as_people_write_them() {
    let texts = [0.06, 2.0, 2.345, 104.4, 12345.0, 1.04e32, 1e-9, f64::INFINITY].map(short_number);
    assert_eq!(texts, ["0.06", "2", "2.35", "104", "12345", "1.04e32", "1e-9", "inf"]);
}

/// Labels at random can be learned by heart alone.
#[test]
fn random_labels_are_overfitted() {
    use rand::RngExt;
    let mut rng = Pcg64::seed_from_u64(5);
    let splits =
        relabelled(
            digits(640),
            |label| {
                if rng.random_bool(0.5) { rng.random_range(0..10) } else { label }
            },
        );
    let mut learner = learner(&splits, build(Net::SimpleCnnBn, 1), 32);
    learner.fit(25, 0.005).unwrap();
    let found = learner.diagnose();
    assert_eq!(kinds(&found), [FindingKind::Overfitting], "{found:?}");
}
