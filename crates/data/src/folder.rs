//! Image trees: a folder for each split, in it a folder for each label, in it PNG or JPEG files.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::dataset::{Dataset, Splits};
use crate::error::{DataError, Result};
use crate::image_file::{Decoded, decode};
use crate::load::{Change, Progress};

/// The names of the training folder, and of the validation folder, the preferred one first: where
/// there is a validation set beside a test set, the test set is left alone.
const TRAIN: [&str; 2] = ["training", "train"];
const VALID: [&str; 5] = ["validation", "valid", "val", "testing", "test"];

/// What [`load`] looks for, in words.
pub(crate) const LAYOUT: &str =
    "{training,train}/LABEL/*.{png,jpg} and {validation,valid,val,testing,test}/LABEL/*.{png,jpg}";

/// Whether `root` has a folder of either split.
pub(crate) fn is_tree(root: &Path) -> bool {
    TRAIN.iter().chain(&VALID).any(|name| root.join(name).is_dir())
}

/// Loads the image tree below `root`: `training` or `train`, and `validation`, `valid`, `val`,
/// `testing` or `test`, hold a folder for each label with its images.
///
/// The vocabulary is the sorted names of the training folders. Images come in the order of their
/// labels and file names. They are grey if all files of both splits are, and RGB otherwise; all
/// must have the size of the first. Hidden files (`.DS_Store`) are passed over. Files are read and
/// decoded in parallel, and `progress` is called from the threads that do so.
///
/// # Errors
///
/// When a split is missing, a class folder is empty, training and validation have different classes,
/// a file is no readable image, or its size is not that of the first; the message names the file.
pub fn load(root: &Path, progress: &(dyn Fn(Progress) + Sync)) -> Result<Splits> {
    load_as(root, &Change::default(), progress)
}

/// As [`load`], with another size or other channels.
pub(crate) fn load_as(
    root: &Path,
    change: &Change,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Splits> {
    let train = Tree::list(&split_folder(root, "training", &TRAIN)?)?;
    let valid = Tree::list(&split_folder(root, "validation", &VALID)?)?;
    if let Some(unknown) = valid.labels.iter().find(|l| !train.labels.contains(l)) {
        return Err(DataError::unexpected(
            valid.root.join(unknown).display(),
            "class",
            format!("one of those in {}: {}", train.root.display(), train.labels.join(", ")),
            unknown,
        ));
    }
    if let Some(missing) = train.labels.iter().find(|l| !valid.labels.contains(l)) {
        return Err(DataError::unexpected(
            valid.root.display(),
            "classes",
            format!("those in {}: {}", train.root.display(), train.labels.join(", ")),
            format!("no {missing}"),
        ));
    }

    let files: Vec<&Path> = train.files().chain(valid.files()).collect();
    let images = decode_all(&files, change, progress)?;
    let grey = images.iter().all(|image| matches!(image, Decoded::Grey(_)));
    let channels = change.channels.unwrap_or(if grey { 1 } else { 3 });
    let (train_images, valid_images) = images.split_at(train.files.len());
    let vocab = &train.labels;
    Splits::new(
        train.dataset(train_images, channels, vocab)?,
        valid.dataset(valid_images, channels, vocab)?,
    )
}

/// The first folder of `names` that there is.
fn split_folder(root: &Path, split: &str, names: &[&str]) -> Result<PathBuf> {
    let mut folders = names.iter().map(|name| root.join(name));
    folders.find(|path| path.is_dir()).ok_or_else(|| {
        DataError::unexpected(
            root.display(),
            format!("{split} images"),
            format!("a folder named {}", names.join(" or ")),
            "none",
        )
    })
}

/// The files of one split.
struct Tree {
    root: PathBuf,
    /// Names of the class folders, sorted.
    labels: Vec<String>,
    /// Each file with the index of its label, sorted by label and name.
    files: Vec<(usize, PathBuf)>,
}

impl Tree {
    fn list(root: &Path) -> Result<Tree> {
        let mut tree = Tree { root: root.to_owned(), labels: Vec::new(), files: Vec::new() };
        for name in visible(root)? {
            let folder = root.join(&name);
            if !folder.is_dir() {
                continue;
            }
            let Ok(label) = name.into_string() else {
                let place = folder.display();
                return Err(DataError::unexpected(
                    place,
                    "name of the class",
                    "Unicode",
                    "other bytes",
                ));
            };
            let files = visible(&folder)?;
            if files.is_empty() {
                let place = format!("class folder {}", folder.display());
                return Err(DataError::Empty { place });
            }
            let class = tree.labels.len();
            tree.files.extend(files.into_iter().map(|file| (class, folder.join(file))));
            tree.labels.push(label);
        }
        if tree.labels.is_empty() {
            let place = root.display().to_string();
            return Err(DataError::Empty { place });
        }
        Ok(tree)
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(_, path)| path.as_path())
    }

    /// The data set of `images`, which are those of `files`.
    fn dataset(&self, images: &[Decoded], channels: usize, vocab: &[String]) -> Result<Dataset> {
        let (width, height) = images.first().map_or((0, 0), Decoded::dimensions);
        let image_shape = [channels, height as usize, width as usize];
        let mut pixels = Vec::with_capacity(images.len() * image_shape.iter().product::<usize>());
        for image in images {
            image.append_to(&mut pixels, channels);
        }
        // Every label is in the vocabulary, as `load` has checked.
        let class_of =
            |label: &String| vocab.iter().position(|v| v == label).unwrap_or(vocab.len());
        let classes: Vec<u32> = self.labels.iter().map(|label| class_of(label) as u32).collect();
        let labels = self.files.iter().map(|(label, _)| classes[*label]).collect();
        Dataset::new(pixels, image_shape, labels, vocab.to_vec())
    }
}

/// The names in a folder, sorted, without hidden ones.
fn visible(folder: &Path) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io("read", folder))? {
        let name = entry.map_err(DataError::io("read", folder))?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Decodes and changes all files, in order, and checks that they then have the size of the first.
fn decode_all(
    files: &[&Path],
    change: &Change,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<Decoded>> {
    let Some(first) = files.first() else {
        return Ok(Vec::new());
    };
    let size = change.of(decode(first)?).dimensions();
    let done = AtomicUsize::new(0);
    let total = files.len();
    let decode = |path: &Path| {
        let image = change.of(decode(path)?);
        let (width, height) = image.dimensions();
        if (width, height) != size {
            return Err(DataError::unexpected(
                path.display(),
                "size",
                format!("{}x{} as {} has", size.0, size.1, first.display()),
                format!("{width}x{height}"),
            ));
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress(Progress { done, total });
        Ok(image)
    };
    // Of several that are wrong the first is reported, whichever thread is the faster one; what lies behind one
    // need not be read.
    let wrong = AtomicUsize::new(usize::MAX);
    let images: Vec<Option<Result<Decoded>>> = files
        .par_iter()
        .enumerate()
        .map(|(index, path)| {
            if index > wrong.load(Ordering::Relaxed) {
                return None;
            }
            let image = decode(path);
            if image.is_err() {
                wrong.fetch_min(index, Ordering::Relaxed);
            }
            Some(image)
        })
        .collect();
    images.into_iter().flatten().collect()
}
