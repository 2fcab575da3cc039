//! What several tests need.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use topedge_data::Dataset;
use topedge_data::idx::{IdxArray, write_idx};

/// The names of MNIST's files: training images and labels, test images and labels.
pub(crate) const MNIST: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

pub(crate) fn array(shape: &[usize], data: Vec<u8>) -> IdxArray {
    let shape = shape.to_vec();
    IdxArray { shape, data }
}

/// Bytes that are neither constant nor the same in any two rows.
pub(crate) fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 37 + i / 251 * 11) as u8).collect()
}

/// Six training and three test images of 2x3 pixels, labels 0 to 2, as MNIST's four files.
pub(crate) fn write_small_mnist(dir: &Path) {
    for (names, n) in [(&MNIST[..2], 6), (&MNIST[2..], 3)] {
        let labels = (0..n as u8).map(|i| i % 3).collect();
        write_idx(&dir.join(names[0]), &array(&[n, 2, 3], bytes(n * 6))).unwrap();
        write_idx(&dir.join(names[1]), &array(&[n], labels)).unwrap();
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `n` images of `image_shape` with labels 0, 1, 2, 0, ...
pub(crate) fn dataset(n: usize, image_shape: [usize; 3]) -> Dataset {
    let pixels = bytes(n * image_shape.iter().product::<usize>());
    let labels = (0..n as u32).map(|i| i % 3).collect();
    let vocab = ["a", "b", "c"].map(String::from).to_vec();
    Dataset::new(pixels, image_shape, labels, vocab).unwrap()
}

/// The message of an error, which must be one line that says all of `parts`.
#[track_caller]
pub(crate) fn assert_error<T>(result: topedge_data::Result<T>, parts: &[&str]) {
    let message = match result {
        Ok(_) => panic!("no error; expected one that says {parts:?}"),
        Err(error) => error.to_string(),
    };
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
    assert!(!message.contains('\n'), "{message:?} is not one line");
}
