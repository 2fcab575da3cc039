//! The command line, run as a user runs it.

mod bad_input;
mod bench;
mod chapter;
mod compare;
mod data;
mod disks;
mod evaluate;
mod kills;
mod looks;
mod mnist;
mod predict;
mod report;
mod resume;
mod train;
mod unfinished;
mod webdriver;

use std::path::Path;
use std::process::{Command, Output};

/// The program, to be run in `dir`.
fn topedge(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_topedge"));
    command.current_dir(dir).args(args);
    command
}

/// Runs the program; fails the test unless that succeeds. Returns the lines of standard output.
fn succeed(dir: &Path, args: &[&str]) -> Vec<String> {
    lines_of(topedge(dir, args).output().unwrap())
}

fn lines_of(output: Output) -> Vec<String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(stderr, "", "nothing is wrong, and this is no terminal");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_string).collect()
}

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Checks that a line of JSON has these fields, and no others, in this order.
fn assert_fields(line: &str, fields: &[&str]) {
    assert_eq!(json(line).as_object().unwrap().len(), fields.len(), "{line}");
    let places: Vec<_> = fields.iter().map(|field| line.find(&format!("\"{field}\":"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{fields:?} in {line}");
}

/// The names of all files below `dir`, sorted.
fn files(dir: &Path) -> Vec<String> {
    let mut found = vec![];
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
