//! `topedge train`: from images to a trained network.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use topedge::autograd::Tensor;
use topedge::kernels::Isa;
use topedge::nn::callbacks::{ActivationStats, CsvLogger};
use topedge::nn::{Context, MAX_LR, parameter_count};
use topedge::prelude::*;

use super::epochs::Epochs;
use super::failure::Failure;
use super::results::Results;
use super::run_folder::RunFolder;
use super::{images, output, report};

/// Trains a network on images of classes
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Trains a network on images of classes.

Without --data, on handwritten digits that it draws itself. The run's folder then holds
report.html (open it in a browser), model.safetensors (PyTorch reads it, too), history.csv (a line for
each epoch), batches.csv (one for each training batch), settings.json, loss.svg, schedule.svg, and
sample.png to try the model on. A run that fails leaves
nothing behind.

The same command gives the same weights, bit for bit, with any number of threads.",
    after_help = "\
Examples:
  topedge train                                          draw digits and train on them
  topedge train --data mnist --lr 0.1                    MNIST: IDX files or folders of images
  topedge train --data mnist --labels 3,7 --net simple-cnn-2 --epochs 2 --lr 0.01 --batch-size 64

What DIR holds, either of:
  train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], t10k-images-..., t10k-labels-...
  training/LABEL/*.png and testing/LABEL/*.png           or train/ and valid/, PNG or JPEG

With --json, an object for each epoch and one at the end:
  {\"event\":\"epoch\",\"epoch\":0,\"train_loss\":...,\"valid_loss\":...,\"accuracy\":...,\"seconds\":...,\"train_seconds\":...}
  {\"event\":\"done\",\"accuracy\":...,\"images_per_second\":...,\"weights_sha256\":\"...\",\"model\":\"PATH\",\"history\":\"PATH\"}"
)]
pub(crate) struct Args {
    /// A folder with MNIST's IDX files, or with a tree of images [default: digits are drawn]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Only these classes, as in 3,7
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    labels: Option<Vec<String>>,
    /// The network
    #[arg(long, value_name = "NAME", default_value = "simple-cnn-bn", value_parser = net_parser())]
    net: Net,
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// The (highest) learning rate
    #[arg(long, value_name = "X", default_value_t = 0.06, value_parser = learning_rate)]
    lr: f64,
    /// Images in a batch [default: 512, or all training images if they are fewer]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,
    /// How the learning rate moves
    #[arg(long, value_enum, default_value_t = Schedule::OneCycle)]
    schedule: Schedule,
    /// What changes the weights
    #[arg(long, value_enum, default_value_t = Optimizer::Adam)]
    optimizer: Optimizer,
    /// The seed of all that is random: initial weights, the order of images, drawn digits
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Threads to compute on [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// The run's folder; files of an earlier run there are replaced [default: runs/1, runs/2, ...]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object a line, and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Schedule {
    /// Up to the highest rate in the first quarter, then down; momentum the other way round
    OneCycle,
    /// The same rate throughout
    Flat,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Optimizer {
    /// Adam with fastai's settings
    Adam,
    /// Stochastic gradient descent with momentum 0.9
    Sgd,
}

/// What a run was told and what it took: `settings.json`.
#[derive(Serialize)]
pub(crate) struct Settings<'a> {
    version: &'static str,
    data: Option<&'a Path>,
    classes: &'a [String],
    image_shape: [usize; 3],
    training_images: usize,
    validation_images: usize,
    net: &'static str,
    epochs: u32,
    lr: f64,
    pub(crate) batch_size: usize,
    schedule: Schedule,
    optimizer: Optimizer,
    seed: u64,
    threads: usize,
    isa: &'static str,
}

/// The networks that have one output for each class.
pub(crate) fn net_parser() -> impl TypedValueParser<Value = Net> {
    parser_of(Net::ALL.into_iter().filter(|&net| net != Net::BrokenCnn))
}

/// All networks, also one that cannot be trained.
pub(crate) fn any_net_parser() -> impl TypedValueParser<Value = Net> {
    parser_of(Net::ALL.into_iter())
}

fn parser_of(nets: impl Iterator<Item = Net>) -> impl TypedValueParser<Value = Net> {
    PossibleValuesParser::new(nets.map(Net::name)).try_map(|name| name.parse::<Net>())
}

pub(crate) fn learning_rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    number
        // It is an `f32` that training takes, and that must not be 0.
        .filter(|lr: &f64| *lr as f32 > 0.0 && *lr <= MAX_LR)
        .ok_or_else(|| format!("expected a number above 0 and at most {MAX_LR}"))
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if let Some(threads) = args.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
        pool.build_global()
            .map_err(|error| Failure::Failed(format!("cannot start {threads} threads: {error}")))?;
    }
    let splits = images::load(args.data.as_deref(), args.labels.as_deref(), args.seed)?;
    let batch_size = images::batch_size(args.batch_size, 512, &splits)?;
    let config = LoadersConfig { batch_size, seed: args.seed, ..Default::default() };
    let loaders = DataLoaders::new(&splits, &config)?;
    let info = ModelInfo {
        net: args.net,
        classes: splits.train.vocab().to_vec(),
        image_shape: splits.train.image_shape(),
        normalize: loaders.train.config().normalize.clone(),
    };
    let config = NetConfig { image_shape: info.image_shape, classes: info.classes.len() };
    let network = args
        .net
        .build(&config, &mut Pcg64::seed_from_u64(args.seed))
        .map_err(|error| Failure::Usage(format!("--net: {error}")))?;
    if batch_size == 1 {
        check_batch_of_one(args.net, &config)?;
    }
    let settings = settings(args, &splits, batch_size);
    if !args.json {
        introduce(&settings, parameter_count(&network))?;
    }

    let folder = RunFolder::create(args.out.as_deref())?;
    let mut learner = Learner::new(loaders, network, CrossEntropy::default())
        .metric(Accuracy::default())
        .seed(args.seed)
        .callback(ActivationStats::default().with_histograms())
        .callback(CsvLogger::new(folder.history()))
        .callback(Epochs::new(args.json, batch_size));
    learner = match args.optimizer {
        Optimizer::Adam => learner.optimizer(Adam::fastai()),
        Optimizer::Sgd => {
            let mut sgd = Sgd::default();
            sgd.momentum = 0.9;
            learner.optimizer(sgd)
        }
    };
    let epochs = args.epochs as usize;
    match args.schedule {
        Schedule::OneCycle => learner.fit_one_cycle(epochs, args.lr)?,
        Schedule::Flat => learner.fit(epochs, args.lr)?,
    }

    let report = report::page(&mut learner, &settings)?;
    let results = Results::of(&learner, &info, &splits, &settings, report)?;
    let path = folder.finish(&results.files)?;
    Ok(output::line(results.text(&path, args.json)?)?)
}

/// Refuses batches of one image where batch norm, in training, would have a single value to normalise.
fn check_batch_of_one(net: Net, config: &NetConfig) -> Result<(), Failure> {
    let mut network = net.build(config, &mut Pcg64::seed_from_u64(0))?;
    let [channels, height, width] = config.image_shape;
    let image = Tensor::zeros(&[1, channels, height, width]).map_err(topedge::nn::Error::from)?;
    network.forward(&image, &mut Context::train(0)).map_err(|error| {
        Failure::flag("--batch-size", 1, format!("at least 2 with --net {}: {error}", net.name()))
    })?;
    Ok(())
}

impl Settings<'_> {
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, Failure> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::Failed(format!("settings.json: {error}")))
    }
}

fn settings<'a>(args: &'a Args, splits: &'a Splits, batch_size: usize) -> Settings<'a> {
    Settings {
        version: env!("CARGO_PKG_VERSION"),
        data: args.data.as_deref(),
        classes: splits.train.vocab(),
        image_shape: splits.train.image_shape(),
        training_images: splits.train.len(),
        validation_images: splits.valid.len(),
        net: args.net.name(),
        epochs: args.epochs,
        lr: args.lr,
        batch_size,
        schedule: args.schedule,
        optimizer: args.optimizer,
        seed: args.seed,
        threads: rayon::current_num_threads(),
        isa: Isa::current().name(),
    }
}

/// Says what is going to be trained, on what.
fn introduce(settings: &Settings<'_>, parameters: usize) -> Result<(), Failure> {
    let [channels, height, width] = settings.image_shape;
    let source = match settings.data {
        Some(dir) => dir.display().to_string(),
        None => "drawn digits".to_string(),
    };
    output::line(format_args!(
        "{source}: {} images to train on, {} to validate on, {channels}x{height}x{width}, {} classes",
        settings.training_images,
        settings.validation_images,
        settings.classes.len(),
    ))?;
    Ok(output::line(format_args!(
        "{}: {parameters} parameters, batches of {}, {} threads, {}\n",
        settings.net, settings.batch_size, settings.threads, settings.isa,
    ))?)
}
