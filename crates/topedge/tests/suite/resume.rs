//! Runs that are interrupted and gone on with, and runs that are repeated.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use tempfile::tempdir;
use topedge::data::idx::{read_idx, write_idx};
use topedge::kernels::Isa;

use crate::bad_input::{assert_fails, refused};
use crate::data::write_mnist;
use crate::unfinished::{Outcome, TRAIN, leave_unfinished, signal, start, wait_for};
use crate::{assert_fields, files, json, succeed, topedge};

/// Ctrl-C, also where no checkpoints were asked for; and then the command that it names.
#[cfg(unix)]
#[test]
fn stopped_by_a_signal_and_gone_on_with() {
    let dir = tempdir().unwrap();
    let path = dir.path();
    write_mnist(&path.join("data"));
    let whole = Outcome::whole(path, "300");
    for (name, out) in [("INT", "out"), ("TERM", "my out")] {
        let child = start(topedge(path, &[&TRAIN[..], &[out, "--epochs", "300"]].concat()));
        // From the first epoch on.
        wait_for(&path.join(out).join("history.csv"));
        sleep(Duration::from_millis(20));
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{stderr}");
        assert!(
            stderr.starts_with("stopped in epoch ") && stderr.contains("to go on:"),
            "{stderr}"
        );
        assert_eq!(files(&path.join(out)), ["checkpoint", "history.csv"]);

        let command = format!("{} --json", stderr.lines().last().unwrap());
        let again = Command::new("sh").current_dir(path).args(["-c", &command]).output().unwrap();
        assert_eq!(Outcome::of(again, &path.join(out)), whole, "{command}");
    }
}

/// A batch as large as all images takes long enough for a second Ctrl-C.
#[cfg(unix)]
#[test]
fn a_second_signal_ends_at_once() {
    let dir = tempdir().unwrap();
    let args = ["train", "--batch-size", "20000", "--epochs", "1000", "--out", "out"];
    for attempt in 0.. {
        let child = start(topedge(dir.path(), &args));
        wait_for(&dir.path().join("out/history.csv"));
        signal(&child, "INT");
        sleep(Duration::from_millis(10));
        signal(&child, "INT");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        if output.stderr.is_empty() && files(dir.path()) == ["out/history.csv"] {
            break;
        }
        // The batch was over too soon.
        assert!(attempt < 20, "{}", String::from_utf8_lossy(&output.stderr));
        fs::remove_dir_all(dir.path().join("out")).unwrap();
    }
}

#[test]
fn people_see_the_whole_table() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    leave_unfinished(dir.path(), "300");
    let text = succeed(dir.path(), &["train", "--resume", "out"]).join("\n");
    let epochs = (0..300).filter(|epoch| text.contains(&format!("\n{epoch:>5}  ")));
    assert_eq!(epochs.count(), 300, "{text}");
    assert!(text.contains("epoch  train_loss") && text.contains("Try next"), "{text}");
}

#[test]
fn what_cannot_be_gone_on_with() {
    let dir = tempdir().unwrap();
    let path = dir.path();
    write_mnist(&path.join("data"));
    write_mnist(&path.join("other"));
    let train = [&TRAIN[..], &["done", "--epochs", "1"]].concat();
    succeed(path, &train);
    leave_unfinished(path, "1000");
    let checkpoint = path.join("out/checkpoint");
    let whole = fs::read(&checkpoint).unwrap();

    let resume = |args: &[&'static str]| [&["train", "--resume", "out"], args].concat();
    refused(path, &["train", "--resume", "nowhere"], 2, &["--resume nowhere", "folder of a run"]);
    refused(path, &["train", "--resume", "data"], 2, &["--resume data", "with a checkpoint"]);
    refused(path, &["train", "--resume", "done"], 2, &["--resume done", "come to its end"]);
    for flag in ["--batch-size", "--lr", "--epochs", "--seed", "--size"] {
        refused(path, &resume(&[flag, "1"]), 2, &["--resume", flag]);
    }
    refused(path, &resume(&["--checkpoint-every", "0"]), 2, &["--checkpoint-every", "1epoch"]);
    refused(path, &[&TRAIN[..], &["out"]].concat(), 2, &["--out out", "unfinished", "--resume"]);
    refused(path, &["verify", "out"], 1, &["out", "not come to its end", "train --resume out"]);

    // One pixel of one image.
    let images = path.join("other/train-images-idx3-ubyte.gz");
    let mut array = read_idx(&images).unwrap();
    array.data[1234] ^= 1;
    write_idx(&images, &array).unwrap();
    let words = ["out/checkpoint: training sha256: expected \"", "as the run had it, found \""];
    refused(path, &resume(&["--data", "other"]), 1, &words);
    fs::remove_dir_all(path.join("data")).unwrap();
    refused(path, &resume(&[]), 2, &["out/checkpoint", "were in data", "--data DIR says"]);
    write_mnist(&path.join("data"));
    let best = Isa::current();
    for isa in Isa::available().filter(|&isa| isa != best) {
        let other = topedge(path, &resume(&[])).env("TOPEDGE_ISA", isa.name()).output().unwrap();
        let best = best.name();
        let words = [
            &format!("isa: expected \"{best}\", as the run had it, found \"{}\"", isa.name()),
            &format!("TOPEDGE_ISA={best} forces it"),
        ];
        assert_fails(&other, 1, &words.map(|word| word.as_str()));
    }

    for (at, words) in [(0, "found another file"), (8, "version 1"), (99, "the file is damaged")] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&checkpoint, bytes).unwrap();
        refused(path, &resume(&[]), 1, &["out/checkpoint: expected", words]);
    }
    fs::write(&checkpoint, &whole[..whole.len() / 2]).unwrap();
    refused(path, &resume(&[]), 1, &["out/checkpoint: expected as many bytes"]);
}

/// The data may have moved, if they are the same.
#[test]
fn data_may_move() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let whole = Outcome::whole(dir.path(), "300");
    leave_unfinished(dir.path(), "300");
    fs::rename(dir.path().join("data"), dir.path().join("moved")).unwrap();
    let resume = ["train", "--json", "--resume", "out", "--data", "moved", "--threads", "3"];
    let again = topedge(dir.path(), &resume).output().unwrap();
    assert_eq!(Outcome::of(again, &dir.path().join("out")), whole);
}

/// A run whose folder has an earlier one's files: those stay until the new ones are there.
#[test]
fn an_earlier_run_stays_until_the_new_one_is_done() {
    let dir = tempdir().unwrap();
    let out = dir.path().join("out");
    write_mnist(&dir.path().join("data"));
    succeed(dir.path(), &[&TRAIN[..], &["out", "--epochs", "1"]].concat());
    let earlier = fs::read(out.join("model.safetensors")).unwrap();
    leave_unfinished(dir.path(), "300");
    assert_eq!(fs::read(out.join("model.safetensors")).unwrap(), earlier);
    let whole = Outcome::whole(dir.path(), "300");
    let again = topedge(dir.path(), &["train", "--json", "--resume", "out"]).output().unwrap();
    assert_eq!(Outcome::of(again, &out), whole);
    assert_ne!(fs::read(out.join("model.safetensors")).unwrap(), earlier);
}

#[test]
fn runs_are_verified() {
    let dir = tempdir().unwrap();
    let path = dir.path();
    write_mnist(&path.join("data"));
    succeed(path, &[&TRAIN[..], &["out", "--epochs", "3"]].concat());
    succeed(path, &[&TRAIN[..], &["other", "--epochs", "3", "--seed", "1"]].concat());
    let settings = json(&fs::read_to_string(path.join("out/settings.json")).unwrap());
    for name in ["training_sha256", "validation_sha256"] {
        assert_eq!(settings[name].as_str().unwrap().len(), 64, "{settings}");
    }
    for name in ["version", "seed", "isa", "winograd", "lr", "batch_size", "net"] {
        assert!(!settings[name].is_null(), "{name} in {settings}");
    }
    let before = files(path);
    let text = succeed(path, &["verify", "out", "--threads", "3"]).join("\n");
    assert!(text.contains("the same weights as in out/model.safetensors, bit for bit"), "{text}");
    let lines = succeed(path, &["verify", "out", "--json"]);
    assert_eq!(lines.len(), 4);
    let fields = ["event", "same", "weights_sha256", "expected_sha256"];
    assert_fields(&lines[3], &fields);
    assert_eq!(json(&lines[3])["same"], true);
    assert_eq!(files(path), before);

    // One bit of one weight, the last in the file.
    let model = path.join("out/model.safetensors");
    let mut bytes = fs::read(&model).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&model, bytes).unwrap();
    let words = ["out/model.safetensors: expected contents of the sha256", "it is damaged"];
    refused(path, &["verify", "out"], 1, &words);
    fs::copy(path.join("other/model.safetensors"), &model).unwrap();
    let words = ["out/model.safetensors: expected the same weights", "the first difference is in"];
    refused(path, &["verify", "out"], 1, &words);
    let output = topedge(path, &["verify", "out", "--json"]).output().unwrap();
    assert_fails(&output, 1, &["the first difference is in 0."]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(json(stdout.lines().last().unwrap())["same"], false);

    refused(path, &["verify", "nowhere"], 2, &["RUN nowhere", "folder of a run"]);
    refused(path, &["verify", "data"], 1, &["cannot read data/settings.json"]);
    change_setting(&path.join("other"), "version", "\"0.0.9\"".into());
    refused(path, &["verify", "other"], 1, &["version: expected \"0.0.9\", as the run had it"]);
    fs::write(path.join("other/settings.json"), "{}").unwrap();
    refused(
        path,
        &["verify", "other"],
        1,
        &["other/settings.json: expected the settings of a run"],
    );
}

fn change_setting(run: &Path, name: &str, value: String) {
    let file = run.join("settings.json");
    let mut settings = json(&fs::read_to_string(&file).unwrap());
    settings[name] = serde_json::from_str(&value).unwrap();
    fs::write(file, settings.to_string()).unwrap();
}
