//! What losses tell.

use super::{
    ENOUGH_BATCHES, Evidence, Finding, FindingKind, Severity, mean, short_number, smaller_steps,
};

/// A learning rate below which nothing is learnt, and nothing spoilt.
const VERY_LOW: f64 = 1e-5;

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
    // Small batches differ by themselves.
    if evidence.lrs.get(batch).is_some_and(|&lr| lr < VERY_LOW) {
        return None;
    }
    let rate = evidence
        .lrs
        .get(batch)
        .map_or(String::new(), |&lr| format!(" at a rate of {}", short_number(lr)));
    Some(Finding {
        severity: Severity::Warning,
        kind: FindingKind::RateTooHigh,
        layer: None,
        batch: Some(batch),
        text: format!(
            "The rate is too high for the start: the loss rises from {} to {} in batch {batch}{rate}",
            short_number(first),
            short_number(highest)
        ),
        advice: smaller_steps(evidence),
    })
}

/// A loss that ends no lower than `ln(classes)`, that of a network which takes all classes for equally
/// likely, or where it began. Of a network whose layers were broken on the way, that is why.
pub(super) fn never_moved(evidence: &Evidence<'_>, was_broken: bool) -> Option<Finding> {
    let losses = evidence.losses;
    if losses.len() < ENOUGH_BATCHES {
        return None;
    }
    let smooth = |range: &[f32]| mean(range.iter().map(|&loss| f64::from(loss)));
    let window = (losses.len() / 10).max(5);
    let end = smooth(&losses[losses.len() - window..]);
    let first = smooth(&losses[..5]);
    let guess = (evidence.classes as f64).ln();
    let no_lower = evidence.classes > 1 && end > 0.95 * guess;
    let began_there = (end / first - 1.0).abs() < 0.02 && (end / guess - 1.0).abs() >= 0.05;
    if !no_lower && !began_there {
        return None;
    }
    let near = |loss: &f64| (loss / end - 1.0).abs() < 0.1;
    let windows: Vec<f64> = losses.windows(5).map(smooth).collect();
    let since = windows.iter().rposition(|loss| !near(loss)).map_or(0, |last| last + 1);
    // Where it was halfway.
    let middle = losses.len() / 2;
    let falls = end < 0.99 * smooth(&losses[middle - window / 2..middle + window.div_ceil(2)]);
    let (than_a_guess, as_a_guess) =
        if end > 1.05 * guess { ("higher", "what it would be") } else { ("no lower", "as") };
    let what = match began_there {
        false => format!(
            "{}, {than_a_guess} than ln {} = {guess:.2}, {as_a_guess} if all classes were equally likely",
            short_number(end),
            evidence.classes,
        ),
        true => format!("{}, where it began", short_number(end)),
    };
    let lr = evidence.lrs.iter().copied().fold(0.0, f64::max);
    let advice = if lr > 0.0 && lr < VERY_LOW {
        format!("a rate of {} is very low: see what lr_find suggests", short_number(lr))
    } else if was_broken {
        smaller_steps(evidence)
    } else if falls {
        "it still falls: a higher rate (see what lr_find suggests), or more epochs".to_string()
    } else {
        "see whether the labels fit the images (show-batch), and what rate lr_find suggests"
            .to_string()
    };
    let text = match falls {
        true => format!("The network has hardly learned: the loss is down to {what}"),
        false => format!("The loss stands at {what}, since batch {since}"),
    };
    Some(Finding {
        severity: Severity::Failure,
        kind: FindingKind::NeverMoved,
        layer: None,
        batch: Some(since),
        text,
        advice,
    })
}

/// A validation loss that has risen by a tenth since its best epoch, while the training loss fell below
/// four fifths of it; or one that has been far above the training loss for a third of the epochs.
pub(super) fn overfitting(evidence: &Evidence<'_>) -> Option<Finding> {
    let pairs = evidence.rows.iter().map(|row| Some((row.train_loss?, row.valid_loss?)));
    let losses: Vec<(f64, f64)> = pairs.collect::<Option<_>>()?;
    let best = (0..losses.len()).min_by(|&a, &b| losses[a].1.total_cmp(&losses[b].1))?;
    let (best_train, best_valid) = losses[best];
    let &(train, valid) = losses.last()?;
    let rises = valid > 1.1 * best_valid && train < best_train && train < 0.8 * valid;
    // Of networks that are nearly always right both losses are small, and may differ by much.
    let far = |&(train, valid): &(f64, f64)| valid > 3.0 * train && valid > train + 0.1;
    let gap = losses.iter().rposition(|pair| !far(pair)).map_or(0, |last| last + 1);
    let stays = losses.len() - gap >= (losses.len() / 3).max(3);
    let epoch = if rises { best } else { gap };
    let batch = evidence.losses.len() / losses.len() * (epoch + usize::from(rises));
    let text = if rises {
        format!(
            "Overfitting since epoch {best}, batch {batch}: since then the validation loss has risen from \
             {} to {}, while the training loss fell to {}",
            short_number(best_valid),
            short_number(valid),
            short_number(train)
        )
    } else if stays {
        format!(
            "Overfitting since epoch {gap}, batch {batch}: the validation loss stays far above the training \
             loss, at the end {} to {}",
            short_number(valid),
            short_number(train)
        )
    } else {
        return None;
    };
    Some(Finding {
        severity: Severity::Warning,
        kind: FindingKind::Overfitting,
        layer: None,
        batch: Some(batch),
        text,
        advice:
            "keep the best epoch (save_model, early_stopping); more images, mixup, dropout or more \
                 weight decay"
                .to_string(),
    })
}
