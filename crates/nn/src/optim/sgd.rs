//! Stochastic gradient descent.

use topedge_kernels::optim;

use super::{Hyper, Optimizer, decay_of, state, state_of};
use crate::error::Result;
use crate::module::{Module, for_each_parameter_mut};
use crate::state_dict::StateDict;

/// Stochastic gradient descent with momentum, undamped, as PyTorch and fastai have it:
///
/// ```text
/// p = p * (1 - lr * weight_decay)                  weights alone
/// avg = momentum * avg + g
/// p = p - lr * avg
/// ```
///
/// By default: learning rate .001, no momentum, no weight decay.
///
/// ```
/// use topedge_nn::optim::Sgd;
///
/// let mut sgd = Sgd::default();
/// sgd.momentum = 0.9;
/// ```
#[derive(Clone, Debug)]
pub struct Sgd {
    /// The learning rate.
    pub lr: f64,
    /// How much of the average stays in each step.
    pub momentum: f64,
    /// The decoupled weight decay.
    pub weight_decay: f64,
    averages: Vec<Vec<f32>>,
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd { lr: 1e-3, momentum: 0.0, weight_decay: 0.0, averages: vec![] }
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "SGD"
    }

    fn boxed_clone(&self) -> Box<dyn Optimizer> {
        Box::new(self.clone())
    }

    fn step(&mut self, model: &mut dyn Module) -> Result<()> {
        let mut index = 0;
        for_each_parameter_mut(model, |parameter| {
            let len = parameter.value.len();
            let average = state_of(&mut self.averages, index, || vec![0.0; len]);
            index += 1;
            let Some(gradient) = parameter.value.grad() else {
                return Ok(());
            };
            let config = optim::Sgd {
                lr: (self.lr * parameter.lr_scale) as f32,
                momentum: self.momentum as f32,
                weight_decay: decay_of(parameter, self.weight_decay, false),
                decoupled: true,
            };
            // A gradient lies in memory as its parameter does.
            let gradient = gradient.dense_slice()?;
            optim::sgd(&config, parameter.value.make_mut(), gradient, average)?;
            Ok(())
        })
    }

    fn state_dict(&self) -> StateDict {
        let averages = self.averages.iter().enumerate();
        averages
            .map(|(i, values)| (format!("{i}.momentum_buffer"), state::average(values)))
            .collect()
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        let state = state::Reader::new(self.name(), state);
        let averages = (0..state.parameters(1)?).map(|i| state.average(i, "momentum_buffer"));
        self.averages = averages.collect::<Result<_>>()?;
        Ok(())
    }

    fn hyper(&self, hyper: Hyper) -> Option<f64> {
        match hyper {
            Hyper::Lr => Some(self.lr),
            Hyper::Momentum => Some(self.momentum),
            Hyper::WeightDecay => Some(self.weight_decay),
            Hyper::SqrMomentum | Hyper::Eps => None,
        }
    }

    fn hyper_mut(&mut self, hyper: Hyper) -> Option<&mut f64> {
        match hyper {
            Hyper::Lr => Some(&mut self.lr),
            Hyper::Momentum => Some(&mut self.momentum),
            Hyper::WeightDecay => Some(&mut self.weight_decay),
            Hyper::SqrMomentum | Hyper::Eps => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::ParameterKind;
    use crate::optim::testing::{Dot, assert_close};

    /// Measured with PyTorch: p = 1, lr .1, momentum .9, gradient 1.
    #[test]
    fn golden_numbers() {
        let mut sgd = Sgd { lr: 0.1, momentum: 0.9, ..Sgd::default() };
        let mut model = Dot::new(&[1.0], ParameterKind::Weight);
        for expected in [0.9, 0.71, 0.439] {
            assert_close(&model.step(&mut sgd, &[1.0]), &[expected]);
        }
    }

    #[test]
    fn without_momentum_and_with_decay() {
        for (kind, expected) in [(ParameterKind::Weight, 0.85), (ParameterKind::Bias, 0.9)] {
            let mut sgd = Sgd { lr: 0.1, weight_decay: 0.5, ..Sgd::default() };
            let mut model = Dot::new(&[1.0], kind);
            assert_close(&model.step(&mut sgd, &[1.0]), &[expected]);
        }
    }
}
