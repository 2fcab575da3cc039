//! The table of layers.

use topedge_nn::{LayerSummary, Summary};
use topedge_report::Table;

const COLUMNS: [(&str, bool); 6] = [
    ("layer", false),
    ("type", false),
    ("output", false),
    ("parameters", true),
    ("multiply-adds", true),
    ("receptive field", true),
];

/// A row for each layer, and one for all of them.
pub(super) fn table(summary: &Summary) -> Table {
    let row = |layer: &LayerSummary| {
        let shape: Vec<_> = layer.output_shape.iter().map(usize::to_string).collect();
        vec![
            layer.path.clone(),
            layer.layer.clone(),
            shape.join("×"),
            count(layer.parameters),
            count(layer.multiply_adds),
            layer.receptive_field.map_or("all".to_string(), |[h, w]| format!("{h}×{w}")),
        ]
    };
    let [none, all] = ["", "all layers"].map(str::to_string);
    let totals = [summary.parameters(), summary.multiply_adds()].map(count);
    let totals = [&[none.clone(), all, none.clone()][..], &totals, &[none]].concat();
    Table {
        columns: COLUMNS.map(|(name, number)| (name.to_string(), number)).into(),
        rows: summary.layers.iter().map(row).chain([totals]).collect(),
    }
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
