//! The report of a training run: one HTML file that needs no other.

mod data;
pub(crate) mod document;
mod sections;
#[cfg(test)]
mod tests;

use crate::confusion::Confusion;
use crate::error::PlotError;
use crate::layer_stats::LayerStatsPlot;
use crate::loss::LossPlot;
use crate::picture::Picture;
use crate::schedule::SchedulePlot;
use document::document;

pub use data::{ConvolutionAsMatrix, Explorer, Layer, LayerKind, Sample};

/// All that the report of a training run shows. What is empty is left out.
#[derive(Clone, Debug, Default)]
pub struct Page<'a> {
    /// What was trained on what: `simple-cnn-bn on mnist`.
    pub title: String,
    /// How: pairs of name and value.
    pub settings: Vec<(String, String)>,
    /// The epochs.
    pub epochs: Vec<Epoch>,
    /// What goes wrong, the worst first.
    pub findings: Vec<Finding>,
    /// Whether the run was long enough for no findings to mean that it is well.
    pub judged: bool,
    /// Losses.
    pub losses: LossPlot<'a>,
    /// Learning rate and momentum.
    pub schedules: SchedulePlot<'a>,
    /// Some training images with their labels.
    pub batch: Vec<Captioned>,
    /// The layers.
    pub layers: Table,
    /// What the layers put out.
    pub stats: Vec<LayerStatsPlot<'a>>,
    /// The first layer's kernels.
    pub kernels: Vec<Captioned>,
    /// Which classes are taken for which.
    pub confusion: Confusion,
    /// Images with the largest losses, the largest first.
    pub mistakes: Vec<Mistake>,
    /// A network to look into; `None` where it would be too large for a page.
    pub explorer: Option<Explorer>,
    /// A convolution written out.
    pub matrix: Option<ConvolutionAsMatrix>,
}

/// What an epoch came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Epoch {
    /// The smoothed training loss at its end.
    pub train_loss: Option<f64>,
    /// The mean loss over the validation set.
    pub valid_loss: Option<f64>,
    /// The part of the validation images that were recognised.
    pub accuracy: Option<f64>,
    /// What it took.
    pub seconds: f64,
}

/// Something that goes wrong, and what to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the network does not learn at all, or else could do better.
    pub failure: bool,
    /// What was found.
    pub text: String,
    /// What to try.
    pub advice: String,
}

/// A picture and what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captioned {
    /// The picture.
    pub picture: Picture,
    /// What it shows.
    pub caption: String,
}

/// A table of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The columns' names, and whether they hold numbers, which stand to the right.
    pub columns: Vec<(String, bool)>,
    /// The cells of each row.
    pub rows: Vec<Vec<String>>,
}

/// An image that was not recognised, or hardly.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// The image.
    pub picture: Picture,
    /// Its class.
    pub label: String,
    /// What it was taken for.
    pub prediction: String,
    /// How probable that seemed.
    pub probability: f32,
    /// Its loss.
    pub loss: f32,
}

impl Page<'_> {
    /// The whole page. It loads nothing: pictures, numbers, style and scripts are inside.
    ///
    /// ```
    /// use topedge_report::{LossPlot, Page};
    ///
    /// let losses = LossPlot { train: &[2.3, 1.2], smoothed: &[2.3, 1.7], valid: &[1.1] };
    /// let page = Page { title: "<my> run".to_string(), losses, ..Default::default() };
    /// let html = page.html()?;
    /// assert!(html.starts_with("<!doctype html>") && html.contains("&lt;my&gt; run"));
    /// # Ok::<(), topedge_report::PlotError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the explorer's numbers are not those of its layers.
    pub fn html(&self) -> Result<String, PlotError> {
        let scripts =
            [include_str!("page.js"), include_str!("explorer.js"), include_str!("matrix.js")];
        Ok(document(&self.title, &self.sections()?, &scripts))
    }
}
