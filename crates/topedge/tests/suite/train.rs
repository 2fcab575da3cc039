//! `topedge train`.

use std::process::Stdio;

use tempfile::tempdir;

use crate::bad_input::refused;
use crate::data::{write_mnist, write_tree};
use crate::{assert_fields, files, json, lines_of, succeed, topedge};

const SHORT: [&str; 7] = ["train", "--data", "data", "--epochs", "2", "--batch-size", "32"];

fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&SHORT, args].concat()
}

#[test]
fn json_has_an_object_a_line_and_nothing_else() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let lines = succeed(dir.path(), &with(&["--json", "--lr", "90"]));
    let (found, lines): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| json(line)["event"] == "finding");
    // That the rate is odd comes first, what came of it last.
    assert!(found.len() > 1 && json(&found[0])["kind"] == "odd_rate", "{found:?}");
    for line in found {
        let words = ["severity", "kind", "layer", "batch", "text", "advice"];
        assert_fields(&line, &[&["event"][..], &words].concat());
    }
    assert_eq!(lines.len(), 3);
    for (i, line) in lines[..2].iter().enumerate() {
        let epoch = json(line);
        assert_eq!((&epoch["event"], &epoch["epoch"]), (&"epoch".into(), &i.into()));
        for name in ["train_loss", "valid_loss", "accuracy", "seconds", "train_seconds"] {
            assert!(epoch[name].as_f64().unwrap() >= 0.0, "{name} in {line}");
        }
        assert!(epoch["train_seconds"].as_f64() <= epoch["seconds"].as_f64());
        let losses = ["train_loss", "valid_loss", "accuracy"];
        let fields = [&["event", "epoch"][..], &losses, &["seconds", "train_seconds"]].concat();
        assert_fields(line, &fields);
    }
    let done = json(&lines[2]);
    assert_eq!(done["event"], "done");
    assert_eq!(done["accuracy"], json(&lines[1])["accuracy"]);
    assert!(done["images_per_second"].as_f64().unwrap() > 0.0);
    let sha256 = done["weights_sha256"].as_str().unwrap();
    assert!(sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let measured = ["accuracy", "images_per_second", "weights_sha256"];
    assert_fields(&lines[2], &[&["event"][..], &measured, &["model", "history"]].concat());
    for file in ["model", "history"] {
        assert!(dir.path().join(done[file].as_str().unwrap()).is_file());
    }
}

#[test]
fn people_get_a_table_and_files() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let text = succeed(dir.path(), &with(&["--out", "out"])).join("\n");
    assert!(text.contains("epoch  train_loss  valid_loss  accuracy      time\n    0  "), "{text}");
    for part in
        ["images per second", "out/model.safetensors", "out/report.html", "Try next", "predict"]
    {
        assert!(text.contains(part), "{text}");
    }
    let expected = [
        "batches.csv",
        "histograms.csv",
        "history.csv",
        "loss.svg",
        "model.safetensors",
        "report.html",
        "sample.png",
        "schedule.svg",
        "settings.json",
        "times.json",
    ];
    assert_eq!(files(&dir.path().join("out")), expected);
    let history = std::fs::read_to_string(dir.path().join("out/history.csv")).unwrap();
    assert_eq!(history.lines().count(), 3, "{history}");
    // Two epochs of three batches.
    let batches = std::fs::read_to_string(dir.path().join("out/batches.csv")).unwrap();
    assert_eq!(batches.lines().count(), 7, "{batches}");
    // What each layer took stands in the page and in the summary.
    let page = std::fs::read_to_string(dir.path().join("out/report.html")).unwrap();
    assert!(page.contains("GFLOP/s"));
    let summary = succeed(dir.path(), &["summary", "out/model.safetensors"]).join("\n");
    assert!(
        ["forward us", "backward us", "GFLOP/s"].iter().all(|title| summary.contains(title)),
        "{summary}"
    );
    std::fs::write(dir.path().join("out/times.json"), "{}").unwrap();
    let output = topedge(dir.path(), &["summary", "out/model.safetensors"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("out/times.json: expected the times of a training run"), "{stderr}");
}

/// The same command, the same weights: again, and on any number of threads.
#[test]
fn weights_are_reproducible() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let weights = |args: &[&str]| {
        let lines = succeed(dir.path(), &with(&[&["--json"], args].concat()));
        json(lines.last().unwrap())["weights_sha256"].clone()
    };
    let expected = weights(&["--threads", "1"]);
    for threads in ["1", "2", "3", "8"] {
        assert_eq!(weights(&["--threads", threads]), expected, "{threads} threads");
    }
    assert_ne!(weights(&["--seed", "43"]), expected);
    for isa in topedge::kernels::Isa::available() {
        let run = |threads| {
            let args = with(&["--json", "--threads", threads]);
            let output = topedge(dir.path(), &args).env("TOPEDGE_ISA", isa.name()).output();
            json(lines_of(output.unwrap()).last().unwrap())["weights_sha256"].clone()
        };
        assert_eq!(run("1"), run("3"), "{}", isa.name());
    }
}

#[test]
fn trees_of_images_and_each_option() {
    let dir = tempdir().unwrap();
    write_tree(&dir.path().join("data"));
    for args in [
        &["--labels", "3,7", "--net", "simple-cnn-2", "--batch-size", "4", "--epochs", "1"][..],
        &["--net", "simple-net", "--schedule", "flat", "--lr", "0.001", "--optimizer", "sgd"],
        &["--net", "simple-cnn"],
    ] {
        // An option that is given twice counts as it was given last.
        let out = [&["train", "--data", "data", "--json"], args].concat();
        let lines = succeed(dir.path(), &out);
        assert!(lines.len() >= 2);
    }
    let settings = std::fs::read_to_string(dir.path().join("runs/1/settings.json")).unwrap();
    let settings = json(&settings);
    assert_eq!(settings["classes"], serde_json::json!(["3", "7"]));
    assert_eq!(settings["net"], "simple-cnn-2");
    assert!(dir.path().join("runs/3/model.safetensors").is_file());
}

/// What is odd is said before the first epoch, what went wrong after the last.
#[test]
fn the_diagnosis_is_said() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    // The same batch, 25 times, without moving.
    let args = ["train", "--data", "data", "--epochs", "25", "--batch-size", "96", "--lr", "1e-20"];
    let output = topedge(dir.path(), &args).output().unwrap();
    let [text, warnings] =
        [output.stdout, output.stderr].map(|out| String::from_utf8(out).unwrap());
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
    assert!(warnings.starts_with("warning: ") && warnings.contains("learning rate"), "{warnings}");
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"));
    let places = ["accuracy  0.", "What looks wrong\n  failure  ", "  what to try: ", "model  "];
    assert!(places.map(place).is_sorted(), "{text}");

    let lines = succeed(dir.path(), &[&args[..], &["--json"]].concat());
    let events: Vec<_> = lines.iter().map(|line| json(line)["event"].clone()).collect();
    assert_eq!(events[..2], ["finding", "epoch"], "{lines:?}");
    assert_eq!((&events[25], &events[26]), (&"epoch".into(), &"finding".into()), "{lines:?}");
    assert_eq!(events.last().unwrap(), "done");
    let finding = ["event", "severity", "kind", "layer", "batch", "text", "advice"];
    [&lines[0], &lines[26]].into_iter().for_each(|line| assert_fields(line, &finding));
    assert_eq!(
        (&json(&lines[0])["kind"], &json(&lines[0])["batch"]),
        (&"odd_rate".into(), &().into())
    );
    assert!(json(&lines[26])["batch"].is_u64(), "{}", lines[26]);
}

/// A tree of images of any size: what trained on them knows what to do with them.
#[test]
fn images_are_resized() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    write_tree(&data);
    image::RgbImage::new(70, 41).save(data.join("training/3/large.png")).unwrap();
    let train = ["train", "--data", "data", "--epochs", "1", "--batch-size", "32"];
    refused(dir.path(), &train, 1, &["training/3/large.png", "found 70x41", "--size 28"]);
    let too_large = [&train[..], &["--size", "33"]].concat();
    refused(dir.path(), &too_large, 2, &["--net", "33x33", "at most 32x32", "--size 28"]);
    refused(dir.path(), &["train", "--size", "28"], 2, &["--data"]);

    succeed(dir.path(), &[&train[..], &["--size", "17", "--out", "out"]].concat());
    let settings = std::fs::read_to_string(dir.path().join("out/settings.json")).unwrap();
    assert_eq!(json(&settings)["size"], 17);
    assert_eq!(json(&settings)["image_shape"], serde_json::json!([3, 17, 17]));
    succeed(dir.path(), &["verify", "out"]);
    succeed(dir.path(), &["predict", "out", "data/training/3/large.png"]);
    succeed(dir.path(), &["lr-find", "--data", "data", "--size", "17", "--batch-size", "8"]);
    let shown = ["show-batch", "--data", "data", "--size", "17", "--count", "1", "--json"];
    let shown = succeed(dir.path(), &shown);
    assert_eq!(json(&shown[0])["shape"], serde_json::json!([3, 17, 17]));
}

/// `topedge train | head -1`: the reader goes away, and the training still counts.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let mut command = topedge(dir.path(), &with(&["--out", "out"]));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    lines_of(child.wait_with_output().unwrap());
    assert!(dir.path().join("out/model.safetensors").is_file());
}
