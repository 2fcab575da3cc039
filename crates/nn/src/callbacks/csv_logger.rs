//! The epochs in a CSV file.

use std::any::TypeId;
use std::path::PathBuf;

use topedge_data::write_whole;

use super::Recorder;
use crate::error::{Error, Result};
use crate::learner::{Callback, EpochRow, Flow, State};
use crate::saved_state::SavedState;

/// Keeps the rows of the fit in a CSV file: `epoch,train_loss,valid_loss`, the metrics, `time` in
/// seconds. The file is written whole after each epoch, so that an interrupted fit leaves its rows
/// too; a value that there is not is left empty.
#[derive(Clone, Debug)]
pub struct CsvLogger {
    path: PathBuf,
    rows: Vec<EpochRow>,
}

impl CsvLogger {
    /// Writes to `path`; what stands there is replaced at the end of the first epoch.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        CsvLogger { path: path.into(), rows: vec![] }
    }

    fn write(&self) -> Result<()> {
        let bytes = table(&self.rows).map_err(|error| Error::Io {
            action: "write",
            path: self.path.clone(),
            error: error.into(),
        })?;
        write_whole(&self.path, &bytes).map_err(Error::io("write", &self.path))
    }
}

impl Callback for CsvLogger {
    fn name(&self) -> &'static str {
        "csv_logger"
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::of(&mut self.rows)
    }

    fn run_after(&self) -> Vec<TypeId> {
        vec![TypeId::of::<Recorder>()]
    }

    fn before_fit(&mut self, _: &mut State) -> Flow {
        self.rows.clear();
        Ok(())
    }

    fn after_resume(&mut self, _: &mut State) -> Flow {
        // Whatever has become of the file since.
        if self.rows.is_empty() { Ok(()) } else { Ok(self.write()?) }
    }

    fn after_epoch(&mut self, state: &mut State) -> Flow {
        self.rows.extend(state.row.clone());
        Ok(self.write()?)
    }
}

fn table(rows: &[EpochRow]) -> csv::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(vec![]);
    if let Some(row) = rows.first() {
        let metrics = row.metrics.iter().map(|(name, _)| &**name);
        let names = ["epoch", "train_loss", "valid_loss"].into_iter();
        writer.write_record(names.chain(metrics).chain(["time"]))?;
    }
    for row in rows {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let mut record =
            vec![row.epoch.to_string(), number(row.train_loss), number(row.valid_loss)];
        record.extend(row.metrics.iter().map(|(_, value)| number(*value)));
        record.push(format!("{:.3}", row.seconds));
        writer.write_record(record)?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let row = |epoch, valid_loss, accuracy| EpochRow {
            epoch,
            train_loss: Some(0.5),
            valid_loss,
            metrics: vec![("accuracy".to_string(), accuracy)],
            seconds: 1.23456,
            train_seconds: 1.0,
        };
        let rows = [row(0, Some(0.25), Some(0.75)), row(1, None, None)];
        let expected = "epoch,train_loss,valid_loss,accuracy,time\n\
                        0,0.5,0.25,0.75,1.235\n\
                        1,0.5,,,1.235\n";
        assert_eq!(String::from_utf8(table(&rows).unwrap()).unwrap(), expected);
        assert_eq!(table(&[]).unwrap(), b"");
    }
}
