//! Finds out what a folder holds.

use std::fs;
use std::path::Path;

use crate::dataset::Splits;
use crate::error::{DataError, Result};
use crate::{folder, idx};

/// How far loading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Images loaded.
    pub done: usize,
    /// Images in all.
    pub total: usize,
}

/// Loads the data in `dir`: MNIST's IDX files, plain or gzip, or an image tree as
/// [`folder::load`] describes it. `progress` is called from several threads.
///
/// ```no_run
/// use std::path::Path;
///
/// let splits = topedge_data::load(Path::new("mnist"), &|p| eprint!("\r{}/{}", p.done, p.total))?;
/// println!("{} images to train on", splits.train.len());
/// # Ok::<(), topedge_data::DataError>(())
/// ```
///
/// # Errors
///
/// When the folder is missing or holds neither, and for any fault in the files.
pub fn load(dir: &Path, progress: &(dyn Fn(Progress) + Sync)) -> Result<Splits> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(DataError::io("read", dir))? {
        let entry = entry.map_err(DataError::io("read", dir))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    if let Some(files) = idx::find(dir)? {
        return idx::load(&files, progress);
    }
    if folder::is_tree(dir) {
        return folder::load(dir, progress);
    }
    names.sort();
    let more = names.len().saturating_sub(5);
    names.truncate(5);
    let found = match (names.is_empty(), more) {
        (true, _) => "an empty folder".to_string(),
        (_, 0) => names.join(", "),
        _ => format!("{} and {more} more", names.join(", ")),
    };
    Err(DataError::UnknownLayout {
        dir: dir.to_owned(),
        expected: format!("IDX files {}, or an image tree {}", idx::LAYOUT, folder::LAYOUT),
        found,
    })
}
