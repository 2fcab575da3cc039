//! The images that a command line asks for.

use std::path::Path;

use topedge::data::DataError;
use topedge::prelude::*;

use super::failure::Failure;
use super::progress;

/// Those of the folder `--data`, or else drawn digits; of them, those with `--labels`.
pub(crate) fn load(
    data: Option<&Path>,
    labels: Option<&[String]>,
    seed: u64,
) -> Result<Splits, Failure> {
    let splits = match data {
        None => digits::generate(&Digits { seed, ..Default::default() })?,
        Some(dir) if !dir.is_dir() => {
            let what = if dir.exists() { "is no folder" } else { "does not exist" };
            let found = format!("{} {what}", dir.display());
            return Err(Failure::flag("--data", found, "a folder with images"));
        }
        Some(dir) => {
            let bar = progress::load_bar();
            let splits = topedge::data::load(dir, &|at| progress::loading(&bar, at));
            bar.finish_and_clear();
            splits?
        }
    };
    let splits = match labels {
        None => splits,
        Some(labels) => {
            // As they are, or else without the space that people put between them.
            let known = |label: &String| splits.train.vocab().contains(label);
            let word = |label| if known(label) { label } else { label.trim() };
            let labels: Vec<&str> = labels.iter().map(word).collect();
            splits.with_labels(&labels).map_err(|error| match error {
                DataError::UnknownLabel { .. } => Failure::Usage(format!("--labels: {error}")),
                error => error.into(),
            })?
        }
    };
    if splits.train.vocab().len() < 2 {
        let found = splits.train.vocab().join(", ");
        return Err(match (labels, data) {
            (None, Some(dir)) => Failure::Failed(format!(
                "{}: expected images of at least 2 classes, found 1: {found}",
                dir.display()
            )),
            _ => Failure::flag("--labels", found, "at least 2 different classes"),
        });
    }
    Ok(splits)
}

/// The size of batches: `--batch-size`, or `default` if there are so many images.
pub(crate) fn batch_size(
    asked: Option<u32>,
    default: usize,
    splits: &Splits,
) -> Result<usize, Failure> {
    let images = splits.train.len();
    match asked {
        None => Ok(images.min(default)),
        Some(size) if size as usize > images => {
            let expected = format!("at most the {images} training images");
            Err(Failure::flag("--batch-size", size, expected))
        }
        Some(size) => Ok(size as usize),
    }
}
