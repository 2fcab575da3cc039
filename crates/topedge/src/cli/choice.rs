//! What a training run is told to do, and what it comes down to.

use std::path::Path;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::{Deserialize, Serialize};
use topedge::autograd::Tensor;
use topedge::nn::callbacks::{ActivationStats, Profiler};
use topedge::nn::{Context, MAX_LR, parameter_count};
use topedge::prelude::*;

use super::failure::Failure;
use super::images::Images;
use super::settings::Settings;
use super::{images, output, times};

/// What decides about the weights.
#[derive(Debug, clap::Args)]
pub(crate) struct Choice {
    #[command(flatten)]
    pub(crate) images: Images,
    /// The network
    #[arg(long, value_name = "NAME", default_value = "simple-cnn-bn", value_parser = net_parser())]
    pub(crate) net: Net,
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) epochs: u32,
    /// The (highest) learning rate
    #[arg(long, value_name = "X", default_value_t = 0.06, value_parser = learning_rate)]
    pub(crate) lr: f64,
    /// Images in a batch [default: 512, or all training images if they are fewer]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_size: Option<u32>,
    /// How the learning rate moves
    #[arg(long, value_enum, default_value_t = Schedule::OneCycle)]
    pub(crate) schedule: Schedule,
    /// What changes the weights
    #[arg(long, value_enum, default_value_t = Optimizer::Adam)]
    pub(crate) optimizer: Optimizer,
    /// The seed of all that is random: initial weights, the order of images, drawn digits
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Schedule {
    /// Up to the highest rate in the first quarter, then down; momentum the other way round
    OneCycle,
    /// The same rate throughout
    Flat,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Optimizer {
    /// Adam with fastai's settings
    Adam,
    /// Stochastic gradient descent with momentum 0.9
    Sgd,
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

/// Images, a network that takes them, and the settings that this comes to.
pub(crate) struct Prepared {
    pub(crate) splits: Splits,
    pub(crate) info: ModelInfo,
    pub(crate) settings: Settings,
    loaders: DataLoaders,
    network: Sequential,
}

impl Prepared {
    pub(crate) fn new(choice: &Choice) -> Result<Prepared, Failure> {
        let splits = choice.images.load(choice.seed)?;
        let batch_size = images::batch_size(choice.batch_size, 512, &splits)?;
        let config = LoadersConfig { batch_size, seed: choice.seed, ..Default::default() };
        let loaders = DataLoaders::new(&splits, &config)?;
        let info = ModelInfo {
            net: choice.net,
            classes: splits.train.vocab().to_vec(),
            image_shape: splits.train.image_shape(),
            normalize: loaders.train.config().normalize.clone(),
        };
        let config = NetConfig { image_shape: info.image_shape, classes: info.classes.len() };
        let network = network(choice.net, &config, choice.seed)?;
        if batch_size == 1 {
            check_batch_of_one(choice.net, &config)?;
        }
        let settings = Settings::of(choice, &splits, batch_size);
        Ok(Prepared { splits, info, settings, loaders, network })
    }

    /// Says what is going to be trained, on what.
    pub(crate) fn introduce(&self) -> Result<(), Failure> {
        let settings = &self.settings;
        let [channels, height, width] = settings.image_shape;
        let source = match &settings.data {
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
            "{}: {} parameters, batches of {}, {} threads, {}\n",
            settings.net,
            parameter_count(&self.network),
            settings.batch_size,
            settings.threads,
            settings.isa,
        ))?)
    }

    /// What trains, and what there is to know afterwards.
    pub(crate) fn learner(self) -> (Learner, Trained) {
        let Prepared { splits, info, settings, loaders, network } = self;
        let learner = Learner::new(loaders, network, CrossEntropy::default())
            .metric(Accuracy::default())
            .seed(settings.seed)
            .callback(ActivationStats::default().with_histograms())
            .callback(Profiler::every(times::EVERY));
        let learner = match settings.optimizer {
            Optimizer::Adam => learner.optimizer(Adam::fastai()),
            Optimizer::Sgd => {
                let mut sgd = Sgd::default();
                sgd.momentum = 0.9;
                learner.optimizer(sgd)
            }
        };
        (learner, Trained { splits, info, settings })
    }
}

/// What is left of [`Prepared`] once a learner has taken its part.
pub(crate) struct Trained {
    pub(crate) splits: Splits,
    pub(crate) info: ModelInfo,
    pub(crate) settings: Settings,
}

impl Settings {
    /// Trains by these settings.
    pub(crate) fn fit(&self, learner: &mut Learner) -> topedge::nn::Result<()> {
        let epochs = self.epochs as usize;
        match self.schedule {
            Schedule::OneCycle => learner.fit_one_cycle(epochs, self.lr),
            Schedule::Flat => learner.fit(epochs, self.lr),
        }
    }

    /// The choice that led to them, with images from another folder if there is one.
    pub(crate) fn choice(&self, data: Option<&Path>, place: &str) -> Result<Choice, Failure> {
        let wrong = |what: &str, found: &dyn std::fmt::Display| {
            Failure::Failed(format!("{place}: {what}: found {found}"))
        };
        if let (None, Some(moved)) = (data, &self.data)
            && !moved.is_dir()
        {
            return Err(Failure::Usage(format!(
                "{place}: the images of the run were in {}, where there is no folder now; --data DIR says \
                 where they are",
                moved.display()
            )));
        }
        Ok(Choice {
            images: Images {
                data: data.map(Path::to_owned).or_else(|| self.data.clone()),
                labels: Some(self.classes.clone()),
                size: self.size,
            },
            net: self.net.parse().map_err(|error| wrong("net", &error))?,
            epochs: self.epochs,
            lr: self.lr,
            batch_size: Some(
                self.batch_size
                    .try_into()
                    .map_err(|_| wrong("batch_size: expected fewer", &self.batch_size))?,
            ),
            schedule: self.schedule,
            optimizer: self.optimizer,
            seed: self.seed,
        })
    }
}

/// The network that a command line asks for.
pub(crate) fn network(net: Net, config: &NetConfig, seed: u64) -> Result<Sequential, Failure> {
    net.build(config, &mut Pcg64::seed_from_u64(seed)).map_err(|error| {
        let [_, height, width] = config.image_shape;
        let advice = if height.max(width) > 32 { "; --size 28 resizes the images" } else { "" };
        Failure::Usage(format!("--net: {error}{advice}"))
    })
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
