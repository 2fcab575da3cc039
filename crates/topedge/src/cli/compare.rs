//! `topedge compare`: two training runs, laid over each other.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};
use topedge::comparable_run;
use topedge::data::write_whole;
use topedge::nn::callbacks::{ActivationStats, Recorder};
use topedge::report::{Comparison, Run};

use super::failure::Failure;
use super::{batches, histograms, history, output, report};

/// Lays two training runs over each other, in one page
#[derive(clap::Args)]
#[command(
    long_about = "\
Lays two training runs over each other, in one page that needs no other file.

Which settings differ, what each run came to and what went wrong in it, losses, rates and the statistics
of layers over each other, their histograms side by side, and where the runs part: the first batch in which the losses are not the same
number, and the first from which on they are more than a tenth apart. Runs of the same seed that differ in
one setting show best what that setting does.

It reads settings.json, history.csv, batches.csv and histograms.csv of both folders.",
    after_help = "\
Examples:
  topedge train --data mnist --net simple-cnn --schedule flat --batch-size 64
  topedge train --data mnist --net simple-cnn --batch-size 64
  topedge compare runs/1 runs/2                       writes compare.html
  topedge compare runs/1 runs/2 --out one-cycle.html

With --json, an object for each run and one at the end (null: the losses do not part, or stay close):
  {\"event\":\"run\",\"run\":\"runs/1\",\"accuracy\":...,\"findings\":[\"...\"]}
  {\"event\":\"done\",\"different_from_batch\":...,\"apart_from_batch\":...,\"page\":\"PATH\"}"
)]
pub(crate) struct Args {
    /// The folder of a training run
    #[arg(value_name = "RUN")]
    a: PathBuf,
    /// The folder of another
    #[arg(value_name = "RUN")]
    b: PathBuf,
    /// Where the page goes
    #[arg(long, value_name = "FILE", default_value = "compare.html")]
    out: PathBuf,
    /// Print one JSON object a line, and nothing else
    #[arg(long)]
    json: bool,
}

/// What a run came to, for a program.
#[derive(Serialize)]
struct RunEvent<'a> {
    event: &'static str,
    run: &'a str,
    accuracy: Option<f64>,
    findings: Vec<&'a str>,
}

/// Where the runs part, for a program.
#[derive(Serialize)]
struct DoneEvent {
    event: &'static str,
    different_from_batch: Option<usize>,
    apart_from_batch: Option<usize>,
    page: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let [a, b] = [Recorded::read(&args.a)?, Recorded::read(&args.b)?];
    let comparison = Comparison { a: a.run(), b: b.run() };
    write_whole(&args.out, comparison.html().as_bytes())
        .map_err(Failure::io("write", &args.out))?;
    if args.json { print_json(args, &comparison) } else { print(args, &comparison) }
}

fn print_json(args: &Args, comparison: &Comparison<'_>) -> Result<(), Failure> {
    for run in [&comparison.a, &comparison.b] {
        output::line(output::json(&RunEvent {
            event: "run",
            run: &run.name,
            accuracy: run.epochs.last().and_then(|epoch| epoch.accuracy),
            findings: run.findings.iter().map(|finding| &*finding.text).collect(),
        })?)?;
    }
    Ok(output::line(output::json(&DoneEvent {
        event: "done",
        different_from_batch: comparison.losses().different,
        apart_from_batch: comparison.smoothed().apart,
        page: args.out.display().to_string(),
    })?)?)
}

fn print(args: &Args, comparison: &Comparison<'_>) -> Result<(), Failure> {
    for (letter, run) in [("A", &comparison.a), ("B", &comparison.b)] {
        let accuracy = run.epochs.last().and_then(|epoch| epoch.accuracy);
        let accuracy = accuracy.map_or("unknown".to_string(), |part| format!("{part:.4}"));
        output::line(format_args!("{letter} {}: accuracy {accuracy}", run.name))?;
        for finding in &run.findings {
            output::line(format_args!("  {}", finding.text))?;
        }
    }
    let parting = comparison.losses();
    output::line(match (parting.different, comparison.smoothed().apart) {
        (None, _) => "the losses are the same".to_string(),
        (Some(batch), None) => format!("the losses part in batch {batch}, and stay close"),
        (Some(batch), Some(apart)) => {
            format!("the losses part in batch {batch}, and are a tenth apart from batch {apart} on")
        }
    })?;
    Ok(output::line(format_args!("\npage      {}", args.out.display()))?)
}

/// What a run has left in its folder.
struct Recorded {
    name: String,
    settings: Map<String, Value>,
    recorder: Recorder,
    stats: ActivationStats,
}

impl Recorded {
    fn read(folder: &Path) -> Result<Recorded, Failure> {
        if !folder.is_dir() {
            let what = if folder.exists() { "is no folder" } else { "does not exist" };
            let expected = "the folder of a training run";
            return Err(Failure::flag("RUN", format!("{} {what}", folder.display()), expected));
        }
        let text = read(folder, "settings.json", "is this the folder of a training run?")?;
        let path = folder.join("settings.json");
        let settings = serde_json::from_str(&text).map_err(|error| {
            let expected = "expected the settings of a training run";
            Failure::Failed(format!("{}: {expected}: {error}", path.display()))
        })?;
        let older = "an older version did not write it; train once more";
        let text = read(folder, "batches.csv", older)?;
        let (mut recorder, mut stats) = batches::of_csv(&text, &folder.join("batches.csv"))?;
        let text = read(folder, "histograms.csv", older)?;
        histograms::of_csv(&text, &folder.join("histograms.csv"), &mut stats)?;
        let text = read(folder, "history.csv", "is this the folder of a training run?")?;
        recorder.rows = history::of_csv(&text, &folder.join("history.csv"))?;
        Ok(Recorded { name: folder.display().to_string(), settings, recorder, stats })
    }

    fn run(&self) -> Run<'_> {
        let classes = self.settings.get("classes").and_then(Value::as_array).map_or(0, Vec::len);
        let settings = report::pairs(&self.settings);
        comparable_run(&self.name, settings, &self.recorder, &self.stats, classes)
    }
}

/// The text of a run's file. Where it is missing, `why` says what that may mean.
fn read(folder: &Path, name: &str, why: &str) -> Result<String, Failure> {
    let path = folder.join(name);
    fs::read_to_string(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Failure::Failed(format!("{}: {name} is missing: {why}", folder.display()))
        }
        _ => Failure::io("read", &path)(error),
    })
}
