//! `topedge predict` and `topedge summary`.

use std::fs;
use std::process::Stdio;

use tempfile::tempdir;

use crate::data::write_mnist;
use crate::{assert_fields, json, lines_of, succeed, topedge};

const MODEL: &str = "out/model.safetensors";

#[test]
fn a_trained_network_recognises_images_of_any_size_and_colour() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let train = ["train", "--data", "data", "--epochs", "12", "--batch-size", "16", "--out", "out"];
    succeed(dir.path(), &train);

    let sample = image::open(dir.path().join("out/sample.png")).unwrap();
    let large = sample.resize_exact(84, 84, image::imageops::FilterType::Triangle).to_rgb8();
    large.save(dir.path().join("large.jpg")).unwrap();
    fs::copy(dir.path().join("out/sample.png"), dir.path().join("name with spaces.png")).unwrap();

    let images = ["out/sample.png", "large.jpg", "name with spaces.png"];
    let lines = succeed(dir.path(), &[&["predict", MODEL], &images[..], &["--json"]].concat());
    let seen: Vec<_> = lines.iter().map(|line| json(line)).collect();
    for (line, (image, seen)) in lines.iter().zip(images.iter().zip(&seen)) {
        assert_fields(line, &["image", "label", "probability", "probabilities"]);
        assert_eq!(seen["image"], *image);
        let probabilities = seen["probabilities"].as_object().unwrap();
        assert_eq!(probabilities.len(), 10);
        let sum: f64 = probabilities.values().map(|p| p.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert_eq!(probabilities[seen["label"].as_str().unwrap()], seen["probability"]);
    }
    assert_eq!(seen[0]["probabilities"], seen[2]["probabilities"]);

    let text = succeed(dir.path(), &["predict", MODEL, images[0]]);
    assert_eq!(text.len(), 1);
    let label = seen[0]["label"].as_str().unwrap();
    assert!(text[0].starts_with(&format!("out/sample.png  {label}  ")), "{text:?}");
    assert!(text[0].ends_with(" %"), "{text:?}");

    // `topedge predict | head -1`: the reader goes away.
    let mut command = topedge(dir.path(), &["predict", MODEL, images[0], images[1]]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    lines_of(child.wait_with_output().unwrap());

    let of_model = succeed(dir.path(), &["summary", MODEL]);
    assert!(of_model.join("\n").contains("30,542"), "{of_model:?}");
    // The run's folder stands for the model in it.
    assert_eq!(succeed(dir.path(), &["summary", "out"]), of_model);
    assert_eq!(succeed(dir.path(), &["predict", "out", images[0]]), text);
}

#[test]
fn summaries_of_networks_by_name() {
    let dir = tempdir().unwrap();
    let table = succeed(dir.path(), &["summary", "--net", "simple-cnn-2"]).join("\n");
    // Parameters and multiply-adds of the second to the fourth convolution, as the fastai book has them.
    for part in ["Conv2d", "1,168", "14,112", "18,432", "4,640"] {
        assert!(table.contains(part), "{part} in {table}");
    }
    let lines = succeed(dir.path(), &["summary", "--net", "broken-cnn", "--json"]);
    assert_eq!(lines.len(), 4);
    let numbers = ["parameters", "trainable", "multiply_adds"];
    let layer = ["path", "layer", "output_shape"];
    let rest = ["receptive_field", "activation_bytes", "measured"];
    for line in &lines[..3] {
        assert_fields(line, &[&layer[..], &numbers, &rest].concat());
    }
    let network = ["event", "net", "classes", "image_shape"];
    assert_fields(&lines[3], &[&network[..], &numbers, &rest[1..2]].concat());
    assert_eq!(json(&lines[3])["parameters"], 571);
}
