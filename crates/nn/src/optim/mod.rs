//! Optimisers: they change parameters along their gradients.
//!
//! To add one: a file here, and a line below.

mod adam;
mod sgd;
mod state;

pub use adam::Adam;
pub use sgd::Sgd;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::module::{Module, Parameter, ParameterKind};
use crate::state_dict::StateDict;

/// A number that steers an optimiser, and may change from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Hyper {
    /// The learning rate.
    Lr,
    /// The decay of the average of gradients: SGD's momentum, Adam's first beta.
    Momentum,
    /// The decay of the average of squared gradients: Adam's second beta.
    SqrMomentum,
    /// What Adam adds to the denominator.
    Eps,
    /// The weight decay.
    WeightDecay,
}

impl Hyper {
    /// All of them, in the order in which records list them.
    pub const ALL: [Hyper; 5] =
        [Hyper::Lr, Hyper::Momentum, Hyper::SqrMomentum, Hyper::Eps, Hyper::WeightDecay];

    /// The name, as in `momentum`.
    pub fn name(self) -> &'static str {
        match self {
            Hyper::Lr => "lr",
            Hyper::Momentum => "momentum",
            Hyper::SqrMomentum => "sqr_momentum",
            Hyper::Eps => "eps",
            Hyper::WeightDecay => "weight_decay",
        }
    }
}

/// An algorithm that changes the parameters of a network along their gradients.
pub trait Optimizer: Send {
    /// The algorithm's name: `Adam`.
    fn name(&self) -> &'static str;

    /// Its switches in words. Hyperparameters are not among them.
    fn config(&self) -> String {
        String::new()
    }

    /// A copy, with all that it remembers of the steps before.
    fn boxed_clone(&self) -> Box<dyn Optimizer>;

    /// Changes each parameter that has a gradient, in place. Gradients stay. A parameter's learning
    /// rate is this one's times its [`lr_scale`](Parameter::lr_scale).
    ///
    /// # Errors
    ///
    /// When the network is not the one of the steps before.
    fn step(&mut self, model: &mut dyn Module) -> Result<()>;

    /// All that it remembers of the steps before, by name: of the network's parameter number i, counted
    /// from 0, `i.step`, `i.exp_avg`, `i.exp_avg_sq` or `i.momentum_buffer`, as PyTorch calls them, the
    /// values in the order in which the parameter's lie in memory. Hyperparameters are not among it.
    fn state_dict(&self) -> StateDict;

    /// Remembers what another of its kind did.
    ///
    /// # Errors
    ///
    /// When `state` is not the [`state_dict`](Self::state_dict) of such.
    fn load_state_dict(&mut self, state: &StateDict) -> Result<()>;

    /// The value of a hyperparameter; `None` if the algorithm has no such.
    fn hyper(&self, hyper: Hyper) -> Option<f64>;

    /// The hyperparameter to be changed; `None` if the algorithm has no such.
    fn hyper_mut(&mut self, hyper: Hyper) -> Option<&mut f64>;

    /// Changes a hyperparameter.
    ///
    /// # Errors
    ///
    /// When the algorithm has no such, the value is negative or not finite, or a decay is not below 1.
    fn set_hyper(&mut self, hyper: Hyper, value: f64) -> Result<()> {
        if !(value.is_finite() && value >= 0.0) {
            let expected = "a finite number of at least 0";
            return Err(Error::setting(hyper.name(), value, expected));
        }
        if matches!(hyper, Hyper::Momentum | Hyper::SqrMomentum) && value >= 1.0 {
            return Err(Error::setting(hyper.name(), value, "less than 1"));
        }
        let optimizer = self.name();
        let place = self.hyper_mut(hyper).ok_or_else(|| {
            Error::setting(
                "optimiser",
                optimizer,
                format!("one with the hyperparameter {}", hyper.name()),
            )
        })?;
        *place = value;
        Ok(())
    }
}

/// The weight decay of one parameter, given that of weights: biases and normalisation have none,
/// unless `decay_all`.
fn decay_of(parameter: &Parameter, weight_decay: f64, decay_all: bool) -> f32 {
    match parameter.kind {
        ParameterKind::Weight => weight_decay as f32,
        ParameterKind::Bias | ParameterKind::Norm if decay_all => weight_decay as f32,
        ParameterKind::Bias | ParameterKind::Norm => 0.0,
    }
}

/// An optimiser's averages of one parameter, the `index`-th of the network; new ones in the first
/// step.
fn state_of<S>(states: &mut Vec<S>, index: usize, new: impl FnOnce() -> S) -> &mut S {
    if index == states.len() {
        states.push(new());
    }
    &mut states[index]
}

#[cfg(test)]
mod testing {
    use super::*;
    use crate::context::Context;
    use crate::module::{Item, ItemMut, zero_grad};
    use topedge_autograd::{Tape, Tensor};

    /// `y = sum(w * x)`, so that x is the gradient of w.
    pub(super) struct Dot(pub(super) Parameter);

    impl Dot {
        pub(super) fn new(values: &[f32], kind: ParameterKind) -> Self {
            let value = Tensor::new(values.to_vec(), &[values.len()]).unwrap();
            Dot(Parameter::new(value, kind))
        }

        /// One step with this gradient; returns the values after it.
        pub(super) fn step(&mut self, optimizer: &mut dyn Optimizer, gradient: &[f32]) -> Vec<f32> {
            let x = Tensor::new(gradient.to_vec(), &[gradient.len()]).unwrap();
            zero_grad::<f32>(self);
            let tape = Tape::new();
            let loss = self.forward(&x, &mut Context::train(1)).unwrap();
            tape.backward(&loss).unwrap();
            optimizer.step(self).unwrap();
            self.0.value.to_vec()
        }
    }

    impl Module for Dot {
        fn kind(&self) -> &'static str {
            "Dot"
        }

        fn forward(&mut self, x: &Tensor, _: &mut Context<'_>) -> Result<Tensor> {
            Ok(x.mul(&self.0.value)?.sum())
        }

        fn output_shape(&self, _: &[usize]) -> Result<Vec<usize>> {
            Ok(vec![])
        }

        fn visit<'a>(&'a self, f: &mut dyn FnMut(&str, Item<'a>)) {
            f("w", Item::Parameter(&self.0));
        }

        fn visit_mut<'a>(&'a mut self, f: &mut dyn FnMut(&str, ItemMut<'a>)) {
            f("w", ItemMut::Parameter(&mut self.0));
        }
    }

    pub(super) fn assert_close(got: &[f32], expected: &[f32]) {
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() <= 3e-7, "{got} is not {expected}");
        }
    }

    #[test]
    fn hyperparameters_are_set_and_checked() {
        let mut adam = Adam::fastai();
        adam.set_hyper(Hyper::Lr, 0.5).unwrap();
        assert_eq!(adam.hyper(Hyper::Lr), Some(0.5));
        for lr in [f64::NAN, -0.1, f64::INFINITY] {
            let error = adam.set_hyper(Hyper::Lr, lr).unwrap_err().to_string();
            assert!(error.starts_with("lr is ") && error.contains("finite"), "{error}");
        }
        assert_eq!(adam.hyper(Hyper::Lr), Some(0.5));
        let mut sgd = Sgd::default();
        let error = sgd.set_hyper(Hyper::SqrMomentum, 0.9).unwrap_err().to_string();
        assert!(error.contains("SGD") && error.contains("sqr_momentum"), "{error}");
    }

    #[test]
    fn every_hyperparameter_has_its_own_place() {
        let optimizers: [&mut dyn Optimizer; 2] = [&mut Adam::fastai(), &mut Sgd::default()];
        for optimizer in optimizers {
            let known = |optimizer: &dyn Optimizer| {
                Hyper::ALL.into_iter().filter(|&h| optimizer.hyper(h).is_some()).collect::<Vec<_>>()
            };
            let hypers = known(optimizer);
            for (i, &hyper) in hypers.iter().enumerate() {
                optimizer.set_hyper(hyper, 0.1 * (i + 1) as f64).unwrap();
            }
            for (i, &hyper) in hypers.iter().enumerate() {
                assert_eq!(optimizer.hyper(hyper), Some(0.1 * (i + 1) as f64), "{hyper:?}");
            }
        }
    }
}
