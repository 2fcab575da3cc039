//! IDX files: round trips, and everything that can be wrong with them.

use std::fs;

use crate::common::{MNIST, array, assert_error, bytes, gzip, write_small_mnist};
use proptest::prelude::*;
use topedge_data::idx::{parse, read_idx, write_idx};
use topedge_data::{LoadOptions, Progress, load};

/// A 2x3x2 array as a plain file.
fn small() -> Vec<u8> {
    let mut file = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 2];
    file.extend(bytes(12));
    file
}

#[test]
fn parses_plain_and_gzip() {
    let expected = array(&[2, 3, 2], bytes(12));
    assert_eq!(parse(&small()).unwrap(), expected);
    assert_eq!(parse(&gzip(&small())).unwrap(), expected);
    // gzip members after each other are one stream.
    let file = small();
    let (a, b) = file.split_at(9);
    assert_eq!(parse(&[gzip(a), gzip(b)].concat()).unwrap(), expected);
}

#[test]
fn empty_arrays_are_arrays() {
    let file = [0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 5];
    assert_eq!(parse(&file).unwrap(), array(&[0, 5], vec![]));
}

#[test]
fn every_truncation_is_refused() {
    for file in [small(), gzip(&small())] {
        assert!(parse(&file).is_ok());
        for len in 0..file.len() {
            let error = parse(&file[..len]).expect_err("truncated");
            assert!(error.to_string().contains("expected"), "{len}: {error}");
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let with = |at: usize, byte: u8| {
        let mut file = small();
        file[at] = byte;
        file
    };
    assert_error(parse(&[]), &["magic number", "an empty file"]);
    assert_error(parse(b"\x89PNG\r\n"), &["magic number", "00 00 08", "89 50 4e 47"]);
    // Floats instead of bytes.
    assert_error(parse(&with(2, 0x0d)), &["magic number", "00 00 0d 03"]);
    assert_error(parse(&with(3, 0)), &["number of dimensions", "1 to 8", "found 0"]);
    assert_error(parse(&with(3, 200)), &["number of dimensions", "found 200"]);
    assert_error(parse(&with(7, 9)), &["bytes of data", "54", "found 12"]);
    assert_error(parse(&with(7, 1)), &["bytes of data", "expected 6", "more"]);
    assert_error(parse(&gzip(&with(7, 1))), &["bytes of data", "more"]);
    let mut corrupt = gzip(&small());
    let crc = corrupt.len() - 6;
    corrupt[crc] ^= 1;
    assert_error(parse(&corrupt), &["gzip stream"]);
}

#[test]
fn a_header_alone_allocates_nothing() {
    // 2^31 bytes are within bounds, but not there; the others are out of bounds or overflow.
    let header = |dims: &[u32]| {
        let mut file = vec![0, 0, 8, dims.len() as u8];
        file.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
        file
    };
    assert_error(parse(&header(&[1 << 31])), &["bytes of data", "2147483648", "found 0"]);
    assert_error(parse(&header(&[u32::MAX; 3])), &["dimensions", "4294967295"]);
    assert_error(parse(&header(&[(1 << 31) + 1])), &["dimensions", "at most"]);
}

/// Whatever the damage makes of the array: more of it, less, other dimensions.
#[test]
fn a_damaged_gzip_stream_is_at_fault_itself() {
    let whole = gzip(&small());
    let array = parse(&whole).unwrap();
    // The header of ten bytes has some of no meaning, and the last of the packed ones unused bits.
    for bit in 8 * 10..8 * whole.len() {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match parse(&damaged) {
            Ok(same) => assert_eq!(same, array, "bit {bit}"),
            damaged => assert_error(damaged, &["gzip stream"]),
        }
    }
}

#[test]
fn a_gzip_bomb_is_read_no_further_than_its_header_says() {
    let mut bomb = vec![0, 0, 8, 1, 0, 0, 0, 3];
    bomb.resize(64 << 20, 0);
    assert_error(parse(&gzip(&bomb)), &["bytes of data", "expected 3", "more"]);
}

proptest! {
    #[test]
    fn what_is_written_is_read(shape in prop::collection::vec(0_usize..6, 1..5)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let array = array(&shape, bytes(shape.iter().product()));
        write_idx(&path, &array).unwrap();
        prop_assert_eq!(read_idx(&path).unwrap(), array);
    }

    #[test]
    fn garbage_never_panics(mut file in prop::collection::vec(any::<u8>(), 0..64), valid_start: bool) {
        if valid_start && file.len() >= 4 {
            file[..4].copy_from_slice(&[0, 0, 8, 1]);
        }
        if let Ok(array) = parse(&file) {
            prop_assert_eq!(array.data.len(), array.shape.iter().product::<usize>());
        }
    }
}

#[test]
fn writing_checks_its_argument() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    assert_error(write_idx(&path, &array(&[2, 2], vec![1; 5])), &["elements", "[2, 2]", "5"]);
    assert_error(write_idx(&path, &array(&[], vec![1])), &["shape", "1 to 8"]);
    assert_error(write_idx(&path, &array(&[1 << 32, 0], vec![])), &["dimension", "2^32"]);
    assert!(!path.exists());
    // What stands there, a folder, stays, and nothing is left beside it.
    fs::create_dir(&path).unwrap();
    assert_error(write_idx(&path, &array(&[1], vec![1])), &["cannot write"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let nowhere = dir.path().join("no/such/folder");
    assert_error(write_idx(&nowhere, &array(&[1], vec![1])), &["cannot write", "no/such"]);
}

#[test]
fn mnists_four_files_load() {
    let dir = tempfile::tempdir().unwrap();
    write_small_mnist(dir.path());
    let calls = std::sync::Mutex::new(vec![]);
    let splits = load(dir.path(), &|p| calls.lock().unwrap().push(p)).unwrap();
    assert_eq!((splits.train.len(), splits.valid.len()), (6, 3));
    assert_eq!(splits.train.image_shape(), [1, 2, 3]);
    assert_eq!(splits.train.vocab(), ["0", "1", "2"]);
    assert_eq!(splits.train.labels(), [0, 1, 2, 0, 1, 2]);
    assert_eq!(splits.train.image(5), &bytes(36)[30..]);
    assert_eq!(calls.into_inner().unwrap(), [Progress { done: 9, total: 9 }]);

    let options = LoadOptions { size: Some([4, 6]), channels: Some(3) };
    let large = options.load(dir.path(), &|_| ()).unwrap();
    assert_eq!((large.train.image_shape(), large.valid.image_shape()), ([3, 4, 6], [3, 4, 6]));
    assert_eq!(large.train.labels(), splits.train.labels());
    let [red, green, _] = [0, 24, 48].map(|at| &large.train.image(5)[at..at + 24]);
    assert_eq!(red, green);
    let corners = |image: &[u8], width: usize| [image[0], image[width - 1], image[image.len() - 1]];
    assert_eq!(corners(red, 6), corners(splits.train.image(5), 3));

    // Gzip is told by its content, with and without the name.
    let path = dir.path().join(MNIST[0]);
    fs::write(&path, gzip(&fs::read(&path).unwrap())).unwrap();
    assert_eq!(load(dir.path(), &|_| ()).unwrap().train.image(5), splits.train.image(5));
    fs::rename(&path, dir.path().join(format!("{}.gz", MNIST[0]))).unwrap();
    assert_eq!(load(dir.path(), &|_| ()).unwrap().train.image(5), splits.train.image(5));
}

/// Loads the small set after one file has been replaced.
fn load_with(
    name: &str,
    content: Option<&topedge_data::idx::IdxArray>,
) -> topedge_data::Result<()> {
    let dir = tempfile::tempdir().unwrap();
    write_small_mnist(dir.path());
    let path = dir.path().join(name);
    match content {
        Some(array) => write_idx(&path, array).unwrap(),
        None => fs::remove_file(&path).unwrap(),
    }
    load(dir.path(), &|_| ()).map(|_| ())
}

#[test]
fn contradictions_between_the_files_are_refused() {
    let labels = |labels: &[u8]| array(&[labels.len()], labels.to_vec());
    let cases: [(&str, _, &[&str]); 10] = [
        (MNIST[2], None, &["no t10k-images-idx3-ubyte"]),
        (
            MNIST[1],
            Some(labels(&[0, 1, 2, 0, 1])),
            &["train-labels", "number of labels", "expected 6", "found 5"],
        ),
        (MNIST[1], Some(array(&[6, 1], vec![0; 6])), &["train-labels", "1 dimension", "[6, 1]"]),
        (MNIST[0], Some(array(&[6, 6], bytes(36))), &["train-images", "3 dimensions", "[6, 6]"]),
        (
            MNIST[0],
            Some(array(&[6, 0, 3], vec![])),
            &["train-images", "shape", "at least 1", "[6, 0, 3]"],
        ),
        (
            MNIST[2],
            Some(array(&[3, 3, 2], bytes(18))),
            &["t10k-images", "size of the images", "2x3 as in", "train-images", "found 3x2"],
        ),
        (
            MNIST[3],
            Some(labels(&[0, 1, 3])),
            &["t10k-labels", "label of image 2", "from 0 to 2", "found 3"],
        ),
        (MNIST[3], Some(labels(&[0, 2, 2])), &["t10k-labels", "from 0 to 2", "found no 1"]),
        (MNIST[1], Some(labels(&[0, 2, 2, 0, 2, 2])), &["train-labels", "0 to 2", "found no 1"]),
        (MNIST[1], Some(labels(&[0, 1, 2, 0, 1, 77])), &["train-labels", "0 to 77", "found no 3"]),
    ];
    for (name, content, parts) in cases {
        assert_error(load_with(name, content.as_ref()), parts);
    }
}

#[test]
fn an_empty_split_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_small_mnist(dir.path());
    write_idx(&dir.path().join(MNIST[2]), &array(&[0, 2, 3], vec![])).unwrap();
    write_idx(&dir.path().join(MNIST[3]), &array(&[0], vec![])).unwrap();
    assert_error(load(dir.path(), &|_| ()), &["t10k-images", "no images"]);
}
