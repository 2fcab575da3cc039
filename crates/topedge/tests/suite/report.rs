//! `report.html`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;
use topedge::Model;
use topedge::autograd::Tensor;
use topedge::kernels::conv2d::{Conv2dConfig, ConvMatrix};
use topedge::kernels::pool::Pool2dConfig;
use topedge::nn::Activations;
use topedge::prelude::*;

use crate::data::{write_mnist, write_tree};
use crate::succeed;
use crate::webdriver::Browser;

/// Trains `net` and returns what the page says.
fn train(dir: &Path, net: &str) -> String {
    let args = ["--epochs", "2", "--batch-size", "32", "--out", "out", "--net", net];
    succeed(dir, &[&["train", "--data", "data"], &args[..]].concat());
    fs::read_to_string(dir.join("out/report.html")).unwrap()
}

#[test]
fn the_report_needs_no_other_file() {
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    let html = train(dir.path(), "simple-cnn-bn");
    assert!(html.len() < 5_000_000, "{} bytes", html.len());
    for loading in ["http:", "https:", "@import", "url("] {
        assert!(!html.contains(loading), "{loading}");
    }
    let sources = html.split(" src=\"").chain(html.split(" href=\"")).skip(1);
    let sources = sources.filter(|source| !source.starts_with("<!doctype"));
    for source in sources {
        let inside = source.starts_with("data:") || source.starts_with('#');
        assert!(inside, "{}", &source[..source.len().min(80)]);
    }
    for section in [
        "verdict",
        "loss",
        "schedule",
        "batch",
        "layers",
        "activations",
        "kernels",
        "confusion",
        "mistakes",
        "trace",
        "matrix",
    ] {
        assert!(html.contains(&format!("<section id=\"{section}\">")), "{section}");
    }
}

#[test]
fn networks_without_convolutions_and_trees_of_images_have_a_report_too() {
    let dir = tempdir().unwrap();
    write_tree(&dir.path().join("data"));
    let args = ["train", "--data", "data", "--net", "simple-net", "--epochs", "1", "--out", "out"];
    succeed(dir.path(), &args);
    let html = fs::read_to_string(dir.path().join("out/report.html")).unwrap();
    assert!(html.contains("<section id=\"trace\">") && !html.contains("<section id=\"kernels\">"));
}

/// What the page shows of the chosen activation is what Rust says of it.
fn assert_traced(browser: &Browser, network: &mut dyn Module) {
    let shown = browser.evaluate(
        "const result = document.getElementById('trace-result').dataset;
         const products = [...document.querySelectorAll('#trace-sheet .product')];
         const pressed = document.querySelector('#trace-images [aria-pressed=true]');
         return {
           layer: result.layer, place: Number(result.place), value: Number(result.value),
           sum: Number(result.sum), bias: Number(result.bias), index: Number(pressed.dataset.index),
           products: products.map((cell) => Number(cell.dataset.product)),
           texts: products.map((cell) => Number(cell.textContent.replace('−', '-'))),
           windows: [...document.querySelectorAll('#trace-fields .field')].map((f) => f.dataset.window),
           input: JSON.parse(document.getElementById('trace-data').textContent).samples
             .find((sample) => sample.index === Number(pressed.dataset.index)).input,
         };",
    );
    let number = |name: &str| shown[name].as_f64().unwrap_or_else(|| panic!("{name} in {shown}"));
    let numbers = |name: &str| -> Vec<f64> {
        shown[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let products = numbers("products");
    let total = products.iter().sum::<f64>() + number("bias");
    assert!((total - number("sum")).abs() < 1e-9, "{shown}");
    for (text, product) in numbers("texts").iter().zip(&products) {
        assert!((text - product).abs() <= 0.051, "{text} is shown for {product}");
    }

    let input = base64(shown["input"].as_str().unwrap());
    let x = Tensor::new(input, &[1, 1, 28, 28]).unwrap();
    let path = shown["layer"].as_str().unwrap();
    let activations = Activations::of(network, &x).unwrap();
    let layer = activations.layers().iter().find(|layer| layer.path == path).unwrap();
    let mut rest = number("place") as usize;
    let mut at = layer.output.shape()[1..].to_vec();
    for size in at.iter_mut().rev() {
        (rest, *size) = (rest / *size, rest % *size);
    }
    let trace = activations.trace(path, &at).unwrap();
    assert!((trace.value - number("value")).abs() < 1e-4, "{trace:?} and {shown}");
    if trace.precedents.function.is_none() {
        assert!((total - number("value")).abs() < 1e-3, "{shown}");
    }
    assert_eq!(trace.precedents.terms.len(), products.len());
    for (term, product) in trace.precedents.terms.iter().zip(&products) {
        assert!((term.product - product).abs() < 1e-4, "{term:?} and {product}");
    }
    drop(activations);
    let windows = topedge::nn::input_windows(network, &[1, 28, 28], path, &at).unwrap();
    let shown: Vec<&str> =
        shown["windows"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(shown.len(), windows.len() + 1);
    let fields = topedge::nn::receptive_fields(network, &[1, 28, 28]).unwrap();
    for (i, (shown, window)) in shown.iter().zip(&windows).enumerate() {
        let (rows, columns) = (&window.rows, &window.columns);
        let mut expected = format!("{} {} {} {}", rows.start, rows.end, columns.start, columns.end);
        if i > 0 && fields[i - 1].output_shape.len() == 1 {
            // In the page features have no grid.
            expected = "0 1 0 1".to_string();
        }
        assert_eq!(*shown, expected, "input of {}", window.path);
    }
}

/// Little-endian f32 from base64.
fn base64(text: &str) -> Vec<f32> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |c: u8| digits.iter().position(|&digit| digit == c).unwrap_or(0) as u32;
    let mut bytes = vec![];
    for four in text.as_bytes().chunks(4) {
        let bits = four.iter().fold(0, |bits, &c| bits << 6 | value(c));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    let (values, _) = bytes.as_chunks::<4>();
    values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// A browser opens the report, looks into the network by mouse and by keyboard, and changes a weight.
#[test]
fn the_report_in_a_browser() {
    let Some(browser) = Browser::start() else {
        println!("skipped: chromedriver is not installed");
        return;
    };
    let dir = tempdir().unwrap();
    write_mnist(&dir.path().join("data"));
    train(dir.path(), "simple-cnn-bn");
    let model = Model::load(&dir.path().join("out/model.safetensors")).unwrap();
    let mut network = model.into_network();
    browser.open(&dir.path().join("out/report.html").canonicalize().unwrap());
    assert_traced(&browser, &mut network);
    let place = |browser: &Browser| {
        let result = "return document.getElementById('trace-result').dataset;";
        let result = browser.evaluate(result);
        format!("{} {}", result["layer"].as_str().unwrap(), result["place"].as_str().unwrap())
    };

    // Each layer, and in the maps a click beside the middle, where there is no gap; then down through the numbers to the pixels.
    let layers =
        browser.evaluate("return document.querySelectorAll('#trace-layers button').length;");
    for layer in 1..=layers.as_u64().unwrap() {
        browser.click(&format!("#trace-layers button:nth-child({layer})"), 0, 0);
        assert_traced(&browser, &mut network);
    }
    browser.click("#trace-layers button:nth-child(4)", 0, 0);
    browser.click("#trace-images button:nth-child(2)", 0, 0);
    let before = place(&browser);
    browser.click("#trace-maps", 7, -9);
    assert_ne!(place(&browser), before, "a click chooses");
    assert_traced(&browser, &mut network);
    for path in ["0.2", "0.1", "0.0"] {
        browser.click("#trace-sheet .input button", 0, 0);
        assert!(place(&browser).starts_with(path), "{} is not in {path}", place(&browser));
        assert_traced(&browser, &mut network);
    }

    // Right, down, Enter.
    browser.click("#trace-layers button:nth-child(1)", 0, 0);
    browser.click("#trace-maps", 7, 0);
    let (before, chosen) = (place(&browser), |browser: &Browser| {
        place(browser).rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    });
    let first = chosen(&browser);
    browser.press('\u{e014}');
    assert_eq!(place(&browser), before, "arrows alone do not choose");
    browser.press('\u{e007}');
    assert_eq!(chosen(&browser), first + 1);
    browser.press('\u{e015}');
    browser.press('\u{e007}');
    assert_eq!(chosen(&browser), first + 1 + 14);
    assert_traced(&browser, &mut network);
    let outline = "const maps = document.getElementById('trace-maps');
        return document.activeElement === maps && getComputedStyle(maps).outlineStyle;";
    assert_eq!(browser.evaluate(outline), "solid", "the focus can be seen");

    assert_matrix(&browser);
    let errors = browser.console();
    assert!(errors.is_empty(), "{errors:?}");
}

/// Layers that the networks with a name do not have.
#[test]
fn pooling_and_functions_are_traced_too() {
    let Some(browser) = Browser::start() else {
        println!("skipped: chromedriver is not installed");
        return;
    };
    let mut rng = Pcg64::seed_from_u64(3);
    let overlapping = Pool2dConfig {
        stride: [2, 3],
        padding: [1, 1],
        ceil_mode: true,
        count_include_pad: false,
        ..Pool2dConfig::new([3, 2])
    };
    let padded = Pool2dConfig { padding: [1, 0], stride: [2, 2], ..Pool2dConfig::new([3, 2]) };
    let convolution = topedge::nn::layers::Conv2dConfig::default();
    // With places that no input reaches.
    let up = ConvTranspose2dConfig {
        stride: [2, 3],
        padding: [1, 0],
        output_padding: [1, 1],
        ..Default::default()
    };
    let network = Sequential::new()
        .push(MaxPool2d(Pool2dConfig { stride: [1, 1], ..Pool2dConfig::new([2, 2]) }))
        .push(Conv2d::new(1, 3, [4, 3], &convolution, &mut rng).unwrap())
        .push(LeakyRelu::default())
        .push(AvgPool2d(overlapping))
        .push(Sigmoid)
        .push(MaxPool2d(padded))
        .push(Dropout::new(0.5).unwrap())
        .push(AvgPool2d(padded))
        .push(AdaptiveMaxPool2d { output_size: [2, 2] })
        .push(AdaptiveAvgPool2d { output_size: [1, 2] })
        .push(ConvTranspose2d::new(3, 2, [3, 2], &up, &mut rng).unwrap())
        .push(Flatten)
        .push(Linear::new(24, 10, &LinearConfig::default(), &mut rng).unwrap());
    let splits = digits::generate(&Digits { train: 64, valid: 20, seed: 1 }).unwrap();
    let data = DataLoaders::new(&splits, &LoadersConfig::default()).unwrap();
    let mut learner = Learner::new(data, network, CrossEntropy::default());
    let html = topedge::training_page(&mut learner, "layers", vec![]).unwrap();
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("page.html"), html).unwrap();
    browser.open(&dir.path().join("page.html").canonicalize().unwrap());
    for layer in 1..=13 {
        browser.click(&format!("#trace-layers button:nth-child({layer})"), 0, 0);
        assert_traced(&browser, &mut *learner.state.model);
        browser.click("#trace-maps", 9, 9);
        assert_traced(&browser, &mut *learner.state.model);
    }
    assert!(browser.console().is_empty(), "{:?}", browser.console());
}

/// The matrix is that of Rust, and follows what is typed.
fn assert_matrix(browser: &Browser) {
    let matrix = ConvMatrix::new([1, 4, 4], [1, 1, 3, 3], &Conv2dConfig::default()).unwrap();
    let entries = "return [...document.querySelectorAll('#matrix-entries td[data-weight]')]
        .map((cell) => cell.dataset.weight);";
    let entries = browser.evaluate(entries);
    for (i, entry) in entries.as_array().unwrap().iter().enumerate() {
        let weight = matrix.weight_index(i / matrix.columns(), i % matrix.columns());
        assert_eq!(*entry, weight.map_or(String::new(), |weight| weight.to_string()));
    }
    let outputs = |browser: &Browser| -> Vec<f64> {
        let script = "return [...document.querySelectorAll('#matrix-output button')]
            .map((place) => Number(place.dataset.value));";
        browser.evaluate(script).as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let pixel = "return Number(document.querySelector('#matrix-image input').value);";
    let (before, pixel) = (outputs(browser), browser.evaluate(pixel).as_f64().unwrap());
    // The first weight of the top-edge kernel is -1; a 5 typed at its end makes -15 of it.
    browser.click("#matrix-kernel input", 0, 0);
    browser.press('\u{e010}');
    browser.press('5');
    let weight = "return Number(document.querySelector('#matrix-kernel input').value);";
    assert_eq!(browser.evaluate(weight), -15.0);
    assert!((outputs(browser)[0] - (before[0] - 14.0 * pixel)).abs() < 1e-9);
}
