//! `topedge train`: from images to a trained network.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use topedge::nn::callbacks::CsvLogger;
use topedge::nn::{Checkpoint, Checkpoints, Error, Every, Learner};

use super::choice::{Choice, Prepared, Trained};
use super::epochs::{Epochs, standard_output};
use super::failure::Failure;
use super::results::{self, Results};
use super::run_folder::{CHECKPOINT, RunFolder};
use super::settings::Settings;
use super::{MAX_THREADS, findings, interrupt, output, report};

/// What a checkpoint says besides: the settings as JSON, and how often there is to be one.
const SETTINGS: &str = "settings";
const EVERY: &str = "checkpoint_every";

/// Trains a network on images of classes
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Trains a network on images of classes.

Without --data, on handwritten digits that it draws itself. The run's folder then holds
report.html (open it in a browser), model.safetensors (PyTorch reads it, too), history.csv (a line for
each epoch), batches.csv (one for each training batch), histograms.csv (what each layer put out in
them), times.json (what each layer took), settings.json, loss.svg, schedule.svg, and sample.png to try
the model on.

A run whose loss is no number any more leaves all of its record but the model. One that fails otherwise
leaves nothing, unless it has written a checkpoint: that, and its history, are there to go on from. If at the
end some files cannot be written, as on a full disk, the others are kept, and the error says which.

The same command gives the same weights, bit for bit, with any number of threads; interrupted and resumed
in the middle of an epoch, too. Ctrl-C ends the run after the batch, saves it, and says how to go on; a
second one ends it at once.

What is odd about a run is said before it, as a warning on standard error; what goes wrong in it, after the
epoch in which it shows; and all that looks wrong at the end, below the accuracy and in report.html: layers
that die, activations that collapse or explode, a rate too high for the start, a loss no better than a guess,
overfitting; each with the layer, the batch, and what to try.",
    after_help = "\
Examples:
  topedge train                                          draw digits and train on them
  topedge train --data mnist --lr 0.1                    MNIST: IDX files or folders of images
  topedge train --data mnist --labels 3,7 --net simple-cnn-2 --epochs 2 --lr 0.01 --batch-size 64
  topedge train --data photos --size 28                  images of any size
  topedge train --epochs 100 --checkpoint-every 1epoch   safe from power cuts
  topedge train --resume runs/1                          go on where it stood

What DIR holds, either of:
  train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], t10k-images-..., t10k-labels-...
  training/LABEL/*.png and testing/LABEL/*.png           or train/ and valid/, PNG or JPEG
All images must have one size, and the convolutional networks take at most 32x32 pixels; --size 28 makes
them so. simple-net takes any size.

With --json, an object for each epoch, one for each finding (before training its batch is null; then when it
first shows, and once more at the end), and one at the end:
  {\"event\":\"epoch\",\"epoch\":0,\"train_loss\":...,\"valid_loss\":...,\"accuracy\":...,\"seconds\":...,\"train_seconds\":...}
  {\"event\":\"finding\",\"severity\":\"failure\",\"kind\":\"dead_layer\",\"layer\":\"1.0\",\"batch\":...,\"text\":\"...\",\"advice\":\"...\"}
  {\"event\":\"done\",\"accuracy\":...,\"images_per_second\":...,\"weights_sha256\":\"...\",\"model\":\"PATH\",\"history\":\"PATH\"}"
)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,
    /// Threads to compute on [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
    threads: Option<u16>,
    /// The run's folder; files of an earlier run there are replaced [default: runs/1, runs/2, ...]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write a checkpoint every N batches, as in 100, or epochs, as in 1epoch [default: at Ctrl-C]
    #[arg(long, value_name = "N")]
    checkpoint_every: Option<Every>,
    /// Go on with the run in this folder, from its checkpoint and by its settings
    #[arg(long, value_name = "RUN", conflicts_with_all = [
        "labels", "size", "net", "epochs", "lr", "batch_size", "schedule", "optimizer", "seed", "out",
    ])]
    resume: Option<PathBuf>,
    /// Print one JSON object a line, and nothing else
    #[arg(long)]
    json: bool,
}

/// Takes so many threads, from here on.
pub(crate) fn run_threads(threads: Option<u16>) -> Result<(), Failure> {
    let Some(threads) = threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
    pool.build_global()
        .map_err(|error| Failure::Failed(format!("cannot start {threads} threads: {error}")))
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    run_threads(args.threads)?;
    let mut every = args.checkpoint_every;
    let (prepared, checkpoint) = match &args.resume {
        None => (Prepared::new(&args.choice)?, None),
        Some(run) => {
            let (checkpoint, recorded, place) = read_checkpoint(run)?;
            let prepared =
                Prepared::new(&recorded.choice(args.choice.images.data.as_deref(), &place)?)?;
            recorded.check(&prepared.settings, &place)?;
            every = every.or_else(|| checkpoint.metadata.get(EVERY)?.parse().ok());
            (prepared, Some(checkpoint))
        }
    };
    if !args.json {
        prepared.introduce()?;
    }

    let stop = interrupt::stop_flag()?;
    let folder = match &args.resume {
        None => RunFolder::create(args.out.as_deref())?,
        Some(run) => RunFolder::reopen(run)?,
    };
    let (mut learner, trained) = prepared.learner();
    findings::warn(&learner.check(trained.settings.lr)?, args.json)?;
    let settings = String::from_utf8_lossy(&trained.settings.to_json()?).into_owned();
    let mut metadata: BTreeMap<_, _> = [(SETTINGS.to_string(), settings)].into();
    metadata.extend(every.map(|every| (EVERY.to_string(), every.to_string())));
    let json = args.json;
    let mut learner = learner
        .on_finding(move |finding| Ok(findings::so_far(finding, json).map_err(standard_output)?))
        .callback(CsvLogger::new(folder.history()))
        .callback(Epochs::new(args.json, trained.settings.batch_size))
        .checkpoints(Checkpoints { path: folder.checkpoint(), every, stop, metadata });
    checkpoint.into_iter().for_each(|checkpoint| learner.resume(checkpoint));
    match trained.settings.fit(&mut learner) {
        Err(Error::Stopped { epoch, step, path }) => {
            return Err(Failure::Stopped(format!(
                "stopped in epoch {epoch}, after {step} batches, and saved; to go on:\n  {}",
                to_go_on(path.parent().unwrap_or(Path::new(".")))
            )));
        }
        Err(error @ Error::NonFinite { .. }) => {
            return Err(left_behind(error, folder, &mut learner, &trained));
        }
        outcome => outcome?,
    }

    let report = report::page(&mut learner, &trained.settings)?;
    let mut results = Results::of(&learner, &trained, report)?;
    let path = folder.finish(&results.files())?;
    Ok(output::line(results.text(&path, args.json)?)?)
}

/// The failure of a fit, whose record is left to look at.
fn left_behind(
    error: Error,
    folder: RunFolder,
    learner: &mut Learner,
    trained: &Trained,
) -> Failure {
    let error = error.to_string();
    let kept = report::failed(learner, &trained.settings, &error)
        .and_then(|page| results::of_failed(learner, &trained.settings, page))
        .and_then(|files| folder.keep(&files));
    match kept {
        Ok(Some(path)) => {
            let page = path.join("report.html");
            Failure::Failed(format!("{error}; how it came to that: {}", page.display()))
        }
        // The error itself matters more.
        Ok(None) | Err(_) => Failure::Failed(error),
    }
}

/// The checkpoint of an unfinished run, its settings, and its file in words.
fn read_checkpoint(run: &Path) -> Result<(Checkpoint, Settings, String), Failure> {
    if !run.is_dir() {
        return Err(Failure::flag("--resume", run.display(), "the folder of a run"));
    }
    let path = run.join(CHECKPOINT);
    if !path.exists() {
        let found = match run.join("model.safetensors").exists() {
            true => "a run that has come to its end",
            false => "none",
        };
        let expected = format!("a folder with a checkpoint, found {found}");
        return Err(Failure::flag("--resume", run.display(), expected));
    }
    let place = path.display().to_string();
    let checkpoint = Checkpoint::load(&path)?;
    let settings = checkpoint.metadata.get(SETTINGS).map_or("", String::as_str);
    let settings = Settings::from_json(settings.as_bytes(), &place)?;
    Ok((checkpoint, settings, place))
}

/// The command that goes on with the run in `folder`.
fn to_go_on(folder: &Path) -> String {
    let words = [&*program(), "train", "--resume", &folder.display().to_string()].map(quoted);
    let variables = ["TOPEDGE_ISA", "TOPEDGE_WINOGRAD"].into_iter();
    let set = variables.filter_map(|name| Some(format!("{name}={}", env::var(name).ok()?)));
    set.chain(words).collect::<Vec<_>>().join(" ")
}

/// This program, as it was called.
pub(crate) fn program() -> String {
    env::args().next().unwrap_or_else(|| "topedge".to_string())
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        assert_eq!(quoted("runs/1"), "runs/1");
        assert_eq!(quoted("my run"), "'my run'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert!(to_go_on(Path::new("a b")).ends_with(" train --resume 'a b'"));
    }
}
