//! `batches.csv`: what was recorded in each training batch of a run.
//!
//! `batch,loss,smoothed_loss,lr,momentum`, then `PATH KIND mean`, `PATH KIND std` and
//! `PATH KIND near_zero` for each layer. A value that there is not is left empty.

use std::path::Path;

use topedge::nn::callbacks::{ActivationStats, LayerStats, Recorder};
use topedge::nn::optim::Hyper;

use super::failure::Failure;

const COLUMNS: [&str; 5] = ["batch", "loss", "smoothed_loss", "lr", "momentum"];
const STATISTICS: [&str; 3] = ["mean", "std", "near_zero"];

/// The file. Seven digits are what an `f32` has, and enough for a curve.
pub(crate) fn to_csv(recorder: &Recorder, stats: &ActivationStats) -> Vec<u8> {
    let mut text = COLUMNS.join(",");
    for layer in &stats.layers {
        for statistic in STATISTICS {
            text += &format!(",{} {} {statistic}", layer.path, layer.layer);
        }
    }
    text.push('\n');
    let hypers = [Hyper::Lr, Hyper::Momentum].map(|hyper| recorder.hyper(hyper));
    let [lr, momentum] = hypers;
    for (i, loss) in recorder.losses.iter().enumerate() {
        text += &format!("{i},{loss}");
        let each = stats.layers.iter().flat_map(|l| [&l.mean[..], &l.std, &l.near_zero]);
        for values in [&recorder.smoothed_losses, lr, momentum].into_iter().chain(each) {
            text.push(',');
            if let Some(&value) = values.get(i) {
                text += &(value as f32).to_string();
            }
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// Reads what [`to_csv`] has written; an error names `path` and the line.
pub(crate) fn of_csv(text: &str, path: &Path) -> Result<(Recorder, ActivationStats), Failure> {
    let wrong = |line: usize, expected: &str, found: &str| {
        let found: String = found.chars().take(60).collect();
        let path = path.display();
        Failure::Failed(format!("{path}: line {line}: expected {expected}, found {found:?}"))
    };
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let columns = header.strip_prefix(&COLUMNS[..]);
    let columns = columns.ok_or_else(|| wrong(1, &COLUMNS.join(","), &header.join(",")))?;
    let mut layers = vec![];
    for three in columns.chunks(STATISTICS.len()) {
        let layer = three[0].strip_suffix(" mean").and_then(|layer| layer.split_once(' '));
        let ends = three.iter().map(|name| name.rsplit(' ').next());
        let (path, layer) = layer
            .filter(|_| ends.eq(STATISTICS.map(Some)))
            .ok_or_else(|| wrong(1, "mean, std and near_zero of a layer", &three.join(",")))?;
        let (path, layer) = (path.to_string(), layer.to_string());
        layers.push(LayerStats { path, layer, ..Default::default() });
    }

    let (mut recorder, mut stats) = (Recorder::default(), ActivationStats::default());
    let (mut lr, mut momentum) = (vec![], vec![]);
    for (i, line) in lines.enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        if cells.len() != header.len() {
            return Err(wrong(i + 2, &format!("{} values", header.len()), line));
        }
        if cells[0] != i.to_string() {
            return Err(wrong(i + 2, &format!("batch {i}"), cells[0]));
        }
        let not_a_number = |cell: &str| wrong(i + 2, "a number", cell);
        recorder.losses.push(cells[1].parse().map_err(|_| not_a_number(cells[1]))?);
        let each = layers.iter_mut().flat_map(|l| [&mut l.mean, &mut l.std, &mut l.near_zero]);
        let series = [&mut recorder.smoothed_losses, &mut lr, &mut momentum];
        for (values, cell) in series.into_iter().chain(each).zip(&cells[2..]) {
            if !cell.is_empty() {
                values.push(cell.parse().map_err(|_| not_a_number(cell))?);
            }
        }
    }
    recorder.hypers = vec![(Hyper::Lr, lr), (Hyper::Momentum, momentum)];
    stats.layers = layers;
    Ok((recorder, stats))
}

#[cfg(test)]
mod tests {
    use topedge::nn::callbacks::Histograms;

    use super::*;

    fn run() -> (Recorder, ActivationStats) {
        let layer = |path: &str| LayerStats {
            path: path.to_string(),
            layer: "Conv2d".to_string(),
            mean: vec![0.5, -0.25],
            std: vec![1.0, f64::INFINITY],
            near_zero: vec![0.0, 1.0],
            histograms: Histograms::default(),
        };
        let (mut recorder, mut stats) = (Recorder::default(), ActivationStats::default());
        recorder.losses = vec![2.3, 0.1];
        recorder.smoothed_losses = vec![2.25, 1.125];
        recorder.hypers = vec![(Hyper::Lr, vec![0.5, 0.25])];
        stats.layers = vec![layer("0.0"), layer("1.0")];
        (recorder, stats)
    }

    fn written() -> String {
        let (recorder, stats) = run();
        String::from_utf8(to_csv(&recorder, &stats)).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let text = written();
        assert!(
            text.starts_with("batch,loss,smoothed_loss,lr,momentum,0.0 Conv2d mean,"),
            "{text}"
        );
        assert!(text.contains("\n0,2.3,2.25,0.5,,0.5,1,0,"), "{text}");
        let ((recorder, stats), read) = (run(), of_csv(&text, Path::new("x")).unwrap());
        assert_eq!(read.0.losses, recorder.losses);
        assert_eq!(read.0.smoothed_losses, recorder.smoothed_losses);
        assert_eq!(read.0.hyper(Hyper::Lr), recorder.hyper(Hyper::Lr));
        assert!(read.0.hyper(Hyper::Momentum).is_empty());
        assert_eq!(read.1.layers, stats.layers);
    }

    #[test]
    fn what_is_damaged_is_refused_with_its_line() {
        let text = written();
        for (damaged, expected) in [
            (String::new(), "line 1: expected batch,loss"),
            (text.replace("smoothed_loss", "smooth"), "line 1: expected batch,loss"),
            (text.replace("Conv2d std", "Conv2d"), "line 1: expected mean, std and near_zero"),
            (text.replace("\n1,0.1", "\n1,zero"), "line 3: expected a number, found \"zero\""),
            (text.replace("\n1,", "\n7,"), "line 3: expected batch 1, found \"7\""),
            (text[..text.len() - 5].to_string(), "line 3: expected 11 values"),
        ] {
            let error = of_csv(&damaged, Path::new("run/batches.csv")).unwrap_err().to_string();
            assert!(error.contains("run/batches.csv") && error.contains(expected), "{error}");
        }
    }
}
