//! The page of two runs.

use super::{Comparison, Parting, Run};
use crate::html::escape;
use crate::layer_stats::LayerStatsPlot;
use crate::page::Table;
use crate::page::document::{Section, document, findings, numbers, table};

/// The setting that tells runs of different validation images apart.
const VALIDATION: &str = "validation sha256";

impl Comparison<'_> {
    /// The whole page. It loads nothing: figures and style are inside.
    pub fn html(&self) -> String {
        let plots =
            |html: String, class: &str| format!("<div class=\"plots{class}\">{html}</div>\n");
        let sections = [
            ("verdict", "Verdict", self.verdict()),
            ("settings", "Settings that differ", self.settings()),
            ("parting", "Where they part", self.where_they_part()),
            ("loss", "Loss", plots(self.loss_figure().html(), "")),
            ("epochs", "After each epoch", plots(self.epochs_figure().html(), "")),
            ("schedule", "Learning rate and momentum", plots(self.schedule_figure().html(), "")),
            ("activations", "Activations during training", self.activations()),
        ];
        let sections = sections.map(|(id, heading, body)| Section {
            id: id.to_string(),
            heading: heading.to_string(),
            body,
        });
        let sections: Vec<_> = sections.into_iter().filter(|s| !s.body.is_empty()).collect();
        document(&format!("{} and {}", self.a.name, self.b.name), &sections, &[])
    }

    /// Both runs side by side, the differences of their numbers, and what goes wrong in each.
    fn verdict(&self) -> String {
        let mut html = "<div class=\"pair\">".to_string();
        for (run, letter) in self.runs().into_iter().zip(["A", "B"]) {
            let name = escape(&run.name);
            html += &format!("<div class=\"run-{letter}\"><h3><b>{letter}</b> {name}</h3>\n");
            html += &numbers(&run.epochs);
            html += &findings(&run.findings, &run.epochs, run.judged);
            html += "</div>\n";
        }
        html += "</div>\n";
        let [a, b] = self.runs().map(|run| run.epochs.last().and_then(|epoch| epoch.accuracy));
        if let Some((a, b)) = a.zip(b) {
            let points = 100.0 * (b - a);
            let words = match points {
                _ if self.setting(&self.a, VALIDATION) != self.setting(&self.b, VALIDATION) => {
                    "Their validation images differ: the accuracies do not say which is better"
                        .to_string()
                }
                0.0 => "Both recognise equally many of their validation images".to_string(),
                more if more > 0.0 => {
                    format!("B recognises {more:.2} % more of the validation images")
                }
                less => format!("A recognises {:.2} % more of the validation images", -less),
            };
            html += &format!("<p>{words}.</p>\n");
        }
        html
    }

    fn setting<'r>(&self, run: &'r Run<'_>, name: &str) -> Option<&'r str> {
        let found = run.settings.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// What differs as a table; what does not, folded away.
    fn settings(&self) -> String {
        let value = |run: &Run<'_>, name: &str| {
            self.setting(run, name).map_or("–".to_string(), str::to_string)
        };
        let of_b = self.b.settings.iter().map(|(name, _)| name);
        let of_b = of_b.filter(|name| !self.a.settings.iter().any(|(known, _)| known == *name));
        let names = self.a.settings.iter().map(|(name, _)| name).chain(of_b);
        let rows = names.map(|name| [name.clone(), value(&self.a, name), value(&self.b, name)]);
        let (same, different): (Vec<_>, Vec<_>) = rows.partition(|[_, a, b]| a == b);
        let different: Vec<_> = different.into_iter().map(Vec::from).collect();
        let mut html = match different.is_empty() {
            true if same.is_empty() => return String::new(),
            true => "<p>None: both runs were told the same.</p>\n".to_string(),
            false => table(&columns(["setting", "A", "B"], different)),
        };
        if !same.is_empty() {
            html += "<details><summary>What is the same</summary><dl>";
            for [name, value, _] in same {
                let (name, value) = (escape(&name), escape(&value));
                html += &format!("<div><dt>{name}</dt><dd>{value}</dd></div>");
            }
            html += "</dl></details>\n";
        }
        html
    }

    fn where_they_part(&self) -> String {
        let losses = self.losses();
        let mut html = match losses.different {
            None => "<p>The losses of all batches that both have are the same, bit for bit.</p>\n"
                .to_string(),
            Some(batch) => {
                let why = match batch {
                    _ if !self.same_batches() => "their batches are not of the same images",
                    0 => "the networks, or their first images, differ before the first step",
                    _ => "up to there, each number is the same, bit for bit",
                };
                let at = |run: &Run<'_>, i: usize| {
                    run.losses.get(i).map_or(String::new(), f32::to_string)
                };
                format!(
                    "<p>The losses part in batch {batch} (from 0): {} in A, {} in B; {why}.</p>\n",
                    at(&self.a, batch),
                    at(&self.b, self.beside(batch))
                )
            }
        };
        let row = |name: String, parting: Parting| {
            let place = |batch: Option<usize>| match batch {
                None => "never".to_string(),
                Some(batch) => self.place(batch),
            };
            vec![name, place(parting.different), place(parting.apart)]
        };
        let mut rows = vec![
            row("loss".to_string(), losses),
            row("smoothed loss".to_string(), self.smoothed()),
        ];
        for [a, b] in self.shared_layers() {
            let parting = self.parting(a.std, b.std);
            rows.push(row(format!("{}, deviation", a.layer), parting));
        }
        let unit = if self.same_batches() { "batch" } else { "epoch" };
        let names = [String::new(), format!("differ from {unit}"), format!("apart from {unit}")];
        html += &table(&columns(names.each_ref().map(String::as_str), rows));
        html + &format!(
            "<p class=\"note\">Batches count from 0. Apart are values that for {} batches in turn differ by \
             more than {:.0} % of the smaller one.</p>\n",
            Parting::BATCHES,
            100.0 * Parting::APART
        )
    }

    /// A batch of A, or where it lies among the epochs.
    fn place(&self, batch: usize) -> String {
        match self.same_batches() {
            true => batch.to_string(),
            false => format!("{:.2}", batch as f64 / self.a.batches() as f64),
        }
    }

    fn activations(&self) -> String {
        let mut html = String::new();
        let histograms = self.histogram_figures();
        if !histograms.is_empty() {
            html += "<p>In the histograms a column is a batch (of long runs several), values go from 0 at \
                     the bottom to 10, and bright is many: as many in B as in A where the colour is the same.</p>\n";
        }
        for (layer, figure) in self.layer_figures() {
            let (name, plots) = (escape(layer), figure.html());
            html += &format!("<h3>{name}</h3>\n<div class=\"plots small\">{plots}</div>\n");
            if let Some((_, figure)) = histograms.iter().find(|(known, _)| *known == layer) {
                html += &format!("<div class=\"plots\">{}</div>\n", figure.html());
            }
        }
        let shared = self.shared_layers();
        let [in_a, in_b] = [0, 1].map(|i| {
            let known =
                |stats: &&LayerStatsPlot<'_>| !shared.iter().any(|s| s[i].layer == stats.layer);
            let alone = self.runs()[i].layers.iter().filter(known);
            alone.map(|stats| stats.layer.clone()).collect::<Vec<_>>().join(", ")
        });
        for (letter, layers) in [("A", in_a), ("B", in_b)] {
            if !layers.is_empty() {
                html += &format!("<p class=\"note\">Only in {letter}: {}.</p>\n", escape(&layers));
            }
        }
        html
    }
}

/// A table of words.
fn columns(names: [&str; 3], rows: Vec<Vec<String>>) -> Table {
    Table { columns: names.map(|name| (name.to_string(), false)).into(), rows }
}
