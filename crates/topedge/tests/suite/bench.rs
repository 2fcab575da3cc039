//! `topedge bench`, on its smallest layer.

use tempfile::tempdir;

use crate::{assert_fields, json, succeed};

#[test]
fn figures_for_programs_and_for_people() {
    let dir = tempdir().unwrap();
    let bench = ["bench", "--layers", "book5", "--isa", "portable", "--threads", "2"];
    let lines = succeed(dir.path(), &[&bench[..], &["--json"]].concat());
    assert_eq!(lines.len(), 7, "{lines:?}");
    for (i, line) in lines.iter().enumerate() {
        let value = json(line);
        let threads = if i < 4 { i % 2 + 1 } else { 2 };
        assert_eq!(value["threads"], threads, "{line}");
        match i {
            0..2 => {
                assert_fields(line, &["event", "isa", "threads", "gflops", "lowest_gflops"]);
                assert!(value["lowest_gflops"].as_f64() <= value["gflops"].as_f64(), "{line}");
                assert_eq!((&value["event"], &value["isa"]), (&"peak".into(), &"portable".into()));
            }
            2..4 => assert_fields(line, &["event", "threads", "gigabytes_per_second"]),
            _ => {
                let fields =
                    ["layer", "pass", "threads", "ms", "gflops", "percent_of_peak", "format"];
                assert_fields(line, &fields);
                assert_eq!(value["layer"], "book5");
                let pass = ["forward", "backward_input", "backward_weight"][i - 4];
                assert_eq!(value["pass"], pass);
                let [ms, gflops, percent] =
                    ["ms", "gflops", "percent_of_peak"].map(|field| value[field].as_f64().unwrap());
                // 2x2 images of 64 channels become one place of 10, through kernels of 3x3.
                let operations = 2.0 * 512.0 * 64.0 * 10.0 * 9.0;
                assert!((operations / ms / 1e6 / gflops - 1.0).abs() < 1e-6, "{line}");
                let peak = json(&lines[1])["gflops"].as_f64().unwrap();
                assert!((100.0 * gflops / peak / percent - 1.0).abs() < 1e-6, "{line}");
            }
        }
    }
    let text = succeed(dir.path(), &bench[..5]).join("\n");
    for part in [
        "portable, multiply-adds",
        "memory copied",
        "backward weight",
        "book5",
        "padding",
        "Winograd",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
