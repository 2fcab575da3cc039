//! The commands that show something: `kernel`, `receptive-field`, `show-batch`, `lr-find`.

use std::fs;

use image::GrayImage;
use serde_json::json;
use tempfile::tempdir;

use crate::data::write_mnist;
use crate::{assert_fields, files, json, succeed};

/// An image that is dark above and bright below, and what is to be seen in it.
#[test]
fn a_kernel_finds_its_edge() {
    let dir = tempdir().unwrap();
    let image = GrayImage::from_fn(5, 6, |_, y| [if y < 3 { 0 } else { 100 }].into());
    image.save(dir.path().join("edge.png")).unwrap();

    let lines = succeed(dir.path(), &["kernel", "edge.png", "--json", "--out", "map.png"]);
    assert_eq!(lines.len(), 1);
    let sizes = ["height", "width", "min", "max", "values"];
    assert_fields(&lines[0], &[&["image", "kernel", "weights"][..], &sizes].concat());
    let map = json(&lines[0]);
    let row = |value: f32| json!([value, value, value]);
    assert_eq!(map["values"], json!([row(0.0), row(300.0), row(300.0), row(0.0)]));
    assert_eq!((&map["min"], &map["max"]), (&json!(0.0), &json!(300.0)));
    let picture = image::open(dir.path().join("map.png")).unwrap().to_rgb8();
    assert_eq!(picture.dimensions(), (3, 4));
    assert_eq!(picture.get_pixel(0, 1).0, [255; 3]);

    let negated = succeed(dir.path(), &["kernel", "edge.png", "--negate", "--json"]);
    let negated = json(&negated[0]);
    assert_eq!((&negated["kernel"], &negated["min"]), (&json!("bottom-edge"), &json!(-300.0)));
    for kernel in ["left-edge", "diagonal-1", "diagonal-2"] {
        let lines = succeed(dir.path(), &["kernel", "edge.png", "--kernel", kernel, "--json"]);
        assert_eq!(json(&lines[0])["kernel"], kernel);
    }
    let text = succeed(dir.path(), &["kernel", "edge.png", "--out", "map.svg"]).join("\n");
    for part in [" -1 -1 -1\n", "@@@@@@\n@@@@@@", "map of 4x3, from 0 to 300", "map.svg"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains('\x1b'), "no colours where this is no terminal: {text}");
    assert!(fs::read_to_string(dir.path().join("map.svg")).unwrap().starts_with("<svg"));
}

#[test]
fn receptive_fields_of_the_book() {
    let dir = tempdir().unwrap();
    for (net, expected) in
        [("simple-cnn-2", [3, 7, 15, 31, 63]), ("simple-cnn", [5, 9, 17, 33, 65])]
    {
        let lines = succeed(dir.path(), &["receptive-field", "--net", net, "--json"]);
        let fields = ["path", "layer", "output_shape", "receptive_field", "at", "rows", "columns"];
        assert_fields(&lines[0], &fields);
        let layers: Vec<_> = lines.iter().map(|line| json(line)).collect();
        let convolutions =
            layers.iter().filter(|layer| layer["layer"].as_str().unwrap().starts_with("Conv2d"));
        let found: Vec<_> = convolutions.map(|layer| layer["receptive_field"][0].clone()).collect();
        assert_eq!(found, expected);
        // The last one sees all of the image, and no more than there is.
        assert_eq!(layers[layers.len() - 2]["rows"], json!([0, 28]));
    }
    let text = succeed(dir.path(), &["receptive-field", "--net", "simple-net"]).join("\n");
    assert!(text.contains("Linear") && text.contains("all pixels"), "{text}");
    let broken = succeed(dir.path(), &["receptive-field", "--net", "broken-cnn", "--json"]);
    let sizes: Vec<_> = broken.iter().map(|l| json(l)["receptive_field"][0].clone()).collect();
    assert_eq!(sizes, [3, 3, 5]);
}

/// Of a network that was trained, for the images that it was trained on.
#[test]
fn receptive_fields_of_a_trained_network() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let train = ["train", "--data", "data", "--epochs", "1", "--net", "simple-cnn", "--out", "run"];
    succeed(dir.path(), &train);
    let model = "run/model.safetensors";
    let of_model = succeed(dir.path(), &["receptive-field", model, "--json"]);
    let of_name = succeed(dir.path(), &["receptive-field", "--net", "simple-cnn", "--json"]);
    assert_eq!(of_model, of_name);
    let text = succeed(dir.path(), &["receptive-field", model]).join("\n");
    assert!(text.starts_with("simple-cnn on images of 1x28x28"), "{text}");
}

#[test]
fn a_batch_is_shown_as_it_was_before_normalisation() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    write_mnist(&data);
    let splits = topedge::data::load(&data, &|_| ()).unwrap();

    let show = ["show-batch", "--data", "data", "--count", "5"];
    let lines = succeed(dir.path(), &[&show[..], &["--json"]].concat());
    assert_eq!(lines.len(), 5);
    for line in &lines {
        assert_fields(line, &["label", "shape", "pixels"]);
        let shown = json(line);
        let known = (0..splits.train.len()).any(|i| {
            let label = &splits.train.vocab()[splits.train.label(i) as usize];
            shown["label"] == **label && shown["pixels"] == json!(splits.train.image(i))
        });
        assert!(known, "{line}");
    }
    for file in ["grid.png", "grid.svg"] {
        let text = succeed(dir.path(), &[&show[..], &["--columns", "2", "--out", file]].concat());
        assert!(text.join("\n").contains('@'), "{text:?}");
    }
    let grid = image::open(dir.path().join("grid.png")).unwrap().to_rgb8();
    // Two columns and three rows of images of 84 pixels, labels of 20 above them.
    assert_eq!(grid.dimensions(), (6 + 2 * 90, 6 + 3 * 110));
    assert!((0..16).any(|x| grid.get_pixel(6 + x, 10).0 == [255; 3]), "a label");
}

#[test]
fn learning_rates_are_suggested() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let before = files(dir.path());
    let find = ["lr-find", "--data", "data", "--batch-size", "16", "--net", "simple-cnn"];
    let lines = succeed(dir.path(), &[&find[..], &["--json"]].concat());
    let (done, steps) = lines.split_last().unwrap();
    assert!(steps.len() > 20 && steps.len() <= 100, "{}", steps.len());
    assert_fields(&steps[0], &["event", "lr", "loss"]);
    assert!((json(&steps[0])["lr"].as_f64().unwrap() / 1e-7 - 1.0).abs() < 1e-9);
    assert_fields(done, &["event", "valley", "steep", "minimum", "slide"]);
    let valley = json(done)["valley"].as_f64().unwrap();
    assert!(valley > 1e-7 && valley < 10.0, "{valley}");

    let text = succeed(dir.path(), &find).join("\n");
    for part in ["valley", "steep", "minimum", "slide", "1e-7", &topedge::nn::short_number(valley)]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(files(dir.path()), before, "it leaves nothing");
}
