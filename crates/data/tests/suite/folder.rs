//! Image trees, and single image files.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use crate::common::{assert_error, bytes};
use image::{DynamicImage, GrayImage, ImageBuffer, Rgb, RgbImage};
use topedge_data::{Dataset, LoadOptions, Progress, load, load_image};

fn grey(width: u32, height: u32, first: u8) -> DynamicImage {
    let pixels = (0..(width * height) as u8).map(|i| first.wrapping_add(i)).collect();
    GrayImage::from_raw(width, height, pixels).unwrap().into()
}

fn save(image: &DynamicImage, path: impl AsRef<Path>) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    image.save(path).unwrap();
}

/// A tree of 3x2 grey images: two of each class in training, one in validation.
fn small_tree(train: &str, valid: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (class, first) in [("cat", 10), ("ant", 50)] {
        let train = dir.path().join(train).join(class);
        save(&grey(3, 2, first + 20), train.join("2.png"));
        save(&grey(3, 2, first), train.join("1.png"));
        save(&grey(3, 2, first + 30), dir.path().join(valid).join(class).join("x.png"));
    }
    dir
}

fn first_bytes(data: &Dataset) -> Vec<u8> {
    (0..data.len()).map(|i| data.image(i)[0]).collect()
}

#[test]
fn a_tree_loads_sorted_whatever_its_folders_are_called() {
    for (train, valid) in [
        ("training", "testing"),
        ("train", "valid"),
        ("train", "test"),
        ("training", "validation"),
        ("train", "val"),
    ] {
        let dir = small_tree(train, valid);
        let calls = Mutex::new(vec![]);
        let splits = load(dir.path(), &|p| calls.lock().unwrap().push(p)).unwrap();
        assert_eq!(splits.train.vocab(), ["ant", "cat"]);
        assert_eq!(splits.train.image_shape(), [1, 2, 3]);
        assert_eq!(splits.train.labels(), [0, 0, 1, 1]);
        assert_eq!(first_bytes(&splits.train), [50, 70, 10, 30]);
        assert_eq!(splits.train.image(3), [30, 31, 32, 33, 34, 35]);
        assert_eq!(first_bytes(&splits.valid), [80, 40]);
        let mut calls = calls.into_inner().unwrap();
        calls.sort_by_key(|p| p.done);
        let expected: Vec<_> = (1..=6).map(|done| Progress { done, total: 6 }).collect();
        assert_eq!(calls, expected);
    }
}

#[test]
fn a_validation_folder_goes_before_a_test_folder() {
    let dir = small_tree("train", "test");
    save(&grey(3, 2, 100), dir.path().join("valid/ant/x.png"));
    save(&grey(3, 2, 200), dir.path().join("valid/cat/x.png"));
    let splits = load(dir.path(), &|_| ()).unwrap();
    assert_eq!(first_bytes(&splits.valid), [100, 200]);
}

#[test]
fn hidden_files_are_passed_over_and_others_are_not() {
    let dir = small_tree("train", "valid");
    fs::write(dir.path().join("train/.DS_Store"), "x").unwrap();
    fs::write(dir.path().join("train/cat/.DS_Store"), "x").unwrap();
    fs::create_dir(dir.path().join("train/.cache")).unwrap();
    assert_eq!(load(dir.path(), &|_| ()).unwrap().train.len(), 4);
    fs::write(dir.path().join("train/cat/notes.txt"), "x").unwrap();
    assert_error(load(dir.path(), &|_| ()), &["train/cat/notes.txt", "not a readable"]);
}

#[test]
fn one_colour_image_makes_all_of_them_rgb() {
    let dir = small_tree("train", "valid");
    let image = RgbImage::from_fn(3, 2, |x, y| Rgb([1, 2, 3].map(|c| c * 10 + (y * 3 + x) as u8)));
    save(&image.into(), dir.path().join("valid/cat/y.png"));
    let splits = load(dir.path(), &|_| ()).unwrap();
    assert_eq!(splits.train.image_shape(), [3, 2, 3]);
    let plane = [50, 51, 52, 53, 54, 55];
    assert_eq!(splits.train.image(0), [plane, plane, plane].concat());
    let planes = [10, 20, 30].map(|c| [0, 1, 2, 3, 4, 5].map(|i| c + i));
    assert_eq!(splits.valid.image(2), planes.concat());
}

/// Resized or without colour, each image is what prediction makes of its file.
#[test]
fn images_of_other_sizes_and_channels_become_what_load_image_gives() {
    let dir = small_tree("train", "valid");
    save(&grey(9, 7, 0), dir.path().join("valid/cat/large.png"));
    let image = RgbImage::from_fn(4, 5, |x, y| Rgb([1, 2, 3].map(|c| c * 10 + (y * 4 + x) as u8)));
    save(&image.into(), dir.path().join("train/ant/colour.png"));
    let files =
        ["1.png", "2.png", "colour.png"].map(|file| dir.path().join("train/ant").join(file));
    for (options, shape) in [
        (LoadOptions { size: Some([3, 2]), channels: None }, [3, 3, 2]),
        (LoadOptions { size: Some([3, 2]), channels: Some(1) }, [1, 3, 2]),
        (LoadOptions { size: Some([8, 8]), channels: Some(3) }, [3, 8, 8]),
    ] {
        let splits = options.load(dir.path(), &|_| ()).unwrap();
        assert_eq!(splits.train.image_shape(), shape);
        for (i, file) in files.iter().enumerate() {
            assert_eq!(splits.train.image(i), load_image(file, shape).unwrap());
        }
        let large = load_image(&dir.path().join("valid/cat/large.png"), shape).unwrap();
        assert_eq!(splits.valid.image(1), large);
    }
    let colourless = LoadOptions { channels: Some(1), ..Default::default() };
    // Of the two that do not fit the first in order is named, whichever thread is the faster one.
    for _ in 0..100 {
        assert_error(colourless.load(dir.path(), &|_| ()), &["colour.png", "3x2", "found 4x5"]);
    }
    for (options, words) in [
        (LoadOptions { size: Some([0, 2]), channels: None }, &["image size", "[0, 2]"][..]),
        (LoadOptions { size: Some([2, 1 << 40]), channels: None }, &["image size", "16384"]),
        (LoadOptions { size: None, channels: Some(2) }, &["channels is 2", "1 (grey)"]),
    ] {
        assert_error(options.load(dir.path(), &|_| ()), words);
    }
}

#[test]
fn faults_name_the_file() {
    let dir = small_tree("train", "valid");
    save(&grey(2, 3, 0), dir.path().join("valid/cat/odd.png"));
    assert_error(load(dir.path(), &|_| ()), &["valid/cat/odd.png", "3x2", "ant", "found 2x3"]);

    let dir = small_tree("train", "valid");
    fs::create_dir(dir.path().join("train/dog")).unwrap();
    assert_error(load(dir.path(), &|_| ()), &["class folder", "train/dog", "no images"]);

    let dir = small_tree("train", "valid");
    save(&grey(3, 2, 0), dir.path().join("valid/dog/x.png"));
    assert_error(load(dir.path(), &|_| ()), &["valid/dog", "ant, cat", "found dog"]);

    let dir = small_tree("train", "valid");
    fs::remove_dir_all(dir.path().join("valid/cat")).unwrap();
    assert_error(load(dir.path(), &|_| ()), &["valid: classes", "ant, cat", "found no cat"]);

    let dir = small_tree("train", "elsewhere");
    assert_error(load(dir.path(), &|_| ()), &["validation images", "valid"]);

    let dir = small_tree("elsewhere", "valid");
    assert_error(load(dir.path(), &|_| ()), &["training images", "train"]);

    let dir = small_tree("train", "valid");
    fs::remove_dir_all(dir.path().join("valid")).unwrap();
    fs::create_dir(dir.path().join("valid")).unwrap();
    assert_error(load(dir.path(), &|_| ()), &["valid", "no images"]);
}

#[test]
fn every_truncation_of_a_png_is_refused() {
    let dir = small_tree("train", "valid");
    let path = dir.path().join("train/cat/1.png");
    let whole = fs::read(&path).unwrap();
    // The last chunk, 12 bytes, only says that there is no more.
    for len in 0..whole.len() - 12 {
        fs::write(&path, &whole[..len]).unwrap();
        assert_error(load(dir.path(), &|_| ()), &["train/cat/1.png"]);
    }
}

#[test]
fn a_folder_of_something_else_is_described() {
    let dir = tempfile::tempdir().unwrap();
    assert_error(load(dir.path(), &|_| ()), &["IDX files", "training", "an empty folder"]);
    for i in 0..7 {
        fs::write(dir.path().join(format!("file{i}")), "x").unwrap();
    }
    assert_error(load(dir.path(), &|_| ()), &["file0, file1", "file4 and 2 more"]);
    let missing = dir.path().join("missing");
    assert_error(load(&missing, &|_| ()), &["cannot read", "missing"]);
    assert_error(load(&dir.path().join("file0"), &|_| ()), &["cannot read", "file0"]);
}

#[test]
fn an_image_of_the_right_size_is_taken_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.png");
    save(&grey(3, 2, 7), &path);
    assert_eq!(load_image(&path, [1, 2, 3]).unwrap(), [7, 8, 9, 10, 11, 12]);
    let plane = [7, 8, 9, 10, 11, 12];
    assert_eq!(load_image(&path, [3, 2, 3]).unwrap(), [plane, plane, plane].concat());
}

#[test]
fn colour_becomes_grey_as_in_pillow() {
    // Image.fromarray(rgb).convert("L") of these colours, Pillow 13.
    let colours =
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 200, 30], [123, 45, 67], [255, 255, 255]];
    let expected = [76, 150, 29, 124, 71, 255];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.png");
    let image = RgbImage::from_fn(6, 1, |x, _| Rgb(colours[x as usize]));
    save(&image.into(), &path);
    assert_eq!(load_image(&path, [1, 1, 6]).unwrap(), expected);
    let planes: Vec<u8> = (0..3).flat_map(|c| colours.map(|rgb| rgb[c])).collect();
    assert_eq!(load_image(&path, [3, 1, 6]).unwrap(), planes);
}

#[test]
fn alpha_and_sixteen_bits_are_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.png");
    let image =
        ImageBuffer::from_fn(3, 1, |x, _| image::LumaA([200_u8, [0, 128, 255][x as usize]]));
    save(&DynamicImage::ImageLumaA8(image), &path);
    assert_eq!(load_image(&path, [1, 1, 3]).unwrap(), [0, 100, 200]);
    let image = ImageBuffer::from_pixel(1, 1, image::Rgba([100_u8, 200, 50, 51]));
    save(&DynamicImage::ImageRgba8(image), &path);
    assert_eq!(load_image(&path, [3, 1, 1]).unwrap(), [20, 40, 10]);
    let image =
        ImageBuffer::from_fn(3, 1, |x, _| image::Luma([[0_u16, 128 * 257, 65535][x as usize]]));
    save(&DynamicImage::ImageLuma16(image), &path);
    assert_eq!(load_image(&path, [1, 1, 3]).unwrap(), [0, 128, 255]);
}

#[test]
fn resizing_skips_nothing() {
    // Shrunk to half, each pixel is a weighted mean of its neighbourhood, in which the weights of
    // the triangle are 1, 3, 3, 1 over 8 (and cut off at the border): Pillow's BILINEAR.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.png");
    let image = GrayImage::from_raw(8, 1, vec![0, 0, 0, 240, 0, 0, 0, 0]).unwrap();
    save(&image.into(), &path);
    assert_eq!(load_image(&path, [1, 1, 4]).unwrap(), [0, 90, 30, 0]);
    // A colour image, all alike, stays as it is at any size.
    save(&RgbImage::from_pixel(31, 17, Rgb([9, 99, 199])).into(), &path);
    let expected = [vec![9; 35], vec![99; 35], vec![199; 35]].concat();
    assert_eq!(load_image(&path, [3, 5, 7]).unwrap(), expected);
}

#[test]
fn jpeg_is_told_by_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.jpg");
    save(&GrayImage::from_pixel(16, 8, [128].into()).into(), &path);
    let disguised = dir.path().join("x.png");
    fs::rename(&path, &disguised).unwrap();
    let pixels = load_image(&disguised, [1, 8, 16]).unwrap();
    assert!(pixels.iter().all(|p| p.abs_diff(128) <= 2), "{pixels:?}");
}

#[test]
fn bad_images_and_shapes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.png");
    assert_error(load_image(&path, [1, 2, 3]), &["cannot read", "x.png"]);
    fs::write(&path, bytes(100)).unwrap();
    assert_error(load_image(&path, [1, 2, 3]), &["x.png", "not a readable"]);
    save(&grey(3, 2, 0), &path);
    for shape in [[2, 2, 3], [1, 0, 3], [1, 2, 0], [0, 2, 3], [1, usize::MAX, 3]] {
        assert_error(load_image(&path, shape), &["image shape", &format!("{shape:?}")]);
    }
}

#[test]
fn a_small_file_cannot_claim_a_huge_image() {
    // A PNG whose header says 60,000 x 60,000 grey pixels.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.png");
    save(&grey(3, 2, 0), &path);
    let mut png = fs::read(&path).unwrap();
    png[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    fs::write(&path, png).unwrap();
    assert_error(load_image(&path, [1, 2, 3]), &["x.png", "not a readable", "limit"]);
}
