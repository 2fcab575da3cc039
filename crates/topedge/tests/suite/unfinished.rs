//! Runs to be interrupted, and what they come to.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{files, json, lines_of, topedge};

/// 3 batches an epoch, of the images of [`write_mnist`](crate::data::write_mnist) in `data`.
pub(crate) const TRAIN: [&str; 11] = [
    "train",
    "--json",
    "--data",
    "data",
    "--net",
    "simple-cnn-2",
    "--optimizer",
    "sgd",
    "--batch-size",
    "32",
    "--out",
];

/// What a run has come to, as far as it is to be the same each time.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    weights_sha256: String,
    /// Without the times.
    history: Vec<String>,
    /// What was recorded in each batch.
    batches: String,
    files: Vec<String>,
}

impl Outcome {
    /// Of a run that has ended well, in the folder `out`.
    pub(crate) fn of(output: Output, out: &Path) -> Outcome {
        let lines = lines_of(output);
        let done = json(lines.last().unwrap());
        let history = fs::read_to_string(out.join("history.csv")).unwrap();
        let without_time = |line: &str| line.rsplit_once(',').unwrap().0.to_string();
        Outcome {
            weights_sha256: done["weights_sha256"].as_str().unwrap().to_string(),
            history: history.lines().map(without_time).collect(),
            batches: fs::read_to_string(out.join("batches.csv")).unwrap(),
            files: files(out),
        }
    }

    /// Of a run that nobody interrupts.
    pub(crate) fn whole(dir: &Path, epochs: &str) -> Outcome {
        let args = [&TRAIN[..], &["whole", "--epochs", epochs]].concat();
        let outcome = Outcome::of(topedge(dir, &args).output().unwrap(), &dir.join("whole"));
        assert_eq!(outcome.files.len(), 10, "{:?}", outcome.files);
        outcome
    }
}

/// Starts a program whose standard output nobody reads before its end, a little of it.
pub(crate) fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a file.
pub(crate) fn wait_for(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < Duration::from_secs(300), "no {}", path.display());
        sleep(Duration::from_millis(1));
    }
}

/// Sends a signal, as in `INT`.
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// Leaves a run of `epochs` unfinished in `dir/out`.
pub(crate) fn leave_unfinished(dir: &Path, epochs: &str) {
    let args = [&TRAIN[..], &["out", "--epochs", epochs, "--checkpoint-every", "1"]].concat();
    let child = start(topedge(dir, &args));
    wait_for(&dir.join("out/checkpoint"));
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
}
