//! The images that a command line asks for.

use std::path::{Path, PathBuf};

use topedge::data::{DataError, LoadOptions};
use topedge::prelude::*;

use super::failure::Failure;
use super::progress;

/// Which images.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Images {
    /// A folder with MNIST's IDX files, or with a tree of images [default: digits are drawn]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Only these classes, as in 3,7
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub(crate) labels: Option<Vec<String>>,
    /// Resize the images to NxN, whatever their sizes; proportions are not kept
    #[arg(long, value_name = "N", requires = "data", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) size: Option<u32>,
}

impl Images {
    /// Those of the folder `--data`, or else drawn digits; of them, those with `--labels`.
    pub(crate) fn load(&self, seed: u64) -> Result<Splits, Failure> {
        let labels = self.labels.as_deref();
        match &self.data {
            None => {
                let digits = digits::generate(&Digits { seed, ..Default::default() })?;
                with_labels(digits, labels, None)
            }
            Some(dir) => {
                let size = self.size.map(|side| [side as usize; 2]);
                let splits = folder(dir, &LoadOptions { size, channels: None })?;
                with_labels(splits, labels, Some(dir))
            }
        }
    }
}

/// The images of the folder that `--data` names.
pub(crate) fn folder(dir: &Path, options: &LoadOptions) -> Result<Splits, Failure> {
    if !dir.is_dir() {
        let what = if dir.exists() { "is no folder" } else { "does not exist" };
        let found = format!("{} {what}", dir.display());
        return Err(Failure::flag("--data", found, "a folder with images"));
    }
    let bar = progress::load_bar();
    let splits = options.load(dir, &|at| progress::loading(&bar, at));
    bar.finish_and_clear();
    splits.map_err(|error| match error {
        DataError::Unexpected { ref what, .. } if what == "size" => {
            Failure::Failed(format!("{error}; train --size 28 makes all of them 28x28"))
        }
        error => error.into(),
    })
}

/// The images of `dir`, or drawn ones, with these labels.
fn with_labels(
    splits: Splits,
    labels: Option<&[String]>,
    dir: Option<&Path>,
) -> Result<Splits, Failure> {
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
        return Err(match (labels, dir) {
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
