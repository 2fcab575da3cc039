//! fastai's plots, on what has the numbers.

use topedge_nn::LrFound;
use topedge_nn::callbacks::{ActivationStats, LayerStats, Recorder};
use topedge_nn::optim::Hyper;
use topedge_report::{Figure, LayerStatsPlot, LossPlot, LrFindPlot, SchedulePlot, color_dim};

/// The plots of a [`Recorder`], of an [`LrFound`] and of [`ActivationStats`].
///
/// ```
/// use topedge::nn::LrFind;
/// use topedge::nn::callbacks::ActivationStats;
/// use topedge::prelude::*;
///
/// let splits = digits::generate(&Digits { train: 512, valid: 64, ..Default::default() })?;
/// let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
/// let model = Net::SimpleCnn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
/// let mut learner = Learner::new(data, model, CrossEntropy::default())
///     .callback(ActivationStats::default().with_histograms());
/// let lr_find = learner.lr_find(&LrFind::default())?.plot();
/// learner.fit_one_cycle(1, 0.01)?;
///
/// let recorder = learner.find::<Recorder>().expect("every learner has one");
/// let stats = learner.find::<ActivationStats>().expect("it was given");
/// for figure in [
///     lr_find,
///     recorder.plot_loss(),
///     recorder.plot_sched(),
///     stats.plot_layer_stats(-2).expect("there are five layers"),
///     stats.color_dim(-2).expect("it has histograms"),
/// ] {
///     assert!(figure.svg().starts_with("<svg") && figure.png().starts_with(b"\x89PNG"));
/// }
/// # Ok::<(), topedge::Error>(())
/// ```
pub trait PlotRecorder {
    /// The loss of each batch, smoothed, and of the validation set after each epoch.
    fn plot_loss(&self) -> Figure;

    /// Learning rate and momentum of each step, side by side.
    fn plot_sched(&self) -> Figure;
}

/// The plot of an [`LrFound`]; see [`PlotRecorder`].
pub trait PlotLrFind {
    /// The smoothed loss over the learning rate, and what is suggested.
    fn plot(&self) -> Figure;
}

/// The plots of [`ActivationStats`]; see [`PlotRecorder`].
pub trait PlotStats {
    /// Mean, standard deviation, the part near zero and, if there are any, histograms of the layer number
    /// `i` of those looked at; negative numbers count from the last, -1. `None` if there is no such layer.
    fn plot_layer_stats(&self, i: isize) -> Option<Figure>;

    /// Its histograms alone: a column for each batch, or for several. `None` if there are none.
    fn color_dim(&self, i: isize) -> Option<Figure>;
}

impl PlotRecorder for Recorder {
    fn plot_loss(&self) -> Figure {
        let valid: Vec<f64> = self.rows.iter().filter_map(|row| row.valid_loss).collect();
        LossPlot { train: &self.losses, smoothed: &self.smoothed_losses, valid: &valid }.figure()
    }

    fn plot_sched(&self) -> Figure {
        schedules(self).figure()
    }
}

impl PlotLrFind for LrFound {
    fn plot(&self) -> Figure {
        let suggestions = [
            ("valley", self.valley),
            ("steep", self.steep),
            ("minimum", self.minimum),
            ("slide", self.slide),
        ];
        let suggestions = suggestions.into_iter().filter_map(|(name, s)| Some((name, s?.point)));
        let suggestions = suggestions.collect();
        LrFindPlot { lrs: &self.lrs, losses: &self.losses, suggestions }.figure()
    }
}

impl PlotStats for ActivationStats {
    fn plot_layer_stats(&self, i: isize) -> Option<Figure> {
        Some(layer_stats(self.layer_stats(i)?).figure())
    }

    fn color_dim(&self, i: isize) -> Option<Figure> {
        Some(color_dim(&self.layer_stats(i)?.histograms.columns()).ok()?.figure())
    }
}

pub(crate) fn schedules(recorder: &Recorder) -> SchedulePlot<'_> {
    SchedulePlot { lr: recorder.hyper(Hyper::Lr), momentum: recorder.hyper(Hyper::Momentum) }
}

pub(crate) fn layer_stats(layer: &LayerStats) -> LayerStatsPlot<'_> {
    LayerStatsPlot {
        layer: format!("{} {}", layer.path, layer.layer),
        mean: &layer.mean,
        std: &layer.std,
        near_zero: &layer.near_zero,
        histograms: layer.histograms.columns(),
    }
}
