//! `histograms.csv`: how the outputs of each layer were distributed in the training batches of a run.
//!
//! `layer`, then a column for each bin by its lower end. There is a row for each batch of a layer, or, where
//! there were many, for several in turn: the mean of their counts, rounded.

use std::path::Path;

use topedge::nn::callbacks::{ActivationStats, LayerStats};

use super::failure::Failure;

/// More rows of a layer than this no picture shows.
const ROWS: usize = 400;

const BINS: usize = 40;

fn header() -> String {
    let ends = (0..BINS).map(|bin| format!(",{}", bin as f64 * 0.25));
    "layer".to_string() + &ends.collect::<String>()
}

/// The file.
pub(crate) fn to_csv(stats: &ActivationStats) -> Vec<u8> {
    let mut text = header() + "\n";
    for layer in &stats.layers {
        let columns = layer.histograms.columns();
        for some in columns.chunks(columns.len().div_ceil(ROWS).max(1)) {
            text += &name(layer);
            for bin in 0..BINS {
                let count: f64 = some.iter().map(|histogram| f64::from(histogram[bin])).sum();
                text += &format!(",{:.0}", count / some.len() as f64);
            }
            text.push('\n');
        }
    }
    text.into_bytes()
}

/// Reads what [`to_csv`] has written into the layers of `stats`; an error names `path` and the line.
pub(crate) fn of_csv(text: &str, path: &Path, stats: &mut ActivationStats) -> Result<(), Failure> {
    let wrong = |line: usize, expected: &str| {
        Failure::Failed(format!("{}: line {line}: expected {expected}", path.display()))
    };
    let mut lines = text.lines();
    if lines.next() != Some(&header()) {
        return Err(wrong(1, &header()));
    }
    for (i, line) in lines.enumerate() {
        let (found, counts) = line.split_once(',').unwrap_or((line, ""));
        let layer = stats.layers.iter_mut().find(|layer| name(layer) == found);
        let layer = layer.ok_or_else(|| wrong(i + 2, "a layer of batches.csv"))?;
        let counts = counts.split(',').map(str::parse).collect::<Result<Vec<u32>, _>>();
        let counts = counts.ok().and_then(|counts| counts.try_into().ok());
        layer.histograms.push(&counts.ok_or_else(|| wrong(i + 2, "40 counts"))?);
    }
    Ok(())
}

fn name(layer: &LayerStats) -> String {
    format!("{} {}", layer.path, layer.layer)
}

#[cfg(test)]
mod tests {
    use topedge::nn::callbacks::Histograms;

    use super::*;

    fn stats(batches: u32) -> ActivationStats {
        let mut stats = ActivationStats::default();
        let mut histograms = Histograms::default();
        for batch in 0..batches {
            histograms.push(&std::array::from_fn(|bin| batch * 100 + bin as u32));
        }
        stats.layers = vec![LayerStats {
            path: "0.0".to_string(),
            layer: "Conv2d".to_string(),
            histograms,
            ..Default::default()
        }];
        stats
    }

    fn read(text: &str) -> Result<ActivationStats, Failure> {
        let mut read = stats(0);
        of_csv(text, Path::new("run/histograms.csv"), &mut read)?;
        Ok(read)
    }

    #[test]
    fn what_is_written_is_read_and_many_batches_share_rows() {
        let text = String::from_utf8(to_csv(&stats(3))).unwrap();
        assert!(text.starts_with("layer,0,0.25,0.5,") && text.contains("\n0.0 Conv2d,100,101,"));
        assert_eq!(read(&text).unwrap().layers, stats(3).layers);
        let many = read(&String::from_utf8(to_csv(&stats(1000))).unwrap()).unwrap();
        let rows = many.layers[0].histograms.columns();
        // Of batches 0, 1 and 2.
        assert_eq!((rows.len(), rows[0][0], rows[0][39]), (334, 100, 139));
    }

    #[test]
    fn what_is_damaged_is_refused_with_its_line() {
        let text = String::from_utf8(to_csv(&stats(3))).unwrap();
        for (damaged, expected) in [
            (String::new(), "line 1: expected layer,0,0.25"),
            (text.replace("\n0.0 Conv2d,1", "\n0.1 ReLU,1"), "line 3: expected a layer"),
            (text.replace(",139\n", "\n"), "line 3: expected 40 counts"),
            (text.replace(",139\n", ",-1\n"), "line 3: expected 40 counts"),
        ] {
            let error = read(&damaged).unwrap_err().to_string();
            assert!(error.contains("run/histograms.csv") && error.contains(expected), "{error}");
        }
    }
}
