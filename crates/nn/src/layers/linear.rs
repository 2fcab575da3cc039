//! The fully connected layer.

use rand_pcg::Pcg64;
use topedge_autograd::{Float, Tensor};

use super::positive;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::inference::Evaluation;
use crate::init::Init;
use crate::module::{Item, ItemMut, Module, Parameter, ParameterKind};
use crate::trace::{Precedents, Term, position};

/// `y = x W^T + b`: x `[n, in_features]`, W `[out_features, in_features]`, b `[out_features]`,
/// y `[n, out_features]`.
///
/// Weight and bias start as U(-k, k), `k = 1 / sqrt(in_features)`.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_autograd::Tensor;
/// use topedge_nn::layers::{Linear, LinearConfig};
/// use topedge_nn::{Context, Module};
///
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
/// let mut layer = Linear::new(784, 30, &LinearConfig::default(), &mut rng)?;
/// let y = layer.forward(&Tensor::<f32>::ones(&[64, 784])?, &mut Context::eval())?;
/// assert_eq!(y.shape(), [64, 30]);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Linear<T: Float = f32> {
    weight: Parameter<T>,
    bias: Option<Parameter<T>>,
}

/// What a [`Linear`] layer has besides its sizes. By default: a bias, weights as PyTorch's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearConfig {
    /// Whether a bias is added.
    pub bias: bool,
    /// What the weights are drawn from.
    pub init: Init,
}

impl Default for LinearConfig {
    fn default() -> Self {
        LinearConfig { bias: true, init: Init::default() }
    }
}

impl<T: Float> Linear<T> {
    /// A layer with weights drawn from `rng`.
    ///
    /// # Errors
    ///
    /// When a size is 0, or the weights do not fit into memory.
    pub fn new(
        in_features: usize,
        out_features: usize,
        config: &LinearConfig,
        rng: &mut Pcg64,
    ) -> Result<Self> {
        positive("Linear: in_features", &[in_features])?;
        positive("Linear: out_features", &[out_features])?;
        let weight = config.init.sample(&[out_features, in_features], in_features, rng)?;
        let bias = config
            .bias
            .then(|| Init::FanIn.sample(&[out_features], in_features, rng))
            .transpose()?;
        Ok(Linear {
            weight: Parameter::new(weight, ParameterKind::Weight),
            bias: bias.map(|bias| Parameter::new(bias, ParameterKind::Bias)),
        })
    }
}

impl<T: Float> Module<T> for Linear<T> {
    fn kind(&self) -> &'static str {
        "Linear"
    }

    fn config(&self) -> String {
        let [out_features, in_features] = [0, 1].map(|axis| self.weight.value.shape()[axis]);
        let bias = if self.bias.is_some() { "" } else { ", bias=false" };
        format!("in_features={in_features}, out_features={out_features}{bias}")
    }

    fn forward(&mut self, x: &Tensor<T>, _: &mut Context<'_, T>) -> Result<Tensor<T>> {
        let bias = self.bias.as_ref().map(|bias| &bias.value);
        Ok(x.linear(&self.weight.value, bias)?)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let shape = self.weight.value.shape();
        match *input {
            [n, features] if features == shape[1] => Ok(vec![n, shape[0]]),
            _ => Err(Error::unexpected(
                "input shape",
                format!("[n, {}]", shape[1]),
                format!("{input:?}"),
            )),
        }
    }

    fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
        let [output] = position(at, &self.output_shape(x.shape())?)?;
        let (x, weight) = (x.to_vec(), self.weight.value.to_vec());
        let features = self.weight.value.shape()[1];
        let terms = (0..features)
            .map(|i| Term::new(vec![i], x[i].to_f64(), weight[output * features + i].to_f64()));
        let bias = self.bias.as_ref().map(|bias| bias.value.to_vec()[output].to_f64());
        Ok(Precedents { terms: terms.collect(), bias, function: None })
    }

    fn evaluation(&self) -> Evaluation<'_, T> {
        let bias = self.bias.as_ref().map(|bias| &bias.value);
        Evaluation::Linear { weight: &self.weight.value, bias }
    }

    fn visit<'a>(&'a self, f: &mut dyn FnMut(&str, Item<'a, T>)) {
        f("weight", Item::Parameter(&self.weight));
        if let Some(bias) = &self.bias {
            f("bias", Item::Parameter(bias));
        }
    }

    fn visit_mut<'a>(&'a mut self, f: &mut dyn FnMut(&str, ItemMut<'a, T>)) {
        f("weight", ItemMut::Parameter(&mut self.weight));
        if let Some(bias) = &mut self.bias {
            f("bias", ItemMut::Parameter(bias));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{check_gradients, check_shape, rng, tensor};

    #[test]
    fn computes_x_times_w_transposed_plus_b() {
        let mut layer: Linear<f64> =
            Linear::new(2, 3, &LinearConfig::default(), &mut rng()).unwrap();
        layer.weight.value = Tensor::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]).unwrap();
        layer.bias.as_mut().unwrap().value = Tensor::new(vec![0.1, 0.2, 0.3], &[3]).unwrap();
        let x = Tensor::new(vec![1.0, 10.0], &[1, 2]).unwrap();
        let y = layer.forward(&x, &mut Context::eval()).unwrap();
        assert_eq!(y.to_vec(), [21.1, 43.2, 65.3]);
    }

    #[test]
    fn gradients() {
        for bias in [true, false] {
            let config = LinearConfig { bias, ..Default::default() };
            let mut layer = Linear::new(5, 3, &config, &mut rng()).unwrap();
            check_gradients(&mut layer, &tensor(&[4, 5]));
            check_shape(&mut layer, &[4, 5]);
            check_shape(&mut layer, &[1, 5]);
        }
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let config = LinearConfig::default();
        for (n, m) in [(0, 3), (3, 0), (usize::MAX, usize::MAX)] {
            assert!(Linear::<f32>::new(n, m, &config, &mut rng()).is_err());
        }
        let mut layer: Linear<f64> = Linear::new(5, 3, &config, &mut rng()).unwrap();
        let error = layer.output_shape(&[4, 6]).unwrap_err().to_string();
        assert!(error.contains("[n, 5]") && error.contains("[4, 6]"), "{error}");
        assert!(layer.forward(&tensor(&[4, 6]), &mut Context::eval()).is_err());
    }

    #[test]
    fn says_what_it_is() {
        let config = LinearConfig { bias: false, ..Default::default() };
        let layer: Linear = Linear::new(5, 3, &config, &mut rng()).unwrap();
        assert_eq!(layer.config(), "in_features=5, out_features=3, bias=false");
    }
}
