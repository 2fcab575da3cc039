//! `topedge compare`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::data::write_mnist;
use crate::webdriver::Browser;
use crate::{succeed, topedge};

/// Leaves a run with these settings in `folder`.
fn trained(dir: &Path, folder: &str, args: &[&str]) {
    let train = ["train", "--data", "data", "--epochs", "2", "--out", folder];
    succeed(dir, &[&train[..], args].concat());
}

fn data() -> TempDir {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    dir
}

#[test]
fn what_differs_stands_in_one_page() {
    let dir = data();
    trained(dir.path(), "a", &["--net", "simple-cnn", "--batch-size", "16"]);
    trained(dir.path(), "b", &["--net", "simple-cnn", "--schedule", "flat", "--batch-size", "16"]);
    let said = succeed(dir.path(), &["compare", "a", "b"]).join("\n");
    // The first batch is the same; one-cycle has a lower rate for the first step.
    for part in ["A a: accuracy 0.", "B b: accuracy 0.", "part in batch 1", "compare.html"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let html = fs::read_to_string(dir.path().join("compare.html")).unwrap();
    assert!(html.contains("<td>schedule</td><td>one-cycle</td><td>flat</td>"));
    assert!(html.contains("<dt>net</dt><dd>simple-cnn</dd>") && html.contains("4.0 Conv2d"));
    assert_eq!(html.matches(">histograms, B<").count(), 5, "one of each layer");
    for loading in ["http:", "https:", "@import", "url(", " src="] {
        assert!(!html.contains(loading), "{loading}");
    }
    let lines = succeed(dir.path(), &["compare", "a", "b", "--json"]);
    let lines: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), &lines[1]["run"]), (3, &Value::from("b")));
    assert!(lines[0]["accuracy"].is_f64() && lines[0]["findings"].is_array());
    assert_eq!(lines[2]["different_from_batch"], 1);
    assert_eq!(lines[2]["page"], "compare.html");
    let same = succeed(dir.path(), &["compare", "a", "a", "--out", "same.html"]).join("\n");
    assert!(same.contains("the losses are the same") && same.contains("same.html"), "{same}");
}

#[test]
fn runs_of_other_networks_and_batches_are_comparable() {
    let dir = data();
    trained(dir.path(), "a", &["--batch-size", "16"]);
    trained(dir.path(), "b", &["--net", "simple-net", "--batch-size", "8", "--labels", "3,7"]);
    succeed(dir.path(), &["compare", "a", "b", "--out", "page.html"]);
    let html = fs::read_to_string(dir.path().join("page.html")).unwrap();
    for part in ["<td>net</td>", "<td>classes</td>", "Only in A: 0.0 Conv2d", "differ from epoch"] {
        assert!(html.contains(part), "{part}");
    }
}

/// In a narrow window nothing sticks out, and what is the same unfolds by the keyboard.
#[test]
fn the_comparison_in_a_browser() {
    let Some(browser) = Browser::start() else {
        println!("skipped: chromedriver is not installed");
        return;
    };
    let dir = data();
    trained(dir.path(), "a", &["--batch-size", "16"]);
    trained(dir.path(), "b", &["--batch-size", "16", "--lr", "0.01"]);
    succeed(dir.path(), &["compare", "a", "b"]);
    browser.open(&dir.path().join("compare.html").canonicalize().unwrap());
    let sections = "return [...document.querySelectorAll('section')].map((s) => s.id).join(' ');";
    let expected = "verdict settings parting loss epochs schedule activations";
    assert_eq!(browser.evaluate(sections), expected);
    let unlabelled = "return document.querySelectorAll('svg:not([aria-label])').length;";
    assert_eq!(browser.evaluate(unlabelled), 0);
    for width in [1400, 360] {
        browser.resize(width, 900);
        let overhang = "return document.documentElement.scrollWidth - innerWidth;";
        assert!(browser.evaluate(overhang).as_i64().unwrap() <= 0, "at {width}");
    }
    browser.click("summary", 0, 0);
    assert_eq!(browser.evaluate("return document.querySelector('details').open;"), true);
    browser.press('\u{e007}');
    assert_eq!(browser.evaluate("return document.querySelector('details').open;"), false);
    let errors = browser.console();
    assert!(errors.is_empty(), "{errors:?}");
}

/// What is no run's folder, or not whole, is refused in one line, and no page is written.
#[test]
fn runs_that_cannot_be_read() {
    let dir = data();
    trained(dir.path(), "run", &[]);
    let refused = |code: i32, words: &[&str]| {
        let output = topedge(dir.path(), &["compare", "run", "other"]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word} in {stderr}");
        }
        assert!(!dir.path().join("compare.html").exists());
    };
    refused(2, &["other does not exist", "the folder of a training run"]);
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    refused(1, &["other: settings.json is missing"]);
    for name in ["settings.json", "history.csv"] {
        fs::copy(dir.path().join("run").join(name), other.join(name)).unwrap();
    }
    refused(1, &["other: batches.csv is missing", "older version"]);
    fs::copy(dir.path().join("run/batches.csv"), other.join("batches.csv")).unwrap();
    refused(1, &["other: histograms.csv is missing", "older version"]);
    fs::copy(dir.path().join("run/histograms.csv"), other.join("histograms.csv")).unwrap();
    for (name, damage, words) in [
        ("histograms.csv", "layer\n", &["histograms.csv: line 1"][..]),
        (
            "batches.csv",
            "batch,loss\n",
            &["batches.csv: line 1", "expected batch,loss,smoothed"][..],
        ),
        ("settings.json", "{\"net\": ", &["other/settings.json", "expected the settings"]),
        ("settings.json", "[1]", &["other/settings.json", "expected the settings"]),
        ("history.csv", "epoch\n", &["other/history.csv: line 1"]),
        (
            "history.csv",
            "epoch,train_loss,valid_loss,accuracy,time\n0,a,,,\n",
            &["line 2", "numbers"],
        ),
    ] {
        for name in ["settings.json", "history.csv", "batches.csv", "histograms.csv"] {
            fs::copy(dir.path().join("run").join(name), other.join(name)).unwrap();
        }
        fs::write(other.join(name), damage).unwrap();
        refused(1, words);
    }
}
