//! Small data sets to train on: drawn digits, as files.

use std::fs;
use std::path::Path;

use topedge::data::idx::{IdxArray, write_idx};
use topedge::prelude::*;

const PARTS: [(&str, &str, usize); 2] = [("train", "training", 96), ("t10k", "testing", 32)];

fn digits_of(seed: u64, count: usize) -> Dataset {
    let digits = Digits { train: count, valid: 10, seed };
    digits::generate(&digits).unwrap().train
}

/// Writes the four IDX files into `dir`.
pub(crate) fn write_mnist(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    for (seed, (name, _, count)) in PARTS.into_iter().enumerate() {
        let digits = digits_of(seed as u64, count);
        let pixels = (0..count).flat_map(|i| digits.image(i).to_vec()).collect();
        let labels = digits.labels().iter().map(|&label| label as u8).collect();
        let images = IdxArray { shape: vec![count, 28, 28], data: pixels };
        write_idx(&dir.join(format!("{name}-images-idx3-ubyte.gz")), &images).unwrap();
        let labels = IdxArray { shape: vec![count], data: labels };
        write_idx(&dir.join(format!("{name}-labels-idx1-ubyte")), &labels).unwrap();
    }
}

/// Writes the same images as a tree of PNG files.
pub(crate) fn write_tree(dir: &Path) {
    for (seed, (_, name, count)) in PARTS.into_iter().enumerate() {
        write_folders(&dir.join(name), &digits_of(seed as u64, count), count);
    }
}

/// Writes the first `count` images of `images` as PNG files, a folder for each label.
pub(crate) fn write_folders(dir: &Path, images: &Dataset, count: usize) {
    for i in 0..count {
        let folder = dir.join(&images.vocab()[images.labels()[i] as usize]);
        fs::create_dir_all(&folder).unwrap();
        let image = image::GrayImage::from_raw(28, 28, images.image(i).to_vec()).unwrap();
        image.save(folder.join(format!("{i}.png"))).unwrap();
    }
}
