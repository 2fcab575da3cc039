//! The sections of the page, in their order.

use super::data::script_data;
use super::document::{Section, findings, gallery, numbers, table};
use super::{Captioned, Epoch, Mistake, Page, Table};
use crate::error::PlotError;
use crate::html::escape;

/// So many pairs of confused classes are listed.
const PAIRS: usize = 10;

impl Page<'_> {
    /// All sections that have something to show.
    pub(super) fn sections(&self) -> Result<Vec<Section>, PlotError> {
        let losses = [self.losses.train.len(), self.losses.smoothed.len(), self.losses.valid.len()];
        let plot = |there: bool, html: &dyn Fn() -> String| {
            if there { format!("<div class=\"plots\">{}</div>\n", html()) } else { String::new() }
        };
        let schedules = [self.schedules.lr.len(), self.schedules.momentum.len()];
        let all = [
            ("verdict", "Verdict", self.verdict()),
            ("loss", "Loss", plot(losses != [0; 3], &|| self.losses.figure().html())),
            (
                "schedule",
                "Learning rate and momentum",
                plot(schedules != [0; 2], &|| self.schedules.figure().html()),
            ),
            ("batch", "Training images", gallery(&self.batch)),
            ("layers", "Layers", table(&self.layers)),
            ("activations", "Activations during training", self.activations()),
            ("kernels", "Kernels of the first layer", gallery_of_kernels(&self.kernels)),
            ("confusion", "Confusion matrix", self.confusion()),
            ("pairs", "Most confused", self.pairs()),
            ("mistakes", "Top losses", mistakes(&self.mistakes)),
            ("trace", "Feature maps and where they come from", self.explorer()?),
            ("matrix", "A convolution is a matrix multiplication", self.matrix()?),
        ];
        let sections = all.map(|(id, heading, body)| Section {
            id: id.to_string(),
            heading: heading.to_string(),
            body,
        });
        Ok(sections.into_iter().filter(|section| !section.body.is_empty()).collect())
    }

    fn verdict(&self) -> String {
        let mut html = numbers(&self.epochs);
        html += &findings(&self.findings, &self.epochs, self.judged);
        if self.epochs.len() > 1 {
            html += &table(&epochs(&self.epochs));
        }
        if !self.settings.is_empty() {
            html += "<dl>";
            for (name, value) in &self.settings {
                html += &format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
            }
            html += "</dl>\n";
        }
        html
    }

    fn activations(&self) -> String {
        let mut html = String::new();
        for stats in &self.stats {
            let (layer, plots) = (escape(&stats.layer), stats.figure().html());
            html += &format!("<h3>{layer}</h3>\n<div class=\"plots small\">{plots}</div>\n");
        }
        if html.is_empty() {
            return html;
        }
        let words = "<p>What each layer put out in each training batch, all over the same batches. \
                     In the histograms a column is a batch (of long runs several), values go from 0 at \
                     the bottom to 10, and bright is many. Training that goes badly shows as a rise and a collapse, again \
                     and again.</p>\n";
        words.to_string() + &html
    }

    fn confusion(&self) -> String {
        let figure = self.confusion.figure().map(|figure| figure.html()).unwrap_or_default();
        if figure.is_empty() {
            figure
        } else {
            format!("<div class=\"confusion\">{figure}</div>\n")
        }
    }

    fn pairs(&self) -> String {
        let pairs = self.confusion.most_confused();
        let row = |&(label, prediction, count): &(&str, &str, usize)| {
            vec![label.to_string(), prediction.to_string(), count.to_string()]
        };
        let names = [("label", false), ("taken for", false), ("times", true)];
        table(&Table {
            columns: names.map(|(name, number)| (name.to_string(), number)).into(),
            rows: pairs.iter().take(PAIRS).map(row).collect(),
        })
    }

    fn explorer(&self) -> Result<String, PlotError> {
        let Some(explorer) = &self.explorer else {
            // What has no layers is no report of a network at all.
            let words =
                "<p>The network has too many weights and activations to be looked into here.</p>\n";
            return Ok(if self.layers.rows.is_empty() { String::new() } else { words.to_string() });
        };
        explorer.check()?;
        Ok(include_str!("explorer.html").to_string() + &script_data("trace-data", explorer)?)
    }

    fn matrix(&self) -> Result<String, PlotError> {
        let Some(matrix) = &self.matrix else {
            return Ok(String::new());
        };
        Ok(include_str!("matrix.html").to_string() + &script_data("matrix-data", matrix)?)
    }
}

fn epochs(epochs: &[Epoch]) -> Table {
    let names = ["epoch", "training loss", "validation loss", "accuracy", "seconds"];
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
    let row = |(i, epoch): (usize, &Epoch)| {
        let losses = [epoch.train_loss, epoch.valid_loss, epoch.accuracy].map(number);
        [&[i.to_string()][..], &losses, &[format!("{:.2}", epoch.seconds)]].concat()
    };
    Table {
        columns: names.map(|name| (name.to_string(), true)).into(),
        rows: epochs.iter().enumerate().map(row).collect(),
    }
}

fn gallery_of_kernels(kernels: &[Captioned]) -> String {
    match gallery(kernels) {
        html if html.is_empty() => html,
        html => {
            format!("<p>Orange weights are positive, blue ones negative, white is 0.</p>\n{html}")
        }
    }
}

fn mistakes(mistakes: &[Mistake]) -> String {
    let captioned = mistakes.iter().map(|mistake| {
        let Mistake { label, prediction, probability, loss, .. } = mistake;
        let percent = 100.0 * probability;
        let caption = match label == prediction {
            true => format!("{label}, right\n{percent:.1} %, loss {loss:.2}"),
            false => format!("{label} taken for {prediction}\n{percent:.1} %, loss {loss:.2}"),
        };
        Captioned { picture: mistake.picture.clone(), caption }
    });
    gallery(&captioned.collect::<Vec<_>>())
}
