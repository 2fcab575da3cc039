//! Progress bars, on standard error; hidden where that is no terminal.

use indicatif::{ProgressBar, ProgressStyle};
use topedge::data::Progress;

/// A bar for loading images. Pass [`loading`] what the loader reports.
pub(crate) fn load_bar() -> ProgressBar {
    bar("loading  {bar:32} {pos}/{len} images")
}

/// Shows on `bar` how far loading has come.
pub(crate) fn loading(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.total as u64);
    bar.set_position(progress.done as u64);
}

/// A bar for the batches of one epoch, with a message at the end.
pub(crate) fn batch_bar() -> ProgressBar {
    bar("{prefix}  {bar:32} {pos}/{len}  {msg}")
}

/// A bar for layers that are measured, with the name of the current one.
pub(crate) fn layer_bar() -> ProgressBar {
    bar("measuring  {bar:32} {pos}/{len} layers  {msg}")
}

fn bar(template: &str) -> ProgressBar {
    // The templates stand above; one that is wrong still shows a bar.
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    ProgressBar::new(0).with_style(style)
}
