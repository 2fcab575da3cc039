//! What losses tell.

use super::{Evidence, Finding, FindingKind, SMALLER_STEPS, Severity, mean};

/// Fewer batches tell nothing of a loss: it may well still move.
const FEWEST: usize = 20;

/// A loss that rises in the first tenth of the run, and in ten batches at least, by a quarter of what
/// it was.
pub(super) fn rate_too_high(evidence: &Evidence<'_>) -> Option<Finding> {
    /// One batch alone may be hard.
    const WINDOW: usize = 3;
    let losses = evidence.losses;
    let first = f64::from(*losses.first()?);
    let start = &losses[1..losses.len().min((losses.len() / 10).max(10))];
    let windows = start.windows(WINDOW).map(|window| mean(window.iter().map(|&l| f64::from(l))));
    let (place, highest) = windows.enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    if highest <= 1.25 * first {
        return None;
    }
    let batch = 1 + place;
    let rate =
        evidence.lrs.get(batch).map_or(String::new(), |lr| format!(" at a rate of {lr:.2e}"));
    Some(Finding {
        severity: Severity::Warning,
        kind: FindingKind::RateTooHigh,
        layer: None,
        batch: Some(batch),
        text: format!(
            "the rate is too high for the start: the loss rises from {first:.2} to {highest:.2} in batch \
             {batch}{rate}"
        ),
        advice: SMALLER_STEPS.to_string(),
    })
}

/// A loss that ends at `ln(classes)`, that of a network which takes all classes for equally likely, or
/// where it began.
pub(super) fn never_moved(evidence: &Evidence<'_>) -> Option<Finding> {
    let losses = evidence.losses;
    if losses.len() < FEWEST {
        return None;
    }
    let smooth = |range: &[f32]| mean(range.iter().map(|&loss| f64::from(loss)));
    let window = losses.len() / 10;
    let end = smooth(&losses[losses.len() - window.max(5)..]);
    let first = smooth(&losses[..5]);
    let guess = (evidence.classes as f64).ln();
    let at_guess = evidence.classes > 1 && (end / guess - 1.0).abs() < 0.05;
    if !at_guess && (end / first - 1.0).abs() >= 0.02 {
        return None;
    }
    let near = |loss: &f64| (loss / end - 1.0).abs() < 0.1;
    let windows: Vec<f64> = losses.windows(5).map(smooth).collect();
    let since = windows.iter().rposition(|loss| !near(loss)).map_or(0, |last| last + 1);
    let what = match at_guess {
        true => format!(
            "stands at {end:.2}, ln {} = {guess:.2}: for the network all classes are equally likely",
            evidence.classes
        ),
        false => format!("stands at {end:.2}, where it began"),
    };
    let lr = evidence.lrs.iter().copied().fold(0.0, f64::max);
    let advice = match lr {
        lr if lr > 0.0 && lr < 1e-5 => {
            format!("a rate of {lr:.1e} is very low: see what lr_find suggests")
        }
        _ if since > 0 => SMALLER_STEPS.to_string(),
        _ => format!(
            "see what rate lr_find suggests, and whether labels fit the images; {SMALLER_STEPS}"
        ),
    };
    Some(Finding {
        severity: Severity::Failure,
        kind: FindingKind::NeverMoved,
        layer: None,
        batch: Some(since),
        text: format!("the loss {what}, since batch {since}"),
        advice,
    })
}

/// A validation loss that has risen by a tenth since its best epoch, while the training loss fell below
/// four fifths of it.
pub(super) fn overfitting(evidence: &Evidence<'_>) -> Option<Finding> {
    let pairs = evidence.rows.iter().map(|row| Some((row.train_loss?, row.valid_loss?)));
    let losses: Vec<(f64, f64)> = pairs.collect::<Option<_>>()?;
    let best = (0..losses.len()).min_by(|&a, &b| losses[a].1.total_cmp(&losses[b].1))?;
    let (best_train, best_valid) = losses[best];
    let &(train, valid) = losses.last()?;
    if valid <= 1.1 * best_valid || train >= best_train || train >= 0.8 * valid {
        return None;
    }
    let batch = evidence.losses.len() / losses.len() * (best + 1);
    Some(Finding {
        severity: Severity::Warning,
        kind: FindingKind::Overfitting,
        layer: None,
        batch: Some(batch),
        text: format!(
            "overfitting since epoch {best}, batch {batch}: since then the validation loss has risen from \
             {best_valid:.3} to {valid:.3}, while the training loss fell to {train:.3}"
        ),
        advice:
            "keep the best epoch (save_model, early_stopping); more images, mixup, dropout or more \
                 weight decay"
                .to_string(),
    })
}
