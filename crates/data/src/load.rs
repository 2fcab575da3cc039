//! Finds out what a folder holds.

use std::fs;
use std::path::Path;

use crate::dataset::Splits;
use crate::error::{DataError, Result};
use crate::image_file::{Decoded, Size};
use crate::{folder, idx};

/// How far loading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Images loaded.
    pub done: usize,
    /// Images in all.
    pub total: usize,
}

/// What images become while they are loaded. By default they stay as they are: all must have one size,
/// and they are grey if all files are.
///
/// ```no_run
/// use std::path::Path;
/// use topedge_data::LoadOptions;
///
/// let options = LoadOptions { size: Some([28, 28]), ..Default::default() };
/// let splits = options.load(Path::new("photos"), &|_| ())?;
/// # Ok::<(), topedge_data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// `[height, width]` to resize them to, as [`load_image`](crate::load_image) does; they may then be of
    /// any size.
    pub size: Option<[usize; 2]>,
    /// 1 (grey) or 3 (RGB).
    pub channels: Option<usize>,
}

impl LoadOptions {
    /// As [`load`].
    ///
    /// # Errors
    ///
    /// As [`load`]; and when a size or the number of channels cannot be.
    pub fn load(&self, dir: &Path, progress: &(dyn Fn(Progress) + Sync)) -> Result<Splits> {
        let change = Change::new(self)?;
        if let Some(files) = idx::find(dir)? {
            return idx::load(&files, &change, progress);
        }
        if folder::is_tree(dir) {
            return folder::load_as(dir, &change, progress);
        }
        Err(unknown_layout(dir)?)
    }
}

/// [`LoadOptions`] that can be.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) size: Option<Size>,
    pub(crate) channels: Option<usize>,
}

impl Change {
    fn new(options: &LoadOptions) -> Result<Change> {
        let &LoadOptions { size, channels } = options;
        if let Some(channels) = channels.filter(|channels| !matches!(channels, 1 | 3)) {
            return Err(DataError::setting("channels", channels, "1 (grey) or 3 (RGB)"));
        }
        Ok(Change { size: size.map(Size::new).transpose()?, channels })
    }

    /// An image as it is to be, but for a grey one that is to have three channels.
    pub(crate) fn of(&self, image: Decoded) -> Decoded {
        let image = if self.channels == Some(1) { image.grey() } else { image };
        match self.size {
            Some(size) => image.resized(size),
            None => image,
        }
    }
}

/// Loads the data in `dir`: MNIST's IDX files, plain or gzip, or an image tree as
/// [`folder::load`] describes it. `progress` is called from several threads. [`LoadOptions`] resize the
/// images, or give them other channels.
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
    LoadOptions::default().load(dir, progress)
}

/// The error that says what `dir` holds instead.
fn unknown_layout(dir: &Path) -> Result<DataError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(DataError::io("read", dir))? {
        let entry = entry.map_err(DataError::io("read", dir))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let more = names.len().saturating_sub(5);
    names.truncate(5);
    let found = match (names.is_empty(), more) {
        (true, _) => "an empty folder".to_string(),
        (_, 0) => names.join(", "),
        _ => format!("{} and {more} more", names.join(", ")),
    };
    Ok(DataError::UnknownLayout {
        dir: dir.to_owned(),
        expected: format!("IDX files {}, or an image tree {}", idx::LAYOUT, folder::LAYOUT),
        found,
    })
}
