//! The command line.

mod batches;
mod bench;
mod chapter;
mod choice;
mod compare;
mod epochs;
mod evaluate;
mod failure;
mod findings;
mod histograms;
mod history;
mod images;
mod interrupt;
mod kernel;
mod lettering;
mod lr_find;
mod output;
mod picture;
mod predict;
mod progress;
mod receptive_field;
mod report;
mod results;
mod run_folder;
mod settings;
mod show_batch;
mod summary;
mod terminal;
mod times;
mod train;
mod verify;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use topedge::kernels::{Isa, Winograd};

use failure::Failure;

/// As many as somebody may want; each has a stack of its own.
const MAX_THREADS: i64 = 1024;

/// Trains small convolutional networks on the CPU, says what goes wrong, and recognises images with them.
///
/// Without a command it trains on handwritten digits that it draws itself: no data is needed.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  topedge                                     draw digits and train on them
  topedge train --data mnist                  train on the images in a folder
  topedge train --resume runs/1               go on with an interrupted run
  topedge verify runs/1                       does it give the same weights again?
  topedge predict runs/1 runs/1/sample.png    what is in an image?
  topedge evaluate runs/1 --data mnist        how good is it on other images?
  topedge summary --net simple-cnn-bn
  topedge bench                               how fast is this machine?
  topedge kernel runs/1/sample.png            where are its top edges?
  topedge receptive-field                     how much of the image does a layer see?
  topedge show-batch --data mnist             what is in a batch?
  topedge lr-find --data mnist                which learning rate?
  topedge compare runs/1 runs/2               what do two runs differ in?
  topedge chapter                             the fastai book's chapter, step by step

Exit codes: 0 done, 1 something failed (an unreadable file, a full disk), 2 wrong use (a bad value, a
path that does not exist), 130 stopped by Ctrl-C. Errors are one line on standard error.

Environment: TOPEDGE_ISA=avx512|avx2|portable forces an instruction set, TOPEDGE_WINOGRAD=off forbids
Winograd's method for 3x3 convolutions, RAYON_NUM_THREADS=N runs on N threads, by default one a core."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<train::Args>),
    Verify(verify::Args),
    Predict(predict::Args),
    Evaluate(evaluate::Args),
    Summary(summary::Args),
    Bench(bench::Args),
    Kernel(kernel::Args),
    ReceptiveField(receptive_field::Args),
    ShowBatch(show_batch::Args),
    LrFind(lr_find::Args),
    Compare(compare::Args),
    Chapter(chapter::Args),
}

/// Runs the command that the arguments of this process ask for.
pub(crate) fn main() -> ExitCode {
    interrupt::outlive_limits();
    let outcome = match parse(env::args_os()) {
        Ok(cli) => run(cli),
        Err(error) if !error.use_stderr() => {
            // Help or version.
            output::delivered(error.print()).map_err(Failure::from)
        }
        Err(error) => Err(Failure::Usage(one_line(&error))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::aside(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// The command line that `args` are. A number below zero is a value, so that what is said is what the
/// value should have been.
fn parse(args: impl IntoIterator<Item = OsString>) -> clap::error::Result<Cli> {
    let command = Cli::command().mut_subcommands(|command| {
        command.mut_args(|arg| {
            let option = arg.get_long().is_some() && arg.get_action().takes_values();
            if option { arg.allow_negative_numbers(true) } else { arg }
        })
    });
    Cli::from_arg_matches(&command.try_get_matches_from(args)?)
}

/// Whether `RAYON_NUM_THREADS` is what it can be: rayon passes over what is no number, and starts any other.
fn check_threads() -> Result<(), Failure> {
    let Some(value) = env::var_os("RAYON_NUM_THREADS").filter(|value| !value.is_empty()) else {
        return Ok(());
    };
    match value.to_str().and_then(|value| value.parse().ok()) {
        Some(0..=MAX_THREADS) => Ok(()),
        _ => Err(Failure::flag(
            "RAYON_NUM_THREADS",
            value.display(),
            format_args!("a number up to {MAX_THREADS}, or 0 for one a core"),
        )),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    check_threads()?;
    Isa::from_env().map_err(|error| Failure::Usage(error.to_string()))?;
    Winograd::from_env().map_err(|error| Failure::Usage(error.to_string()))?;
    match cli.command {
        // The defaults of `train` stand in its attributes alone.
        None => match parse(["topedge", "train"].map(OsString::from)) {
            Ok(cli) => run(cli),
            Err(error) => Err(Failure::Usage(one_line(&error))),
        },
        Some(Command::Train(args)) => train::run(&args),
        Some(Command::Verify(args)) => verify::run(&args),
        Some(Command::Predict(args)) => predict::run(&args),
        Some(Command::Evaluate(args)) => evaluate::run(&args),
        Some(Command::Summary(args)) => summary::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Kernel(args)) => kernel::run(&args),
        Some(Command::ReceptiveField(args)) => receptive_field::run(&args),
        Some(Command::ShowBatch(args)) => show_batch::run(&args),
        Some(Command::LrFind(args)) => lr_find::run(&args),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Chapter(args)) => chapter::run(&args),
    }
}

/// What clap has to say, without the usage that it appends, in one line.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = text.split("\n\nUsage:").next().unwrap_or(text);
    let text = text.split("\n\nFor more information").next().unwrap_or(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn errors_of_the_command_line_are_one_line() {
        for (args, expected) in [
            (&["train", "--lr", "fast"][..], "--lr"),
            (&["train", "--net", "resnet"], "simple-cnn-bn"),
            (
                &["train", "--lr", "-1"],
                "invalid value '-1' for '--lr <X>': expected a number above 0",
            ),
            (&["train", "--seed", "-1"], "invalid value '-1' for '--seed <N>'"),
            (&["train", "--epochs", "-1"], "-1 is not in 1.."),
            (&["bench", "--threads", "-1"], "-1 is not in 1..=1024"),
            (&["predict"], "<MODEL>"),
            (&["tran"], "tran"),
        ] {
            let args = [&["topedge"], args].concat();
            let error = parse(args.into_iter().map(OsString::from)).err().unwrap();
            let line = one_line(&error);
            assert!(!line.contains('\n') && !line.contains("Usage"), "{line}");
            assert!(line.contains(expected), "{line}");
        }
    }
}
