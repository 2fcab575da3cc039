//! Checks before training.

use topedge_autograd::{Tensor, no_grad};
use topedge_data::DataError;

use super::Learner;
use crate::context::{Context, Observer};
use crate::diagnosis::{Finding, FindingKind, Severity};
use crate::error::{Error, Result};
use crate::module::parameters;
use crate::optim::Hyper;
use crate::schedule::Schedule;

/// The highest learning rate that a fit takes: no optimiser gets anywhere with a larger one.
pub const MAX_LR: f64 = 100.0;

/// A layer that ran, and the shape of what it put out.
struct Step {
    path: String,
    kind: &'static str,
    input: Vec<usize>,
    output: Vec<usize>,
}

impl Learner {
    /// Looks at data, network, loss and learning rate without training, as each fit does first: an
    /// image of zeros goes through the network. What is odd but possible comes back as warnings.
    ///
    /// # Errors
    ///
    /// When a split is empty, training and validation have different classes, a layer cannot take what
    /// the one before it puts out, there are fewer outputs than classes, the loss refuses the outputs,
    /// every parameter is frozen, or the learning rate is negative, not finite or above 100.
    ///
    /// ```
    /// # use rand::SeedableRng;
    /// # use topedge_data::digits::{self, Digits};
    /// # use topedge_data::{DataLoaders, LoadersConfig};
    /// # use topedge_nn::losses::CrossEntropy;
    /// # use topedge_nn::{Learner, Net, NetConfig};
    /// # let splits = digits::generate(&Digits { train: 256, valid: 64, ..Default::default() })?;
    /// # let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
    /// # let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
    /// let model = Net::SimpleCnn.build(&NetConfig { classes: 7, ..Default::default() }, &mut rng)?;
    /// let mut learner = Learner::new(data, model, CrossEntropy::default());
    /// let error = learner.check(0.1).unwrap_err().to_string();
    /// assert!(error.contains("at least 10 outputs"), "{error}");
    /// # Ok::<(), topedge_nn::Error>(())
    /// ```
    pub fn check(&mut self, lr: f64) -> Result<Vec<Finding>> {
        let mut warnings = self.check_fit(&[(Hyper::Lr, Schedule::flat(lr))])?;
        let adam = self.state.optimizer.name() == "Adam";
        if lr < 1e-8 || (adam && lr > 1.0) {
            warnings.push(Finding {
                severity: Severity::Warning,
                kind: FindingKind::OddRate,
                layer: None,
                batch: None,
                text: format!("A learning rate of {lr} with {}", self.state.optimizer.name()),
                advice: "lr_find suggests one; 1e-3 to 1e-1 is usual".to_string(),
            });
        }
        Ok(warnings)
    }

    /// As [`check`](Self::check), of the learning rates of `schedules`.
    pub(super) fn check_fit(&mut self, schedules: &[(Hyper, Schedule)]) -> Result<Vec<Finding>> {
        check_rates(schedules)?;
        self.check_data()?;
        if !parameters(&*self.state.model).iter().any(|(_, p)| p.is_trainable()) {
            let expected = "at least one parameter that is not frozen";
            return Err(Error::setting("network", "without any to train", expected));
        }
        let steps = self.check_shapes()?;
        Ok(self.flattened_grid(&steps).into_iter().chain(self.equal_images()).collect())
    }

    /// Images that are all the same, of which nothing can be learned.
    fn equal_images(&self) -> Option<Finding> {
        let data = self.state.data.train.dataset();
        if data.len() < 2 || (1..data.len()).any(|i| data.image(i) != data.image(0)) {
            return None;
        }
        Some(Finding {
            severity: Severity::Warning,
            kind: FindingKind::EqualImages,
            layer: None,
            batch: None,
            text: format!("All {} training images are the same", data.len()),
            advice: "look at them (show-batch); perhaps they were not read as they were meant"
                .to_string(),
        })
    }

    fn check_data(&self) -> Result<()> {
        let (train, valid) = (&self.state.data.train, &self.state.data.valid);
        for (loader, place) in [(train, "the training set"), (valid, "the validation set")] {
            if loader.batches() == 0 {
                return Err(DataError::Empty { place: place.to_string() }.into());
            }
        }
        let (train, valid) = (train.dataset(), valid.dataset());
        if train.vocab() != valid.vocab() {
            let expected = format!("those of the training set, {}", train.vocab().join(", "));
            let found = valid.vocab().join(", ");
            return Err(Error::unexpected("classes of the validation set", expected, found));
        }
        Ok(())
    }

    /// Lets an image through the network and the loss.
    fn check_shapes(&mut self) -> Result<Vec<Step>> {
        let state = &mut self.state;
        let data = state.data.train.dataset();
        let [channels, height, width] = data.image_shape();
        let x = Tensor::zeros(&[1, channels, height, width])?;
        let mut steps: Vec<Step> = vec![];
        let mut cx = Context::eval();
        cx.observers.push(Observer::all(|layer| {
            steps.push(Step {
                path: layer.path.to_string(),
                kind: layer.module.kind(),
                input: layer.input_shape.to_vec(),
                output: layer.output.shape().to_vec(),
            });
        }));
        let output = no_grad(|| state.model.forward(&x, &mut cx));
        drop(cx);
        let traced =
            |error| Error::Shapes { error: Box::new(error), trace: trace(x.shape(), &steps) };
        let output = output.map_err(traced)?;
        let classes = data.vocab().len();
        if output.rank() != 2 || output.shape()[1] < classes {
            return Err(traced(Error::unexpected(
                "output of the network",
                format!("[batch, classes], at least {classes} outputs"),
                axes(output.shape()),
            )));
        }
        no_grad(|| state.loss_fn.forward(&output, &data.labels()[..1])).map_err(traced)?;
        Ok(steps)
    }

    /// A convolutional network that ends with a grid of several positions, each of which gives scores
    /// of its own.
    fn flattened_grid(&self, steps: &[Step]) -> Option<Finding> {
        let last = steps.last().filter(|step| step.kind == "Flatten")?;
        let &[_, channels, height, width] = &*last.input else {
            return None;
        };
        if [height, width] == [1, 1] || !steps.iter().any(|step| step.kind == "Conv2d") {
            return None;
        }
        let outputs = last.output.get(1)?;
        let classes = self.state.data.train.dataset().vocab().len();
        Some(Finding {
            severity: Severity::Warning,
            kind: FindingKind::FlattenedGrid,
            layer: Some(last.path.clone()),
            batch: None,
            text: format!(
                "The last grid is {height}x{width}, not 1x1: Flatten makes {outputs} outputs of \
                 {channels} channels, for {classes} classes"
            ),
            advice: "add layers of stride 2, or AdaptiveAvgPool2d to 1x1, before Flatten"
                .to_string(),
        })
    }
}

fn check_rates(schedules: &[(Hyper, Schedule)]) -> Result<()> {
    const POINTS: u32 = 64;
    let rates = schedules.iter().filter(|(hyper, _)| *hyper == Hyper::Lr);
    for (_, schedule) in rates {
        let values = (0..POINTS).map(|i| schedule.at(f64::from(i) / f64::from(POINTS)));
        for lr in values {
            // A comparison that also refuses NaN.
            if !(0.0..=MAX_LR).contains(&lr) {
                let expected = format!("a finite number of at least 0 and at most {MAX_LR}");
                return Err(Error::setting("lr", lr, expected));
            }
        }
    }
    Ok(())
}

/// The shapes on the way through the network.
fn trace(image: &[usize], steps: &[Step]) -> String {
    let mut text = format!("the shapes on the way: image {}", axes(image));
    for Step { path, kind, output, .. } in steps {
        text += &format!(", {path} {kind} {}", axes(output));
    }
    text
}

/// A shape with the names of its axes.
fn axes(shape: &[usize]) -> String {
    match *shape {
        [n, c, h, w] => format!("[batch {n}, channels {c}, height {h}, width {w}]"),
        [n, features] => format!("[batch {n}, features {features}]"),
        _ => format!("{shape:?}"),
    }
}
