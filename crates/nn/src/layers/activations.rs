//! Activation functions: each value for itself, shapes unchanged, nothing to train.

use topedge_autograd::{Float, Tensor};

use crate::context::Context;
use crate::error::Result;
use crate::inference::Evaluation;
use crate::module::Module;
use crate::receptive_field::Reach;
use crate::trace::Precedents;

/// A layer that maps each value for itself.
macro_rules! activation {
    ($(#[$doc:meta])* $layer:ident, $kind:literal, $method:ident, $evaluation:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $layer;

        impl<T: Float> Module<T> for $layer {
            fn kind(&self) -> &'static str {
                $kind
            }

            fn forward(&mut self, x: &Tensor<T>, _: &mut Context<'_, T>) -> Result<Tensor<T>> {
                Ok(x.$method())
            }

            fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
                Ok(input.to_vec())
            }

            fn reach(&self) -> Reach {
                Reach::Pointwise
            }

            fn evaluation(&self) -> Evaluation<'_, T> {
                Evaluation::$evaluation
            }

            fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
                Precedents::pointwise(x, at, Some($kind))
            }
        }
    };
}

activation! {
    /// `max(x, 0)`; NaN stays NaN.
    Relu, "ReLU", relu, Relu
}
activation! {
    /// `1 / (1 + exp(-x))`.
    Sigmoid, "Sigmoid", sigmoid, Other
}
activation! {
    /// The hyperbolic tangent.
    Tanh, "Tanh", tanh, Other
}
activation! {
    /// `x * P(N(0, 1) <= x)`, by the error function itself and not by its approximation
    /// (Hendrycks and Gimpel 2016).
    Gelu, "GELU", gelu, Other
}
activation! {
    /// `x * sigmoid(x)` (Elfwing et al. 2017), also known as swish.
    Silu, "SiLU", silu, Other
}

/// `x` where it is above 0, `negative_slope * x` elsewhere. The default slope is .01.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeakyRelu {
    /// What negative values are multiplied by.
    pub negative_slope: f64,
}

impl Default for LeakyRelu {
    fn default() -> Self {
        LeakyRelu { negative_slope: 0.01 }
    }
}

impl<T: Float> Module<T> for LeakyRelu {
    fn kind(&self) -> &'static str {
        "LeakyReLU"
    }

    fn config(&self) -> String {
        format!("negative_slope={}", self.negative_slope)
    }

    fn forward(&mut self, x: &Tensor<T>, _: &mut Context<'_, T>) -> Result<Tensor<T>> {
        Ok(x.leaky_relu(T::from_f64(self.negative_slope)))
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn reach(&self) -> Reach {
        Reach::Pointwise
    }

    fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
        Precedents::pointwise(x, at, Some("LeakyReLU"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{check_gradients, check_shape, tensor};

    fn at_minus_one_and_two(layer: &mut dyn Module<f64>) -> Vec<f64> {
        let x = Tensor::new(vec![-1.0, 2.0], &[2]).unwrap();
        layer.forward(&x, &mut Context::eval()).unwrap().to_vec()
    }

    /// The expected values are PyTorch's.
    #[test]
    fn values() {
        let layers: [(&mut dyn Module<f64>, [f64; 2]); 6] = [
            (&mut Relu, [0.0, 2.0]),
            (&mut LeakyRelu::default(), [-0.01, 2.0]),
            (&mut Sigmoid, [0.2689414213699951, 0.8807970779778823]),
            (&mut Tanh, [-0.7615941559557649, 0.9640275800758169]),
            (&mut Gelu, [-0.15865525393145707, 1.9544997361036416]),
            (&mut Silu, [-0.2689414213699951, 1.7615941559557646]),
        ];
        for (layer, expected) in layers {
            let kind = layer.kind();
            for (got, expected) in at_minus_one_and_two(layer).into_iter().zip(expected) {
                assert!((got - expected).abs() < 1e-12, "{kind}: {got} is not {expected}");
            }
        }
    }

    #[test]
    fn gradients() {
        let layers: [&mut dyn Module<f64>; 6] = [
            &mut Relu,
            &mut LeakyRelu { negative_slope: 0.2 },
            &mut Sigmoid,
            &mut Tanh,
            &mut Gelu,
            &mut Silu,
        ];
        for layer in layers {
            check_gradients(layer, &tensor(&[3, 4]));
            check_shape(layer, &[2, 3, 1, 4]);
        }
    }
}
