//! What cannot be is refused: one line that says what, where, and what was expected; an exit code;
//! nothing left behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::{TempDir, tempdir};
use topedge::data::idx::{IdxArray, write_idx};

use crate::data::{write_mnist, write_tree};
use crate::{files, succeed, topedge};

/// Checks that the output is that of a failure with this exit code, whose one line has all of `words`.
pub(crate) fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word} in {stderr}");
    }
}

/// Checks that `topedge args` fails in `dir` and leaves nothing.
pub(crate) fn refused(dir: &Path, args: &[&str], code: i32, words: &[&str]) {
    let before = files(dir);
    assert_fails(&topedge(dir, args).output().unwrap(), code, words);
    assert_eq!(files(dir), before, "{args:?} leaves files");
    assert!(!dir.join("runs").exists(), "{args:?} leaves a folder");
}

/// `topedge train --data data` in a folder whose data somebody has damaged.
fn damaged(write: fn(&Path), damage: impl FnOnce(&Path), words: &[&str]) {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    write(&data);
    damage(&data);
    refused(dir.path(), &["train", "--data", "data"], 1, words);
}

#[test]
fn wrong_use() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    write_tree(&dir.path().join("two"));
    for split in ["training", "testing"] {
        for digit in ["0", "1", "2", "4", "5", "6", "8", "9"] {
            fs::remove_dir_all(dir.path().join("two").join(split).join(digit)).unwrap();
        }
    }
    for split in ["training", "testing"] {
        for digit in "0123456789".chars() {
            let [colour, large] =
                ["colour", "large"].map(|data| dir.path().join(format!("{data}/{split}/{digit}")));
            fs::create_dir_all(&colour).unwrap();
            fs::create_dir_all(&large).unwrap();
            image::RgbImage::new(28, 28).save(colour.join("1.png")).unwrap();
            image::GrayImage::new(20, 30).save(large.join("1.png")).unwrap();
        }
    }
    image::GrayImage::new(2, 1).save(dir.path().join("dot.png")).unwrap();
    for (args, words) in [
        (&["train", "--data", "nowhere"][..], &["--data", "nowhere", "does not exist"][..]),
        (&["train", "--data", "data/t10k-labels-idx1-ubyte"], &["--data", "is no folder"]),
        (&["train", "--lr", "nan"], &["--lr", "nan", "number above 0"]),
        (&["train", "--lr", "-1"], &["--lr", "-1", "above 0"]),
        (&["train", "--epochs", "-1"], &["--epochs", "-1"]),
        (&["train", "--threads", "-1"], &["--threads", "-1"]),
        (&["train", "--data", "data", "--size", "0"], &["--size", "0"]),
        (&["train", "--lr", "inf"], &["--lr", "inf"]),
        (&["train", "--lr", "1e30"], &["--lr", "1e30", "at most 100"]),
        (&["train", "--lr", "1e-50"], &["--lr", "1e-50", "above 0"]),
        (&["train", "--epochs", "0"], &["--epochs", "0"]),
        (&["train", "--batch-size", "0"], &["--batch-size", "0"]),
        (
            &["train", "--data", "data", "--batch-size", "97"],
            &["--batch-size 97", "at most the 96"],
        ),
        (
            &["train", "--data", "data", "--batch-size", "1"],
            &["--batch-size 1", "at least 2", "simple-cnn-bn"],
        ),
        (&["train", "--data", "data", "--labels", "3,x"], &["--labels", "\"x\""]),
        (&["train", "--data", "data", "--labels", "3"], &["--labels", "at least 2"]),
        (&["train", "--net", "resnet"], &["--net", "resnet", "simple-cnn-bn"]),
        (&["train", "--optimizer", "lion"], &["--optimizer", "lion", "adam"]),
        (&["train", "--threads", "0"], &["--threads", "0"]),
        (&["train", "--seed", "-1"], &["--seed", "-1"]),
        (&["trian"], &["trian"]),
        (&["predict"], &["MODEL"]),
        (&["predict", "model", "image.png"], &["model", "does not exist"]),
        (&["summary", "--net", "resnet"], &["resnet"]),
        (&["bench", "--layers", "alexnet"], &["--layers alexnet", "a part of book1"]),
        (&["bench", "--isa", "mmx"], &["--isa mmx", "portable"]),
        (&["bench", "--threads", "0"], &["--threads", "0"]),
        (&["kernel"], &["IMAGE"]),
        (&["kernel", "nowhere.png"], &["nowhere.png", "does not exist"]),
        (&["kernel", "data"], &["data", "is no file"]),
        (&["kernel", "dot.png"], &["dot.png", "2x1 pixels", "3x3"]),
        (&["kernel", "dot.png", "--kernel", "sobel"], &["--kernel", "sobel", "diagonal-2"]),
        (&["kernel", "dot.png", "--out", "map.jpg"], &["--out", "map.jpg", ".svg"]),
        (&["receptive-field", "--net", "resnet"], &["--net", "resnet", "simple-cnn"]),
        (&["receptive-field", "model"], &["model", "does not exist"]),
        (&["show-batch", "--data", "nowhere"], &["--data", "nowhere", "does not exist"]),
        (&["show-batch", "--count", "0"], &["--count", "0"]),
        (
            &["lr-find", "--data", "data", "--batch-size", "97"],
            &["--batch-size 97", "at most the 96"],
        ),
        (&["lr-find", "--start", "1", "--end", "0.1"], &["--start 1", "--end, 0.1"]),
        (&["chapter", "12"], &["STEP", "12"]),
        (&["chapter", "--data", "nowhere"], &["--data", "nowhere", "does not exist"]),
        (&["chapter", "--data", "two"], &["--data", "classes 3, 7", "digits 0 to 9"]),
        (
            &["chapter", "--data", "colour"],
            &["--data", "images [3, 28, 28]", "grey images of 28x28"],
        ),
        (
            &["chapter", "--data", "large"],
            &["--data", "images [1, 30, 20]", "grey images of 28x28"],
        ),
        (&["compare", "data"], &["RUN"]),
        (&["lr-find", "--steps", "5"], &["--steps", "5"]),
    ] {
        refused(dir.path(), args, 2, words);
    }
    let forced = topedge(dir.path(), &["train"]).env("TOPEDGE_ISA", "mmx").output().unwrap();
    assert_fails(&forced, 2, &["TOPEDGE_ISA", "mmx"]);
    let setting = topedge(dir.path(), &["train"]).env("TOPEDGE_WINOGRAD", "no").output().unwrap();
    assert_fails(&setting, 2, &["TOPEDGE_WINOGRAD", "no"]);
    for threads in ["two", "-1", "1025"] {
        let many = topedge(dir.path(), &["train"]).env("RAYON_NUM_THREADS", threads).output();
        assert_fails(&many.unwrap(), 2, &["RAYON_NUM_THREADS", threads, "1024"]);
    }
}

#[test]
fn idx_files() {
    let images = "train-images-idx3-ubyte.gz";
    let labels = "train-labels-idx1-ubyte";
    damaged(write_mnist, |data| fs::remove_file(data.join(images)).unwrap(), &["train-images"]);
    let truncate = |data: &Path| {
        let whole = fs::read(data.join(images)).unwrap();
        fs::write(data.join(images), &whole[..whole.len() / 2]).unwrap();
    };
    damaged(write_mnist, truncate, &[images]);
    let short = |data: &Path| fs::write(data.join(labels), [0, 0, 8, 1, 0, 0, 0, 96, 1]).unwrap();
    damaged(write_mnist, short, &[labels, "expected", "96"]);
    let magic = |data: &Path| fs::write(data.join(labels), b"\x89PNG\r\n\x1a\n").unwrap();
    damaged(write_mnist, magic, &[labels, "magic", "expected"]);
    let fewer = |data: &Path| {
        write_idx(&data.join(labels), &IdxArray { shape: vec![95], data: vec![1; 95] }).unwrap();
    };
    damaged(write_mnist, fewer, &["95", "96"]);
    let unknown = |data: &Path| {
        let labels = data.join("t10k-labels-idx1-ubyte");
        write_idx(&labels, &IdxArray { shape: vec![32], data: vec![200; 32] }).unwrap();
    };
    damaged(write_mnist, unknown, &["t10k-labels-idx1-ubyte", "200"]);
    let without_zeros = |data: &Path| {
        write_idx(&data.join(labels), &IdxArray { shape: vec![96], data: vec![9; 96] }).unwrap();
    };
    damaged(write_mnist, without_zeros, &[labels, "from 0 to 9", "found no 0"]);
    let valid_without_zeros = |data: &Path| {
        let labels = data.join("t10k-labels-idx1-ubyte");
        write_idx(&labels, &IdxArray { shape: vec![32], data: vec![9; 32] }).unwrap();
    };
    damaged(write_mnist, valid_without_zeros, &["t10k-labels-idx1-ubyte", "found no 0"]);
    damaged(|data| fs::create_dir_all(data).unwrap(), |_| (), &["data", "expected"]);
}

#[test]
fn trees_of_images() {
    let image = |data: &Path| {
        let folder = data.join("training/3");
        fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
    };
    let truncate = |data: &Path| {
        let whole = fs::read(image(data)).unwrap();
        fs::write(image(data), &whole[..whole.len() / 2]).unwrap();
    };
    damaged(write_tree, truncate, &["training/3", ".png"]);
    damaged(
        write_tree,
        |data| fs::write(image(data), "no image").unwrap(),
        &["training/3", ".png"],
    );
    let empty = |data: &Path| {
        fs::remove_dir_all(data.join("training/3")).unwrap();
        fs::create_dir(data.join("training/3")).unwrap();
    };
    damaged(write_tree, empty, &["3"]);
    let untested = |data: &Path| fs::remove_dir_all(data.join("testing/3")).unwrap();
    damaged(write_tree, untested, &["data/testing", "classes", "found no 3"]);
    let no_testing = |data: &Path| fs::remove_dir_all(data.join("testing")).unwrap();
    damaged(write_tree, no_testing, &["data", "testing"]);
    // JPEG's first bytes, and no more.
    let jpeg = |data: &Path| fs::write(data.join("testing/3/x.jpg"), b"\xff\xd8\xff").unwrap();
    damaged(write_tree, jpeg, &["testing/3/x.jpg", "JPEG"]);
    let unknown = |data: &Path| {
        fs::create_dir(data.join("testing/x")).unwrap();
        fs::copy(image(data), data.join("testing/x/1.png")).unwrap();
    };
    damaged(write_tree, unknown, &["testing/x", "expected one of", "found x"]);
}

/// A folder with a trained model.
fn trained() -> TempDir {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let train = ["train", "--data", "data", "--epochs", "1", "--batch-size", "32", "--out", "out"];
    succeed(dir.path(), &train);
    dir
}

#[test]
fn models() {
    let dir = trained();
    let whole = fs::read(dir.path().join("out/model.safetensors")).unwrap();
    let predict = ["predict", "model", "out/sample.png"];
    let refuse = |bytes: &[u8], words: &[&str]| {
        fs::write(dir.path().join("model"), bytes).unwrap();
        refused(dir.path(), &predict, 1, words);
        refused(dir.path(), &["summary", "model"], 1, words);
    };
    for len in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        refuse(&whole[..len], &["model", "expected", "found"]);
    }
    // The tensors of one architecture, said to be another.
    let mut other = whole.clone();
    let mut replace = |text: &[u8], by: &[u8]| {
        let at = whole.windows(text.len()).position(|bytes| bytes == text).unwrap();
        other[at..at + text.len()].copy_from_slice(by);
        other.clone()
    };
    refuse(&replace(b"simple-cnn-bn", b"simple-cnn   "), &["model", "sha256", "damaged"]);
    refuse(&replace(b"topedge.sha256", b"another.sha256"), &["model", "net"]);
    refuse(b"not a model at all", &["model", "safetensors"]);

    let model = "out/model.safetensors";
    refused(dir.path(), &["predict", model, "nowhere.png"], 2, &["nowhere.png"]);
    refused(dir.path(), &["predict", model, model], 1, &[model, "image"]);
    refused(dir.path(), &["kernel", model], 1, &[model, "PNG or JPEG", "another kind of file"]);
}

#[test]
fn folders_that_cannot_be_written() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    fs::write(dir.path().join("file"), "").unwrap();
    let train = ["train", "--data", "data", "--epochs", "1", "--batch-size", "32", "--out"];
    refused(dir.path(), &[&train[..], &["file"]].concat(), 1, &["file"]);
    refused(dir.path(), &[&train[..], &["file/below"]].concat(), 1, &["file/below"]);
}

/// Where one file of the run cannot take its place, those of an earlier run all keep theirs.
#[test]
fn a_folder_in_the_place_of_a_file() {
    let dir = trained();
    let out = dir.path().join("out");
    let contents = || files(&out).iter().map(|file| fs::read(out.join(file)).unwrap()).collect();
    let train = ["train", "--data", "data", "--epochs", "1", "--batch-size", "16", "--out", "out"];
    for name in ["settings.json", "sample.png", "history.csv"] {
        fs::remove_file(out.join(name)).unwrap();
        fs::create_dir(out.join(name)).unwrap();
        fs::write(out.join(name).join("mine"), "mine").unwrap();
        let before: Vec<_> = contents();
        refused(dir.path(), &train, 1, &[&format!("out/{name}")]);
        assert_eq!(contents(), before);
        fs::remove_dir_all(out.join(name)).unwrap();
    }
}

/// A run that fails leaves those before it alone, also in its own folder.
#[test]
fn losses_that_are_no_numbers() {
    let dir = trained();
    let out = dir.path().join("out");
    let contents = || files(&out).iter().map(|file| fs::read(out.join(file)).unwrap()).collect();
    let before: Vec<_> = contents();
    // Far too high a rate for this network: with any of several seeds its losses run away within some
    // steps. Much lower ones, and higher ones, kill all its units now and then instead.
    let flat = [
        "train",
        "--net",
        "simple-cnn",
        "--optimizer",
        "sgd",
        "--schedule",
        "flat",
        "--lr",
        "20",
        "--seed",
        "1",
    ];
    // The earlier run stays as it was.
    refused(dir.path(), &[&flat[..], &["--out", "out"]].concat(), 1, &["epoch 0", "NaN", "layer"]);
    assert_eq!(contents(), before);
    // Where there is none, the record stays.
    let output = topedge(dir.path(), &[&flat[..], &["--out", "new"]].concat()).output().unwrap();
    assert_fails(&output, 1, &["epoch 0", "NaN", "layer", "new/report.html"]);
    let page = fs::read_to_string(dir.path().join("new/report.html")).unwrap();
    assert!(page.contains("Training ended: epoch 0") && page.contains("lower the rate"));
    assert!(!dir.path().join("new/model.safetensors").exists());
    assert!(dir.path().join("new/batches.csv").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_that_is_full() {
    let dir = trained();
    for args in [&["train", "--json"][..], &["summary", "out"], &["--help"]] {
        let full = fs::File::create("/dev/full").unwrap();
        let output = topedge(dir.path(), args).stdout(full).output().unwrap();
        assert_fails(&output, 1, &["cannot write to standard output"]);
        assert!(!dir.path().join("runs").exists());
    }
}

/// A limit on the size of files stands for a full disk: the report is larger than that, the model is not.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_model() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let limited = |blocks: usize| {
        let script = format!(r#"ulimit -f {blocks}; exec "$0" "$@""#);
        Command::new("sh")
            .current_dir(dir.path())
            .args(["-c", &script, env!("CARGO_BIN_EXE_topedge")])
            .args([
                "train",
                "--data",
                "data",
                "--epochs",
                "1",
                "--batch-size",
                "32",
                "--out",
                "out",
            ])
            .output()
            .unwrap()
    };
    let before = files(dir.path());
    // 8 KiB: not even the model.
    let output = limited(16);
    assert_fails(&output, 1, &["cannot write", "out/model.safetensors", "out holds settings.json"]);
    fs::remove_dir_all(dir.path().join("out")).unwrap();
    assert_eq!(files(dir.path()), before);
    // 256 KiB.
    let output = limited(512);
    assert_fails(&output, 1, &["cannot write", "out/report.html", "out holds model.safetensors"]);
    assert!(dir.path().join("out/history.csv").exists());
    succeed(dir.path(), &["summary", "out/model.safetensors"]);
}
