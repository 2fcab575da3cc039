//! `topedge lr-find`: which learning rate?

use serde::Serialize;
use topedge::nn::{LrFind, LrFound, Suggestion, short_number};
use topedge::prelude::*;

use super::failure::Failure;
use super::images::Images;
use super::{choice, images, output, terminal};

/// Suggests a learning rate, by a short training run at ever larger ones
#[derive(clap::Args)]
#[command(
    long_about = "\
Suggests a learning rate, by a short training run at ever larger ones.

The rate grows by the same factor from batch to batch, until the loss exceeds four times its best. While
it is too small, the loss hardly moves; then the network learns; then the steps are too large, and
the loss runs away. A good rate lies where the loss falls.",
    after_help = "\
Examples:
  topedge lr-find                                      drawn digits, simple-cnn-bn
  topedge lr-find --data mnist --net simple-cnn --batch-size 64

The suggestions:
  valley    two thirds down the longest valley: the one to start with
  steep     where the loss falls most steeply
  minimum   a tenth of the rate at which the loss is lowest
  slide     the last one before the loss turns round

With --json, an object for each step and one at the end (null: the curve has no such place):
  {\"event\":\"step\",\"lr\":...,\"loss\":...}
  {\"event\":\"done\",\"valley\":...,\"steep\":...,\"minimum\":...,\"slide\":...}"
)]
pub(crate) struct Args {
    #[command(flatten)]
    images: Images,
    /// The network
    #[arg(long, value_name = "NAME", default_value = "simple-cnn-bn", value_parser = choice::net_parser())]
    net: Net,
    /// Images in a batch [default: 64, or all training images if they are fewer]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    batch_size: Option<u32>,
    /// The first learning rate
    #[arg(long, value_name = "X", default_value_t = 1e-7, value_parser = choice::learning_rate)]
    start: f64,
    /// The rate to end before
    #[arg(long, value_name = "X", default_value_t = 10.0, value_parser = choice::learning_rate)]
    end: f64,
    /// How many steps, at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(6..=100_000))]
    steps: u32,
    /// The seed of all that is random
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Print one JSON object a line, and nothing else
    #[arg(long)]
    json: bool,
}

/// A step for a program.
#[derive(Serialize)]
struct StepEvent {
    event: &'static str,
    lr: f64,
    loss: f64,
}

/// The suggestions for a program.
#[derive(Serialize)]
struct DoneEvent {
    event: &'static str,
    valley: Option<f64>,
    steep: Option<f64>,
    minimum: Option<f64>,
    slide: Option<f64>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.start >= args.end {
        let expected = format!("less than --end, {}", args.end);
        return Err(Failure::flag("--start", args.start, expected));
    }
    let splits = args.images.load(args.seed)?;
    let batch_size = images::batch_size(args.batch_size, 64, &splits)?;
    let config = LoadersConfig { batch_size, seed: args.seed, ..Default::default() };
    let loaders = DataLoaders::new(&splits, &config)?;
    let image_shape = splits.train.image_shape();
    let config = NetConfig { image_shape, classes: splits.train.vocab().len() };
    let network = choice::network(args.net, &config, args.seed)?;
    let mut learner = Learner::new(loaders, network, CrossEntropy::default()).seed(args.seed);
    let steps = args.steps as usize;
    let found = learner.lr_find(&LrFind { start: args.start, end: args.end, steps })?;
    if args.json { print_json(&found) } else { print(args, batch_size, &found) }
}

fn print_json(found: &LrFound) -> Result<(), Failure> {
    for (&lr, &loss) in found.lrs.iter().zip(&found.losses) {
        output::line(output::json(&StepEvent { event: "step", lr, loss })?)?;
    }
    let rate = |suggestion: Option<Suggestion>| suggestion.map(|suggestion| suggestion.lr);
    Ok(output::line(output::json(&DoneEvent {
        event: "done",
        valley: rate(found.valley),
        steep: rate(found.steep),
        minimum: rate(found.minimum),
        slide: rate(found.slide),
    })?)?)
}

fn print(args: &Args, batch_size: usize, found: &LrFound) -> Result<(), Failure> {
    const COLUMNS: usize = 66;
    let lrs = &found.lrs;
    let (first, last) = (lrs.first().copied().unwrap_or(0.0), lrs.last().copied().unwrap_or(0.0));
    let points: Vec<_> = lrs.iter().map(|lr| lr.log10()).zip(found.losses.clone()).collect();
    output::line(format_args!(
        "{}, batches of {batch_size}: smoothed loss over {} steps\n\n{}",
        args.net,
        lrs.len(),
        terminal::curve(&points, COLUMNS, 12)
    ))?;

    let suggestions = [
        ("valley", 'v', found.valley),
        ("steep", 's', found.steep),
        ("minimum", 'm', found.minimum),
        ("slide", 'l', found.slide),
    ];
    // Below the curve, the letter of each suggestion at its rate.
    let mut marks = vec![' '; COLUMNS];
    for (_, letter, suggestion) in suggestions {
        if let Some(Suggestion { lr, .. }) = suggestion
            && (first..=last).contains(&lr)
        {
            let part = (lr / first).ln() / (last / first).ln();
            marks[(part * (COLUMNS - 1) as f64).round() as usize] = letter;
        }
    }
    output::line(format_args!("{:11}{}", "", marks.iter().collect::<String>().trim_end()))?;
    let (first, last) = (short_number(first), short_number(last));
    output::line(format_args!(
        "{:11}{first}{:^width$}{last}\n",
        "",
        "learning rate",
        width = COLUMNS.saturating_sub(first.len() + last.len())
    ))?;
    for (name, letter, suggestion) in suggestions {
        let rate = suggestion.map_or("none".to_string(), |found| short_number(found.lr));
        output::line(format_args!("{letter}  {name:<9}{rate}"))?;
    }
    Ok(())
}
