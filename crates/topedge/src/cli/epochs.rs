//! Shows how training goes: a bar for the batches, a line for each epoch.

use std::any::TypeId;
use std::io;
use std::path::PathBuf;

use indicatif::ProgressBar;
use serde::Serialize;
use topedge::nn::optim::Hyper;
use topedge::nn::{Callback, EpochRow, Error, Flow, SavedState, State};
use topedge::prelude::Recorder;

use super::{output, progress};

/// The callback of the command line.
pub(crate) struct Epochs {
    json: bool,
    batch_size: usize,
    bar: ProgressBar,
    /// Batches of the pass that were done when the bar began.
    before: u64,
    rows: Vec<EpochRow>,
}

impl Epochs {
    fn begin_bar(&mut self, state: &State, before: usize) {
        self.bar = progress::batch_bar();
        self.before = before as u64;
        self.bar.set_length(state.data.train.batches() as u64);
        self.bar.set_position(self.before);
        self.bar.set_prefix(format!("epoch {}/{}", state.epoch + 1, state.epochs));
    }

    /// A table for people, or JSON for programs.
    pub(crate) fn new(json: bool, batch_size: usize) -> Self {
        Epochs { json, batch_size, bar: ProgressBar::hidden(), before: 0, rows: vec![] }
    }
}

impl Callback for Epochs {
    fn name(&self) -> &'static str {
        "epochs"
    }

    fn run_after(&self) -> Vec<TypeId> {
        vec![TypeId::of::<Recorder>()]
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::of(&mut self.rows)
    }

    fn before_fit(&mut self, _: &mut State) -> Flow {
        if !self.json {
            let header = ["epoch", "train_loss", "valid_loss", "accuracy", "time"];
            line(&row(header.map(String::from)))?;
        }
        Ok(())
    }

    fn after_resume(&mut self, state: &mut State) -> Flow {
        self.before_fit(state)?;
        if !self.json {
            // People see the whole table; a program has read its lines before.
            self.rows.iter().try_for_each(|row| line(&table_line(row)))?;
        }
        if state.is_training() && state.batch > 0 {
            self.begin_bar(state, state.batch);
        }
        Ok(())
    }

    fn before_train(&mut self, state: &mut State) -> Flow {
        self.begin_bar(state, 0);
        Ok(())
    }

    fn after_batch(&mut self, state: &mut State) -> Flow {
        if self.bar.is_hidden() || !state.is_training() {
            return Ok(());
        }
        self.bar.inc(1);
        let loss = state.smoothed_loss.unwrap_or(f64::NAN);
        let lr = state.optimizer.hyper(Hyper::Lr).unwrap_or(f64::NAN);
        let images = (self.bar.position() - self.before) as f64 * self.batch_size as f64;
        let rate = images / self.bar.elapsed().as_secs_f64();
        self.bar.set_message(format!("loss {loss:.4}  lr {lr:.4}  {rate:.0} images/s"));
        Ok(())
    }

    fn after_train(&mut self, _: &mut State) -> Flow {
        self.bar.set_message("validating");
        Ok(())
    }

    fn after_epoch(&mut self, state: &mut State) -> Flow {
        self.bar.finish_and_clear();
        if let Some(row) = &state.row {
            line(&if self.json { json_line(row)? } else { table_line(row) })?;
            self.rows.push(row.clone());
        }
        Ok(())
    }
}

fn line(text: &str) -> Result<(), Error> {
    output::line(text).map_err(standard_output)
}

/// For `map_err` on writing there.
pub(super) fn standard_output(error: io::Error) -> Error {
    Error::Io { action: "write to", path: PathBuf::from("standard output"), error }
}

/// An epoch for a program. A struct, and no map, for its fields keep their order.
#[derive(Serialize)]
struct EpochEvent {
    event: &'static str,
    epoch: usize,
    train_loss: Option<f64>,
    valid_loss: Option<f64>,
    accuracy: Option<f64>,
    seconds: f64,
    train_seconds: f64,
}

fn json_line(row: &EpochRow) -> Result<String, Error> {
    output::json(&EpochEvent {
        event: "epoch",
        epoch: row.epoch,
        train_loss: row.train_loss,
        valid_loss: row.valid_loss,
        accuracy: row.metric("accuracy"),
        seconds: row.seconds,
        train_seconds: row.train_seconds,
    })
    .map_err(standard_output)
}

fn table_line(epoch: &EpochRow) -> String {
    let number = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.4}"));
    row([
        epoch.epoch.to_string(),
        number(epoch.train_loss),
        number(epoch.valid_loss),
        number(epoch.metric("accuracy")),
        format!("{:.2} s", epoch.seconds),
    ])
}

fn row([epoch, train_loss, valid_loss, accuracy, time]: [String; 5]) -> String {
    format!("{epoch:>5}  {train_loss:>10}  {valid_loss:>10}  {accuracy:>8}  {time:>8}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_the_json_complete() {
        let epoch = EpochRow {
            epoch: 0,
            train_loss: Some(0.5),
            valid_loss: None,
            metrics: vec![("accuracy".to_string(), Some(0.98765))],
            seconds: 1.234,
            train_seconds: 1.0,
        };
        let header = ["epoch", "train_loss", "valid_loss", "accuracy", "time"];
        assert_eq!(
            row(header.map(String::from)),
            "epoch  train_loss  valid_loss  accuracy      time"
        );
        assert_eq!(table_line(&epoch), "    0      0.5000           -    0.9877    1.23 s");
        assert_eq!(
            json_line(&epoch).unwrap(),
            "{\"event\":\"epoch\",\"epoch\":0,\"train_loss\":0.5,\"valid_loss\":null,\
             \"accuracy\":0.98765,\"seconds\":1.234,\"train_seconds\":1.0}"
        );
    }
}
