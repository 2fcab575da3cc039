//! The page about a training run: what it shows, gathered from the learner.

mod comparison;
mod explorer;
mod kernels;
mod layers;
mod matrix;
mod show_batch;
mod validation;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use topedge_data::Dataset;
use topedge_nn::callbacks::{ActivationStats, Recorder};
use topedge_nn::{ENOUGH_BATCHES, EpochRow, Learner, Severity};
use topedge_report::{Captioned, Confusion, Epoch, Finding, LossPlot, Mistake, Page, Picture};

use crate::error::Result;
use crate::plots::{layer_stats, schedules};

pub use comparison::comparable_run;
pub use kernels::first_kernels;
pub use show_batch::show_batch;
pub use validation::{Seen, evaluate};

/// So many training images are shown.
const BATCH: usize = 24;

/// So many of the images with the largest losses are shown.
const MISTAKES: usize = 16;

/// Larger images are shown smaller, so that the page does not grow with them.
const LONGEST_SIDE: usize = 64;

/// The page about the last fit of `learner`, one HTML file that needs no other: how well it went and
/// why, what the network looks like and what it gets wrong. `settings` are pairs of name and value.
///
/// What its [`ActivationStats`] recorded is shown, if it has such a callback.
///
/// ```
/// use topedge::nn::callbacks::ActivationStats;
/// use topedge::prelude::*;
///
/// let splits = digits::generate(&Digits { train: 512, valid: 100, ..Default::default() })?;
/// let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
/// let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
/// let mut learner = Learner::new(data, model, CrossEntropy::default())
///     .metric(Accuracy::default())
///     .callback(ActivationStats::default().with_histograms());
/// learner.fit_one_cycle(1, 0.01)?;
/// let html = topedge::training_page(&mut learner, "drawn digits", vec![])?;
/// assert!(html.contains("Confusion matrix"));
/// # Ok::<(), topedge::Error>(())
/// ```
///
/// # Errors
///
/// When the network does not put out a finite score for each class.
pub fn training_page(
    learner: &mut Learner,
    title: &str,
    settings: Vec<(String, String)>,
) -> Result<String> {
    let state = &mut learner.state;
    let model = &mut *state.model;
    let loader = &state.data.valid;
    let valid = loader.dataset();
    let seen = evaluate(model, loader)?;
    let by_loss = validation::by_loss(&seen);
    let samples = validation::samples(&seen, &by_loss);
    let normalize = &loader.config().normalize;
    let explorer = explorer::explorer(model, valid, normalize, &seen, &samples)?;
    let kernels = first_kernels(model)?.pictures;
    let matrix = samples.first().map(|&i| matrix::of_image(valid, i)).transpose()?.flatten();
    let layers = layers::table(&learner.summary()?);

    let findings = learner.diagnose().into_iter().map(finding).collect();
    let data = &learner.state.data;
    let valid = data.valid.dataset();
    let confusion = seen.iter().map(|seen| (seen.label, seen.prediction));
    let page = Page {
        findings,
        layers,
        kernels,
        confusion: Confusion::new(valid.vocab(), confusion)?,
        mistakes: by_loss
            .iter()
            .take(MISTAKES)
            .map(|&i| mistake(valid, i, &seen[i]))
            .collect::<Result<_>>()?,
        explorer,
        matrix,
        batch: training_images(data.train.dataset())?,
        title: title.to_string(),
        settings,
        ..Default::default()
    };
    with_record(learner, page)
}

/// The page about a fit of `learner` that has ended with an error, as [`training_page`] without what the
/// network makes of images: `error` stands first, then what the record up to there says.
///
/// # Errors
///
/// When a plot cannot be drawn.
///
/// ```
/// use topedge::prelude::*;
///
/// let splits = digits::generate(&Digits { train: 512, valid: 100, ..Default::default() })?;
/// let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
/// let model = Net::SimpleCnn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(1))?;
/// let mut learner = Learner::new(data, model, CrossEntropy::default()).optimizer(Sgd::default());
/// if let Err(error) = learner.fit(2, 100.0) {
///     let html = topedge::failed_training_page(&mut learner, "too fast", vec![], &error.to_string())?;
///     assert!(html.contains("is in layer"));
/// }
/// # Ok::<(), topedge::Error>(())
/// ```
pub fn failed_training_page(
    learner: &mut Learner,
    title: &str,
    settings: Vec<(String, String)>,
    error: &str,
) -> Result<String> {
    let layers = layers::table(&learner.summary()?);
    let found: Vec<_> = learner.diagnose().into_iter().map(finding).collect();
    let advice = match found.first() {
        Some(cause) => cause.advice.clone(),
        None => "lower the rate; look at the images and labels".to_string(),
    };
    let ended = Finding { failure: true, text: format!("Training ended: {error}"), advice };
    let page = Page {
        findings: [ended].into_iter().chain(found).collect(),
        layers,
        batch: training_images(learner.state.data.train.dataset())?,
        title: title.to_string(),
        settings,
        ..Default::default()
    };
    with_record(learner, page)
}

/// The page, with what was recorded.
fn with_record(learner: &Learner, page: Page<'_>) -> Result<String> {
    let (no_record, no_stats) = (Recorder::default(), ActivationStats::default());
    let recorder = learner.find::<Recorder>().unwrap_or(&no_record);
    let stats = learner.find::<ActivationStats>().unwrap_or(&no_stats);
    let valid_losses: Vec<f64> = recorder.rows.iter().filter_map(|row| row.valid_loss).collect();
    let page = Page {
        epochs: recorder.rows.iter().map(epoch).collect(),
        judged: recorder.losses.len() >= ENOUGH_BATCHES,
        losses: LossPlot {
            train: &recorder.losses,
            smoothed: &recorder.smoothed_losses,
            valid: &valid_losses,
        },
        schedules: schedules(recorder),
        stats: stats.layers.iter().map(layer_stats).collect(),
        ..page
    };
    Ok(page.html()?)
}

fn epoch(row: &EpochRow) -> Epoch {
    Epoch {
        train_loss: row.train_loss,
        valid_loss: row.valid_loss,
        accuracy: row.metric("accuracy"),
        seconds: row.seconds,
    }
}

fn finding(finding: topedge_nn::Finding) -> Finding {
    Finding {
        failure: finding.severity == Severity::Failure,
        text: finding.text,
        advice: finding.advice,
    }
}

fn picture(data: &Dataset, i: usize) -> Result<Picture> {
    Ok(Picture::image(data.image(i), data.image_shape())?.at_most(LONGEST_SIDE))
}

/// Images from all over the data set, since trees of images are sorted by class; anywhere in each part of it, since
/// at even distances those of a set whose classes take turns would be of a few classes.
fn training_images(data: &Dataset) -> Result<Vec<Captioned>> {
    let count = data.len().min(BATCH);
    let mut random = Pcg64::seed_from_u64(0);
    let part = |i: usize| i * data.len() / count..(i + 1) * data.len() / count;
    let images = (0..count).map(|i| random.random_range(part(i)));
    let captioned = images.map(|i| {
        let caption = data.vocab()[data.label(i) as usize].clone();
        Ok(Captioned { picture: picture(data, i)?, caption })
    });
    captioned.collect()
}

fn mistake(data: &Dataset, i: usize, seen: &Seen) -> Result<Mistake> {
    Ok(Mistake {
        picture: picture(data, i)?,
        label: data.vocab()[seen.label].clone(),
        prediction: data.vocab()[seen.prediction].clone(),
        probability: seen.probability,
        loss: seen.loss,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn training_images_are_of_most_classes_sorted_or_in_turn() {
        const CLASSES: usize = 10;
        let vocab: Vec<String> = (0..CLASSES).map(|class| class.to_string()).collect();
        for len in [1000, 20_000, 60_000] {
            let (sorted, in_turn) =
                ((0..len).map(|i| i * CLASSES / len), (0..len).map(|i| i % CLASSES));
            for labels in [sorted.collect::<Vec<_>>(), in_turn.collect()] {
                let labels = labels.into_iter().map(|label| label as u32).collect();
                let data = Dataset::new(vec![0; len], [1, 1, 1], labels, vocab.clone()).unwrap();
                let images = training_images(&data).unwrap();
                assert_eq!(images.len(), BATCH);
                let seen: BTreeSet<_> = images.into_iter().map(|image| image.caption).collect();
                assert!(seen.len() > 6, "of {len}: {seen:?}");
            }
        }
        let data = Dataset::new(vec![0; 3], [1, 1, 1], vec![0, 1, 2], vocab).unwrap();
        assert_eq!(training_images(&data).unwrap().len(), 3);
    }
}
