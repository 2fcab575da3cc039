//! Two training runs laid over each other.

mod page;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::chart::{Chart, range_of};
use crate::figure::{Figure, Panel};
use crate::layer_stats::{LayerStatsPlot, color_dims};
use crate::loss::LossAxis;
use crate::page::{Epoch, Finding};

/// A training run that is laid over another.
#[derive(Clone, Debug, Default)]
pub struct Run<'a> {
    /// What it goes by: its folder.
    pub name: String,
    /// How it was trained: pairs of name and value. Where `validation sha256` differs, what was recognised is
    /// not compared.
    pub settings: Vec<(String, String)>,
    /// The epochs, each of as many batches.
    pub epochs: Vec<Epoch>,
    /// What goes wrong, the worst first.
    pub findings: Vec<Finding>,
    /// Whether the run was long enough for no findings to mean that it is well.
    pub judged: bool,
    /// The loss of each training batch.
    pub losses: &'a [f32],
    /// The smoothed loss after each training batch.
    pub smoothed: &'a [f64],
    /// The learning rate in each training batch.
    pub lr: &'a [f64],
    /// The momentum in each training batch.
    pub momentum: &'a [f64],
    /// What the layers put out.
    pub layers: Vec<LayerStatsPlot<'a>>,
}

/// Two training runs, A and B.
///
/// ```
/// use topedge_report::{Comparison, Run};
///
/// let run = |name: &str, losses| Run { name: name.to_string(), losses, ..Default::default() };
/// let comparison = Comparison { a: run("runs/1", &[2.3, 1.9, 1.2]), b: run("runs/2", &[2.3, 2.0, 1.7]) };
/// assert_eq!(comparison.losses().different, Some(1));
/// assert!(comparison.html().contains("Where they part"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Comparison<'a> {
    /// One of them.
    pub a: Run<'a>,
    /// The other.
    pub b: Run<'a>,
}

/// Where two series of values over the same batches part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The first batch of A, from 0, in which they are not the same number.
    pub different: Option<usize>,
    /// The first batch of A from which on they are more than [`APART`](Self::APART) apart, for
    /// [`BATCHES`](Self::BATCHES) batches at least.
    pub apart: Option<usize>,
}

impl Parting {
    /// A tenth, of the smaller of the two.
    pub const APART: f64 = 0.1;

    /// One batch alone may be hard.
    pub const BATCHES: usize = 5;

    /// `at` is the batch of B that is compared with a batch of A.
    fn of(a: &[f64], b: &[f64], at: impl Fn(usize) -> usize) -> Parting {
        let pairs = a.iter().enumerate().map_while(|(i, &a)| Some((a, *b.get(at(i))?)));
        let pairs: Vec<(f64, f64)> = pairs.collect();
        let apart = |&(a, b): &(f64, f64)| {
            let close = (a - b).abs() <= Self::APART * a.abs().min(b.abs());
            // Nothing is close to NaN but NaN.
            !close && a.to_bits() != b.to_bits()
        };
        Parting {
            different: pairs.iter().position(|(a, b)| a.to_bits() != b.to_bits()),
            apart: pairs.windows(Self::BATCHES).position(|some| some.iter().all(apart)),
        }
    }
}

/// The size of a chart beside another.
const HALF: [f64; 2] = [400.0, 260.0];

/// The classes of A's and B's curves, and of those of each batch.
const CLASSES: [(&str, &str); 2] = [("a", "pale"), ("b", "pale-b")];

const NAMES: [&str; 2] = ["A", "B"];

impl Run<'_> {
    /// How many batches an epoch has; 0 if unknown.
    fn batches(&self) -> usize {
        self.losses.len().checked_div(self.epochs.len()).unwrap_or(0)
    }

    fn losses(&self) -> Vec<f64> {
        self.losses.iter().map(|&loss| loss.into()).collect()
    }
}

impl<'a> Comparison<'a> {
    /// Where the losses of the batches part.
    pub fn losses(&self) -> Parting {
        let [a, b] = self.runs().map(Run::losses);
        self.parting(&a, &b)
    }

    /// Where the smoothed losses part.
    pub fn smoothed(&self) -> Parting {
        self.parting(self.a.smoothed, self.b.smoothed)
    }

    /// The losses of the batches, faintly, and the smoothed ones on top of them.
    pub fn loss_figure(&self) -> Figure {
        let runs = self.runs();
        let losses = runs.map(Run::losses);
        let axis = LossAxis::of(&[&losses[0], &losses[1], self.a.smoothed, self.b.smoothed]);
        let places = |losses: &[f64]| axis.places(losses).collect::<Vec<_>>();
        let chart = self.chart(axis.title(), [620.0, 340.0], axis.range.clone());
        let mut chart = axis.on(chart);
        for (i, (losses, (_, pale))) in losses.iter().zip(CLASSES).enumerate() {
            chart.curve(pale, self.over_batches(i, &places(losses)));
        }
        for (i, (run, (class, _))) in runs.into_iter().zip(CLASSES).enumerate() {
            chart.curve(class, self.over_batches(i, &places(run.smoothed)));
            chart.name(class, ["A, smoothed", "B, smoothed"][i]);
        }
        Figure::new(vec![chart.panel()])
    }

    /// Validation loss and accuracy after each epoch.
    pub fn epochs_figure(&self) -> Figure {
        let loss = |epoch: &Epoch| epoch.valid_loss;
        let percent = |epoch: &Epoch| epoch.accuracy.map(|accuracy| 100.0 * accuracy);
        Figure::new(vec![
            self.epochs_panel("Validation loss", loss),
            self.epochs_panel("Accuracy in %", percent),
        ])
    }

    /// Learning rate and momentum.
    pub fn schedule_figure(&self) -> Figure {
        let [a, b] = self.runs();
        Figure::new(vec![
            self.panel("Learning rate", HALF, None, [a.lr, b.lr]),
            self.panel("Momentum", HALF, None, [a.momentum, b.momentum]),
        ])
    }

    /// Of each layer that both have: its name, and mean, standard deviation and the part near zero.
    pub fn layer_figures(&self) -> Vec<(&str, Figure)> {
        const SIZE: [f64; 2] = [360.0, 220.0];
        let mut figures = vec![];
        for [a, b] in self.shared_layers() {
            let percent = |stats: &LayerStatsPlot<'_>| -> Vec<f64> {
                stats.near_zero.iter().map(|part| 100.0 * part).collect()
            };
            let panels = vec![
                self.panel("mean", SIZE, None, [a.mean, b.mean]),
                self.panel("standard deviation", SIZE, None, [a.std, b.std]),
                self.panel("% near zero", SIZE, Some(0.0..100.0), [&percent(a), &percent(b)]),
            ];
            figures.push((a.layer.as_str(), Figure::new(panels)));
        }
        figures
    }

    /// Of each layer that both have: its name, and the histograms of A and of B side by side, in colours that
    /// mean the same in both. Of runs that have none, nothing.
    pub fn histogram_figures(&self) -> Vec<(&str, Figure)> {
        let mut figures = vec![];
        for layers in self.shared_layers() {
            let mut panels = vec![];
            let pictures = color_dims(layers.map(|stats| &stats.histograms[..]));
            for (i, picture) in pictures.into_iter().enumerate() {
                let Ok(picture) = picture else { continue };
                let title = format!("histograms, {}", NAMES[i]);
                let mut chart = self.chart(&title, HALF, 0.0..10.0);
                let end = self.over_batches(i, layers[i].mean).last();
                chart.picture(picture, end.map_or(0.0, |(end, _)| end));
                panels.push(chart.panel());
            }
            if !panels.is_empty() {
                figures.push((layers[0].layer.as_str(), Figure::new(panels)));
            }
        }
        figures
    }

    fn runs(&self) -> [&Run<'a>; 2] {
        [&self.a, &self.b]
    }

    /// The layers that both have, by path and kind.
    fn shared_layers(&self) -> Vec<[&LayerStatsPlot<'a>; 2]> {
        let of_b = |a: &LayerStatsPlot<'_>| self.b.layers.iter().find(|b| b.layer == a.layer);
        self.a.layers.iter().filter_map(|a| Some([a, of_b(a)?])).collect()
    }

    /// Whether a batch of one stands beside a batch of the other. Otherwise epochs do.
    fn same_batches(&self) -> bool {
        let [a, b] = self.runs().map(Run::batches);
        a == b || a == 0 || b == 0
    }

    /// Where values for each batch part.
    fn parting(&self, a: &[f64], b: &[f64]) -> Parting {
        Parting::of(a, b, |i| self.beside(i))
    }

    /// The batch of B that stands beside batch `i` of A.
    fn beside(&self, i: usize) -> usize {
        let [of_a, of_b] = self.runs().map(Run::batches);
        match self.same_batches() {
            true => i,
            false => ((i + 1) * of_b / of_a).saturating_sub(1),
        }
    }

    /// Values for each batch of run `i`, at their places. The n-th batch lies at n.
    fn over_batches(&self, i: usize, values: &[f64]) -> impl Iterator<Item = (f64, f64)> {
        let batches = self.runs()[i].batches() as f64;
        let unit = if self.same_batches() { 1.0 } else { batches };
        (1..).map(move |n| f64::from(n) / unit).zip(values.to_vec())
    }

    /// A chart over the batches, or the epochs, of both.
    fn chart(&self, title: &str, size: [f64; 2], y: Range<f64>) -> Chart {
        let ends = [0, 1].map(|i| {
            let run = self.runs()[i];
            let batches = run.losses.len().max(run.smoothed.len()).max(run.lr.len());
            if self.same_batches() { batches as f64 } else { run.epochs.len() as f64 }
        });
        let x_label = if self.same_batches() { "training batch" } else { "epoch" };
        Chart::new(title, x_label, size, 0.0..ends[0].max(ends[1]).max(1.0), y)
    }

    fn panel(
        &self,
        title: &str,
        size: [f64; 2],
        y: Option<Range<f64>>,
        values: [&[f64]; 2],
    ) -> Panel {
        let y = y.unwrap_or_else(|| range_of(values.iter().copied().flatten().copied()));
        let mut chart = self.chart(title, size, y);
        for (i, (values, (class, _))) in values.into_iter().zip(CLASSES).enumerate() {
            if !values.is_empty() {
                chart.curve(class, self.over_batches(i, values));
                chart.name(class, NAMES[i]);
            }
        }
        chart.panel()
    }

    fn epochs_panel(&self, title: &str, value: impl Fn(&Epoch) -> Option<f64>) -> Panel {
        let [a, b] = self.runs().map(|run| {
            let ends = (1..).map(f64::from).zip(&run.epochs);
            ends.filter_map(|(end, epoch)| Some((end, value(epoch)?))).collect::<Vec<_>>()
        });
        let last = a.len().max(b.len()).max(1) as f64;
        let y = range_of(a.iter().chain(&b).map(|(_, value)| *value));
        let mut chart = Chart::new(title, "epochs done", HALF, 0.0..last, y);
        for (i, (points, (class, _))) in [a, b].into_iter().zip(CLASSES).enumerate() {
            if !points.is_empty() {
                chart.curve(class, points.iter().copied());
                chart.dots(class, points.into_iter());
                chart.name(class, NAMES[i]);
            }
        }
        chart.panel()
    }
}
