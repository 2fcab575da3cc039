//! Adam.

use topedge_kernels::optim;

use super::{Hyper, Optimizer, decay_of, state, state_of};
use crate::error::Result;
use crate::module::{Module, for_each_parameter_mut};
use crate::state_dict::StateDict;

/// Adam (Kingma and Ba 2014), with decoupled weight decay (Loshchilov and Hutter 2017) or without.
///
/// For a parameter p with gradient g, in its t-th step:
///
/// ```text
/// p = p * (1 - lr * weight_decay)                  if decoupled; else g = g + weight_decay * p
/// m = momentum * m + (1 - momentum) * g
/// v = sqr_momentum * v + (1 - sqr_momentum) * g^2
/// p = p - lr * m / (1 - momentum^t) / (sqrt(v / (1 - sqr_momentum^t)) + eps)
/// ```
///
/// ```
/// use topedge_nn::optim::Adam;
///
/// let mut adam = Adam::fastai();
/// assert_eq!((adam.sqr_momentum, adam.eps), (0.99, 1e-5));
/// adam.weight_decay = 0.1;
/// ```
#[derive(Clone, Debug)]
pub struct Adam {
    /// The learning rate.
    pub lr: f64,
    /// The decay of the average of gradients, beta 1.
    pub momentum: f64,
    /// The decay of the average of squared gradients, beta 2.
    pub sqr_momentum: f64,
    /// Added to the denominator, outside the square root.
    pub eps: f64,
    /// The weight decay.
    pub weight_decay: f64,
    /// Whether weight decay shrinks the parameter itself, or else is added to the gradient.
    pub decoupled: bool,
    /// Whether biases and normalisation decay as weights do.
    pub decay_all: bool,
    states: Vec<Averages>,
}

/// What Adam remembers of one parameter.
#[derive(Clone, Debug)]
struct Averages {
    step: u64,
    gradient: Vec<f32>,
    squared: Vec<f32>,
}

impl Adam {
    /// fastai's defaults: betas .9 and .99, eps 1e-5, decoupled weight decay .01 on weights alone.
    /// The learning rate is .001 until it is set.
    pub fn fastai() -> Self {
        Adam {
            lr: 1e-3,
            momentum: 0.9,
            sqr_momentum: 0.99,
            eps: 1e-5,
            weight_decay: 0.01,
            decoupled: true,
            decay_all: false,
            states: vec![],
        }
    }

    /// PyTorch's defaults: betas .9 and .999, eps 1e-8, no weight decay; if there is one, it is
    /// added to all gradients.
    pub fn pytorch() -> Self {
        Adam {
            lr: 1e-3,
            momentum: 0.9,
            sqr_momentum: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
            decay_all: true,
            states: vec![],
        }
    }
}

impl Optimizer for Adam {
    fn name(&self) -> &'static str {
        "Adam"
    }

    fn config(&self) -> String {
        format!("decoupled={}, decay_all={}", self.decoupled, self.decay_all)
    }

    fn boxed_clone(&self) -> Box<dyn Optimizer> {
        Box::new(self.clone())
    }

    fn step(&mut self, model: &mut dyn Module) -> Result<()> {
        let mut index = 0;
        for_each_parameter_mut(model, |parameter| {
            let len = parameter.value.len();
            let state = state_of(&mut self.states, index, || Averages {
                step: 0,
                gradient: vec![0.0; len],
                squared: vec![0.0; len],
            });
            index += 1;
            let Some(gradient) = parameter.value.grad() else {
                return Ok(());
            };
            state.step += 1;
            let config = optim::Adam {
                lr: (self.lr * parameter.lr_scale) as f32,
                momentum: self.momentum as f32,
                sqr_momentum: self.sqr_momentum as f32,
                eps: self.eps as f32,
                weight_decay: decay_of(parameter, self.weight_decay, self.decay_all),
                decoupled: self.decoupled,
                step: state.step,
            };
            // A gradient lies in memory as its parameter does.
            let gradient = gradient.dense_slice()?;
            let values = parameter.value.make_mut();
            optim::adam(&config, values, gradient, &mut state.gradient, &mut state.squared)?;
            Ok(())
        })
    }

    fn state_dict(&self) -> StateDict {
        let entries = self.states.iter().enumerate().flat_map(|(i, averages)| {
            [
                (format!("{i}.step"), state::count(averages.step)),
                (format!("{i}.exp_avg"), state::average(&averages.gradient)),
                (format!("{i}.exp_avg_sq"), state::average(&averages.squared)),
            ]
        });
        entries.collect()
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        let state = state::Reader::new(self.name(), state);
        let averages = |i| {
            Ok(Averages {
                step: state.count(i, "step")?,
                gradient: state.average(i, "exp_avg")?,
                squared: state.average(i, "exp_avg_sq")?,
            })
        };
        self.states = (0..state.parameters(3)?).map(averages).collect::<Result<_>>()?;
        Ok(())
    }

    fn hyper(&self, hyper: Hyper) -> Option<f64> {
        Some(match hyper {
            Hyper::Lr => self.lr,
            Hyper::Momentum => self.momentum,
            Hyper::SqrMomentum => self.sqr_momentum,
            Hyper::Eps => self.eps,
            Hyper::WeightDecay => self.weight_decay,
        })
    }

    fn hyper_mut(&mut self, hyper: Hyper) -> Option<&mut f64> {
        Some(match hyper {
            Hyper::Lr => &mut self.lr,
            Hyper::Momentum => &mut self.momentum,
            Hyper::SqrMomentum => &mut self.sqr_momentum,
            Hyper::Eps => &mut self.eps,
            Hyper::WeightDecay => &mut self.weight_decay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::ParameterKind;
    use crate::optim::testing::{Dot, assert_close};

    const GRADIENTS: [[f32; 2]; 3] = [[0.1, -0.2], [0.3, 0.4], [-0.5, 0.6]];

    fn run(adam: Adam, kind: ParameterKind) -> Vec<Vec<f32>> {
        let mut adam = Adam { lr: 0.1, ..adam };
        let mut model = Dot::new(&[1.0, -2.0], kind);
        GRADIENTS.map(|g| model.step(&mut adam, &g)).to_vec()
    }

    /// Measured with fastai 2.8.12: three steps of `Adam([p], lr=.1)`.
    #[test]
    fn fastai_golden_numbers() {
        let values = run(Adam::fastai(), ParameterKind::Weight);
        assert_close(&values[0], &[0.899010003, -1.89800501]);
        assert_close(&values[1], &[0.806502581, -1.93266666]);
        assert_close(&values[2], &[0.821737349, -1.99869287]);
    }

    /// The formula of the documentation, in double precision.
    fn reference(adam: &Adam, decay: f64) -> Vec<Vec<f32>> {
        let (mut p, mut m, mut v) = ([1.0, -2.0], [0.0; 2], [0.0; 2]);
        let mut steps = vec![];
        for (t, gradient) in (1..).zip(GRADIENTS) {
            for i in 0..2 {
                let mut g = f64::from(gradient[i]);
                if adam.decoupled {
                    p[i] *= 1.0 - 0.1 * decay;
                } else {
                    g += decay * p[i];
                }
                m[i] = adam.momentum * m[i] + (1.0 - adam.momentum) * g;
                v[i] = adam.sqr_momentum * v[i] + (1.0 - adam.sqr_momentum) * g * g;
                let m = m[i] / (1.0 - adam.momentum.powi(t));
                let v = v[i] / (1.0 - adam.sqr_momentum.powi(t));
                p[i] -= 0.1 * m / (v.sqrt() + adam.eps);
            }
            steps.push(p.map(|p| p as f32).to_vec());
        }
        steps
    }

    #[test]
    fn biases_and_norms_decay_only_on_demand() {
        let l2 = Adam { weight_decay: 0.3, ..Adam::pytorch() };
        for adam in [Adam::fastai(), Adam::pytorch(), l2] {
            for kind in [ParameterKind::Weight, ParameterKind::Bias, ParameterKind::Norm] {
                let decays = kind == ParameterKind::Weight || adam.decay_all;
                let decay = if decays { adam.weight_decay } else { 0.0 };
                let expected = reference(&adam, decay);
                for (got, expected) in run(adam.clone(), kind).iter().zip(&expected) {
                    assert_close(got, expected);
                }
            }
        }
    }

    #[test]
    fn another_network_is_refused() {
        let mut adam = Adam::fastai();
        Dot::new(&[1.0, 2.0], ParameterKind::Weight).step(&mut adam, &[1.0, 1.0]);
        let mut other = Dot::new(&[1.0], ParameterKind::Weight);
        let x = topedge_autograd::Tensor::ones(&[1]).unwrap();
        let tape = topedge_autograd::Tape::new();
        let y = other.forward(&x, &mut crate::Context::train(1)).unwrap();
        tape.backward(&y).unwrap();
        assert!(adam.step(&mut other).is_err());
    }
}
