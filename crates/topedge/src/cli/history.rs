//! `history.csv`: what came of each epoch of a run.

use std::path::Path;

use topedge::nn::EpochRow;

use super::failure::Failure;

/// Reads the file; an error names `path` and the line.
pub(crate) fn of_csv(text: &str, path: &Path) -> Result<Vec<EpochRow>, Failure> {
    const HEADER: &str = "epoch,train_loss,valid_loss,accuracy,time";
    let wrong = |line: usize, expected: &str| {
        Failure::Failed(format!("{}: line {line}: expected {expected}", path.display()))
    };
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err(wrong(1, HEADER));
    }
    let row = |(i, line): (usize, &str)| {
        let number = |cell: &str| match cell {
            "" => Ok(None),
            cell => cell.parse().map(Some).map_err(|_| wrong(i + 2, "numbers")),
        };
        let cells: Vec<Option<f64>> = line.split(',').map(number).collect::<Result<_, _>>()?;
        let [epoch, train_loss, valid_loss, accuracy, seconds] = cells[..] else {
            return Err(wrong(i + 2, HEADER));
        };
        if epoch != Some(i as f64) {
            return Err(wrong(i + 2, &format!("epoch {i}")));
        }
        let seconds = seconds.unwrap_or(0.0);
        let metrics = vec![("accuracy".to_string(), accuracy)];
        Ok(EpochRow { epoch: i, train_loss, valid_loss, metrics, seconds, train_seconds: seconds })
    };
    lines.enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "epoch,train_loss,valid_loss,accuracy,time\n\
                           0,0.5,0.25,0.75,1.235\n\
                           1,0.25,,,1.100\n";

    #[test]
    fn what_is_written_is_read() {
        let rows = of_csv(WRITTEN, Path::new("x")).unwrap();
        let [first, second] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((first.train_loss, first.valid_loss), (Some(0.5), Some(0.25)));
        assert_eq!((first.metric("accuracy"), first.seconds), (Some(0.75), 1.235));
        assert_eq!((second.epoch, second.valid_loss), (1, None));
    }

    #[test]
    fn what_is_damaged_is_refused_with_its_line() {
        for (damaged, expected) in [
            (String::new(), "line 1: expected epoch,"),
            (WRITTEN.replace("loss", "lost"), "line 1: expected epoch,"),
            (WRITTEN.replace("0.25", "0.2.5"), "line 2: expected numbers"),
            (WRITTEN.replace("\n1,", "\n3,"), "line 3: expected epoch 1"),
            (WRITTEN[..WRITTEN.len() - 7].to_string(), "line 3: expected epoch,"),
        ] {
            let error = of_csv(&damaged, Path::new("run/history.csv")).unwrap_err().to_string();
            assert!(error.contains("run/history.csv") && error.contains(expected), "{error}");
        }
    }
}
