//! What activations tell.

use super::{
    ENOUGH_BATCHES, Evidence, Finding, FindingKind, Severity, mean, short_number, smaller_steps,
};
use crate::callbacks::LayerStats;

/// A layer with more near zero is dead. The layers of runs that learn well stay below .9.
const DEAD: f64 = 0.95;

/// A layer is dead from the batch after the last in which less than this was near zero.
const ALIVE: f64 = 0.9;

/// Dead layers, at the end of the record. The last layer does not count: of its scores all but one are
/// rightly negative.
pub(super) fn dead(evidence: &Evidence<'_>) -> Option<Finding> {
    let (_, hidden) = evidence.layers.split_last()?;
    let dead: Vec<(&LayerStats, f64)> = hidden
        .iter()
        .filter(|layer| layer.near_zero.len() >= ENOUGH_BATCHES)
        .map(|layer| {
            let tail = layer.near_zero.len() / 10;
            (layer, mean(layer.near_zero[layer.near_zero.len() - tail.max(2)..].iter().copied()))
        })
        .filter(|(_, near_zero)| *near_zero >= DEAD)
        .collect();
    // The deadest shows the matter best; among equals the first.
    let worst = |a: &(_, f64), b: &(_, f64)| b.1.total_cmp(&a.1);
    let (layer, near_zero) = *dead.iter().min_by(|a, b| worst(a, b))?;
    let since = layer.near_zero.iter().rposition(|&part| part < ALIVE).map_or(0, |last| last + 1);
    let mut text = format!(
        "Layer {}, {}: {:.0} % near zero since batch {since}",
        layer.path,
        layer.layer,
        100.0 * near_zero
    );
    text += &others(dead.iter().map(|(layer, _)| *layer), layer, "above 95 %");
    Some(Finding {
        severity: if near_zero >= 0.99 { Severity::Failure } else { Severity::Warning },
        kind: FindingKind::DeadLayer,
        layer: Some(layer.path.clone()),
        batch: Some(since),
        text,
        advice: smaller_steps(evidence),
    })
}

/// A rise of the standard deviation, and a fall to a quarter or less.
struct Fall {
    peak: f64,
    /// The batch in which it was down to a quarter.
    batch: usize,
    lowest: f64,
    /// Whether it has grown to four times its lowest afterwards.
    regrown: bool,
}

fn falls(std: &[f64]) -> Vec<Fall> {
    const DEPTH: f64 = 4.0;
    let mut falls: Vec<Fall> = vec![];
    let mut peak = 0.0_f64;
    let mut down = false;
    for (batch, &std) in std.iter().enumerate() {
        match falls.last_mut() {
            Some(fall) if down => {
                fall.lowest = fall.lowest.min(std);
                // From here on it rises, and may fall again.
                if std > DEPTH * fall.lowest {
                    (fall.regrown, down, peak) = (true, false, std);
                }
            }
            _ => {
                peak = peak.max(std);
                if std < peak / DEPTH {
                    falls.push(Fall { peak, batch, lowest: std, regrown: false });
                    down = true;
                }
            }
        }
    }
    falls
}

/// Collapses: where activations shrink to a quarter of what they were. The last layer does not count:
/// scores that were too sure shrink rightly.
pub(super) fn collapse(evidence: &Evidence<'_>) -> Option<Finding> {
    let (_, hidden) = evidence.layers.split_last()?;
    let layers = hidden.iter().filter(|layer| layer.std.len() >= ENOUGH_BATCHES);
    let falling: Vec<(&LayerStats, Vec<Fall>)> = layers
        .map(|layer| (layer, falls(&layer.std)))
        .filter(|(_, falls)| !falls.is_empty())
        .collect();
    // The deepest fall shows it best; of equals the first.
    let depth = |fall: &Fall| fall.peak / fall.lowest;
    let all =
        falling.iter().flat_map(|(layer, falls)| falls.iter().map(move |fall| (*layer, fall)));
    let (layer, fall) = all.min_by(|a, b| depth(b.1).total_cmp(&depth(a.1)))?;
    let regrown = falling.iter().map(|(_, falls)| falls.iter().filter(|fall| fall.regrown).count());
    let regrown = regrown.max().unwrap_or(0);
    let mut text = format!(
        "Layer {}, {}: activations collapse in batch {}, from a standard deviation of {} to {}",
        layer.path,
        layer.layer,
        fall.batch,
        short_number(fall.peak),
        short_number(fall.lowest)
    );
    if regrown > 0 {
        let times = if regrown == 1 { "once".to_string() } else { format!("{regrown} times") };
        text += &format!(", and layers regrow {times}");
    }
    text += &others(falling.iter().map(|(layer, _)| *layer), layer, "too");
    Some(Finding {
        severity: Severity::Warning,
        kind: FindingKind::Collapse,
        layer: Some(layer.path.clone()),
        batch: Some(fall.batch),
        text,
        advice: smaller_steps(evidence),
    })
}

/// Activations in the thousands. Those of healthy networks, whose inputs are normalised, stay below a
/// hundred.
pub(super) fn exploding(evidence: &Evidence<'_>) -> Option<Finding> {
    const LARGEST: f64 = 1000.0;
    let size = |layer: &LayerStats, batch: usize| {
        let (mean, std) = (layer.mean[batch].abs(), layer.std[batch]);
        if mean.is_nan() { f64::INFINITY } else { mean.max(std) }
    };
    let start = |layer: &LayerStats| {
        let batches = layer.mean.len().min(layer.std.len());
        (0..batches).find(|&batch| size(layer, batch) > LARGEST)
    };
    let layers = evidence.layers.iter();
    let exploding: Vec<_> = layers.filter_map(|layer| Some((layer, start(layer)?))).collect();
    let &(layer, batch) = exploding.iter().min_by_key(|(_, batch)| *batch)?;
    let mut text = format!(
        "Layer {}, {}: activations explode, to a mean of {} and a standard deviation of {} in batch {batch}",
        layer.path,
        layer.layer,
        short_number(layer.mean[batch]),
        short_number(layer.std[batch])
    );
    text += &others(exploding.iter().map(|(layer, _)| *layer), layer, "too");
    Some(Finding {
        severity: Severity::Failure,
        kind: FindingKind::Exploding,
        layer: Some(layer.path.clone()),
        batch: Some(batch),
        text,
        advice: format!(
            "{}; clip gradients; see that the images are normalised",
            smaller_steps(evidence)
        ),
    })
}

/// ` (layers 1.0, 2.0 above 95 %)`: the layers besides `named` for which it is true as well.
fn others<'a>(
    layers: impl Iterator<Item = &'a LayerStats>,
    named: &LayerStats,
    what: &str,
) -> String {
    let others: Vec<_> =
        layers.filter(|layer| layer.path != named.path).map(|layer| &*layer.path).collect();
    match others.len() {
        0 => String::new(),
        1 => format!(" (layer {} {what})", others[0]),
        _ => format!(" (layers {} {what})", others.join(", ")),
    }
}
