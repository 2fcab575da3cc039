//! `topedge evaluate`.

use std::fs;

use tempfile::tempdir;

use crate::bad_input::refused;
use crate::data::{write_mnist, write_tree};
use crate::{assert_fields, json, succeed};

/// On the data of its training, a network has the figures that its training ended with; on the same
/// images in other files and sizes it gives what `predict` gives.
#[test]
fn accuracy_loss_and_what_is_taken_for_what() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    write_tree(&dir.path().join("tree"));
    let train = ["train", "--data", "data", "--epochs", "3", "--batch-size", "16"];
    let lines = succeed(dir.path(), &[&train[..], &["--out", "run", "--json"]].concat());
    let last = json(&lines[2]);

    let evaluate = |model: &str, data: &str| {
        let lines = succeed(dir.path(), &["evaluate", model, "--data", data, "--json"]);
        let fields = ["images", "accuracy", "loss", "classes", "confusion", "most_confused"];
        assert_eq!(lines.len(), 1);
        assert_fields(&lines[0], &fields);
        json(&lines[0])
    };
    let seen = evaluate("run", "data");
    assert_eq!(seen, evaluate("run/model.safetensors", "data"));
    assert_eq!(seen, evaluate("run", "tree"));
    assert_eq!((&seen["images"], &seen["accuracy"]), (&32.into(), &last["accuracy"]));
    let [loss, expected] = [&seen["loss"], &last["valid_loss"]].map(|loss| loss.as_f64().unwrap());
    assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
    let counts = |row: &serde_json::Value| -> Vec<u64> {
        row.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
    };
    let matrix: Vec<_> = seen["confusion"].as_array().unwrap().iter().map(counts).collect();
    assert_eq!(matrix.iter().flatten().sum::<u64>(), 32);
    let right: u64 = (0..10).map(|class| matrix[class][class]).sum();
    assert_eq!(right as f64 / 32.0, seen["accuracy"].as_f64().unwrap());
    let wrong: u64 = seen["most_confused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| pair["count"].as_u64().unwrap())
        .sum();
    assert_eq!(wrong, 32 - right);

    let text = succeed(dir.path(), &["evaluate", "run", "--data", "data"]).join("\n");
    for part in ["run/model.safetensors on 32 images of data", "accuracy  0.", "label", "taken for"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }

    // Images of another size, and in colour.
    let large = dir.path().join("tree/testing/3/large.png");
    image::RgbImage::from_pixel(40, 50, image::Rgb([200, 100, 0])).save(&large).unwrap();
    let more = evaluate("run", "tree");
    let known = succeed(dir.path(), &["predict", "run", "tree/testing/3/large.png", "--json"]);
    let label = json(&known[0])["label"].as_str().unwrap().parse::<usize>().unwrap();
    let of_three = counts(&more["confusion"][3]);
    assert_eq!(of_three[label], matrix[3][label] + 1);
}

#[test]
fn classes_that_one_side_alone_knows() {
    let dir = tempdir().unwrap();
    write_tree(&dir.path().join("data"));
    let train = ["train", "--data", "data", "--labels", "3,7", "--net", "simple-net"];
    succeed(dir.path(), &[&train[..], &["--epochs", "1", "--out", "run"]].concat());
    let text = succeed(dir.path(), &["evaluate", "run", "--data", "data"]).join("\n");
    assert!(text.contains(" of other classes"), "{text}");
    for split in ["training", "testing"] {
        fs::remove_dir_all(dir.path().join("data").join(split).join("7")).unwrap();
    }
    let evaluate = ["evaluate", "run", "--data", "data"];
    refused(dir.path(), &evaluate, 2, &["--data data", "\"7\"", "found 0, 1"]);
    refused(dir.path(), &["evaluate", "data", "--data", "data"], 2, &["data/model.safetensors"]);
}
