//! The table of layers.

use topedge_nn::{LayerSummary, Summary};
use topedge_report::Table;

const COLUMNS: [(&str, bool); 7] = [
    ("layer", false),
    ("type", false),
    ("output", false),
    ("parameters", true),
    ("multiply-adds", true),
    ("receptive field", true),
    ("activation bytes", true),
];

/// Those of a network that was trained under a `Profiler`: times for one image.
const MEASURED: [(&str, bool); 3] =
    [("forward µs", true), ("backward µs", true), ("GFLOP/s", true)];

/// A row for each layer, and one for all of them.
pub(super) fn table(summary: &Summary) -> Table {
    let measured = summary.layers.iter().any(|layer| layer.measured.is_some());
    let times = |layer: &LayerSummary| {
        let found = layer.measured.map(|times| {
            let gflops = times.gflops.map_or(String::new(), |gflops| format!("{gflops:.0}"));
            vec![micros(times.forward_seconds), micros(times.backward_seconds), gflops]
        });
        found.unwrap_or(vec![String::new(); MEASURED.len()])
    };
    let row = |layer: &LayerSummary| {
        let shape: Vec<_> = layer.output_shape.iter().map(usize::to_string).collect();
        let mut row = vec![
            layer.path.clone(),
            layer.layer.clone(),
            shape.join("×"),
            count(layer.parameters),
            count(layer.multiply_adds),
            layer.receptive_field.map_or("all".to_string(), |[h, w]| format!("{h}×{w}")),
            count(layer.activation_bytes),
        ];
        if measured {
            row.extend(times(layer));
        }
        row
    };
    let bytes = summary.layers.iter().map(|layer| layer.activation_bytes).sum();
    let none = String::new();
    let mut totals = vec![none.clone(), "all layers".to_string(), none.clone()];
    totals.extend([summary.parameters(), summary.multiply_adds()].map(count));
    totals.extend([none.clone(), count(bytes)]);
    if measured {
        let all = || summary.layers.iter().filter_map(|layer| layer.measured);
        totals.push(micros(all().map(|times| times.forward_seconds).sum()));
        totals.push(micros(all().map(|times| times.backward_seconds).sum()));
        totals.push(none);
    }
    let columns = COLUMNS.into_iter().chain(MEASURED.into_iter().filter(|_| measured));
    Table {
        columns: columns.map(|(name, number)| (name.to_string(), number)).collect(),
        rows: summary.layers.iter().map(row).chain([totals]).collect(),
    }
}

fn micros(seconds: f64) -> String {
    format!("{:.3}", 1e6 * seconds)
}

/// With thin spaces between thousands; nothing for 0.
fn count(n: usize) -> String {
    let digits = if n == 0 { String::new() } else { n.to_string() };
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;
    use topedge_nn::callbacks::Profiler;

    #[test]
    fn times_are_columns_where_they_were_measured() {
        let splits = digits::generate(&Digits { train: 64, valid: 10, seed: 1 }).unwrap();
        let data = DataLoaders::new(&splits, &LoadersConfig::default()).unwrap();
        let net =
            Net::SimpleCnn2.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(1)).unwrap();
        let mut learner =
            Learner::new(data, net, CrossEntropy::default()).callback(Profiler::default());
        let before = table(&learner.summary().unwrap());
        assert_eq!(before.columns.len(), 7);
        learner.fit(1, 0.01).unwrap();
        let after = table(&learner.summary().unwrap());
        assert!(after.rows.iter().all(|row| row.len() == 10), "{after:?}");
        assert!(after.rows[0][7].parse::<f64>().unwrap() > 0.0, "{after:?}");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
    }
}
