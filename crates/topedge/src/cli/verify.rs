//! `topedge verify`: does the run give the same weights again?

use std::path::PathBuf;

use serde::Serialize;
use topedge::nn::{ModelFile, state_dict};

use super::choice::Prepared;
use super::epochs::Epochs;
use super::failure::Failure;
use super::run_folder::CHECKPOINT;
use super::settings::Settings;
use super::{MAX_THREADS, output, train};

/// Trains again as a run was trained, and says whether the weights are the same, bit for bit
#[derive(clap::Args)]
#[command(
    long_about = "\
Trains again as a run was trained, and says whether the weights are the same, bit for bit.

The run's folder says how: settings.json has all settings, the version, the instruction set and hashes of
the images. Its model.safetensors is what the new weights are compared with. Nothing is written.

Exit code 0: the same. 1: others, or the run cannot be repeated: other images, another version, an
instruction set that is not here. The number of threads does not matter.",
    after_help = "\
Examples:
  topedge verify runs/1
  topedge verify runs/1 --data /mnt/mnist        the images have moved

With --json, an object for each epoch as with train, and one at the end:
  {\"event\":\"verified\",\"same\":...,\"weights_sha256\":\"...\",\"expected_sha256\":\"...\"}"
)]
pub(crate) struct Args {
    /// The run's folder
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Where the images are now [default: where they were]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Threads to compute on [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
    threads: Option<u16>,
    /// Print one JSON object a line, and nothing else
    #[arg(long)]
    json: bool,
}

/// The verdict for a program.
#[derive(Serialize)]
struct VerifiedEvent<'a> {
    event: &'static str,
    same: bool,
    weights_sha256: &'a str,
    expected_sha256: &'a str,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    train::run_threads(args.threads)?;
    if !args.run.is_dir() {
        return Err(Failure::flag("RUN", args.run.display(), "the folder of a run"));
    }
    let file = args.run.join("settings.json");
    if !file.exists() && args.run.join(CHECKPOINT).exists() {
        let run = args.run.display();
        return Err(Failure::Failed(format!(
            "{run}: the run has not come to its end; train --resume {run} goes on with it"
        )));
    }
    let (recorded, place) = (Settings::load(&file)?, file.display().to_string());
    let model = args.run.join("model.safetensors");
    let expected = ModelFile::load(&model)?.state;
    let prepared = Prepared::new(&recorded.choice(args.data.as_deref(), &place)?)?;
    recorded.check(&prepared.settings, &place)?;
    if !args.json {
        prepared.introduce()?;
    }
    let (learner, trained) = prepared.learner();
    let mut learner = learner.callback(Epochs::new(args.json, trained.settings.batch_size));
    trained.settings.fit(&mut learner)?;

    let state = state_dict(&*learner.state.model);
    let (own, expected_sha256) = (state.sha256(), expected.sha256());
    let same = own == expected_sha256;
    if args.json {
        let (event, weights_sha256) = ("verified", &*own);
        let expected_sha256 = &*expected_sha256;
        let verdict = VerifiedEvent { event, same, weights_sha256, expected_sha256 };
        output::line(output::json(&verdict)?)?;
    } else if same {
        output::line(format_args!(
            "\nthe same weights as in {}, bit for bit: sha256 {own}",
            model.display()
        ))?;
    }
    if same {
        return Ok(());
    }
    let differs = state.iter().find(|&(name, tensor)| expected.get(name) != Some(tensor));
    let name = differs.map_or("the list of tensors", |(name, _)| name);
    Err(Failure::Failed(format!(
        "{}: expected the same weights, sha256 {expected_sha256}, of the run again, found {own}; \
         the first difference is in {name}",
        model.display()
    )))
}
