//! Dropout.

use topedge_autograd::{Float, Tensor};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::inference::Evaluation;
use crate::module::Module;
use crate::receptive_field::Reach;
use crate::trace::Precedents;

/// In training, each value becomes 0 with probability `p`, and what stays is divided by `1 - p`;
/// in evaluation nothing changes (Srivastava et al. 2014). Any shape.
///
/// ```
/// use topedge_autograd::Tensor;
/// use topedge_nn::layers::Dropout;
/// use topedge_nn::{Context, Module};
///
/// let x = Tensor::<f32>::ones(&[1000])?;
/// let mut layer = Dropout::new(0.2)?;
/// let zeros = layer.forward(&x, &mut Context::train(42))?.to_vec();
/// let zeros = zeros.iter().filter(|&&y| y == 0.0).count();
/// assert!((150..250).contains(&zeros));
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// A layer that drops values with probability `p`.
    ///
    /// # Errors
    ///
    /// When `p` is not a probability.
    pub fn new(p: f64) -> Result<Self> {
        if (0.0..=1.0).contains(&p) {
            Ok(Dropout { p })
        } else {
            Err(Error::setting("Dropout: p", p, "a probability, 0 to 1"))
        }
    }
}

impl<T: Float> Module<T> for Dropout {
    fn kind(&self) -> &'static str {
        "Dropout"
    }

    fn config(&self) -> String {
        format!("p={}", self.p)
    }

    fn forward(&mut self, x: &Tensor<T>, cx: &mut Context<'_, T>) -> Result<Tensor<T>> {
        Ok(x.dropout(self.p, cx.mode, &mut cx.rng)?)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(input.to_vec())
    }

    fn reach(&self) -> Reach {
        Reach::Pointwise
    }

    fn evaluation(&self) -> Evaluation<'_, T> {
        Evaluation::Identity
    }

    fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
        Precedents::pointwise(x, at, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(p: f64, cx: &mut Context<'_, f64>) -> Vec<f64> {
        let x = Tensor::ones(&[5, 7]).unwrap();
        Dropout::new(p).unwrap().forward(&x, cx).unwrap().to_vec()
    }

    #[test]
    fn training_scales_what_stays() {
        let y = run(0.5, &mut Context::train(1));
        assert!(y.iter().all(|&y| y == 0.0 || y == 2.0), "{y:?}");
        assert!(y.contains(&0.0) && y.contains(&2.0), "{y:?}");
        assert!(run(1.0, &mut Context::train(1)).iter().all(|&y| y == 0.0));
        assert_eq!(run(0.0, &mut Context::train(1)), [1.0; 35]);
    }

    #[test]
    fn evaluation_changes_nothing() {
        assert_eq!(run(0.5, &mut Context::eval()), [1.0; 35]);
    }

    #[test]
    fn the_seed_decides_and_the_generator_moves_on() {
        let mut cx = Context::train(1);
        let first = run(0.5, &mut cx);
        assert_ne!(run(0.5, &mut cx), first);
        assert_eq!(run(0.5, &mut Context::train(1)), first);
        assert_ne!(run(0.5, &mut Context::train(2)), first);
    }

    #[test]
    fn only_probabilities() {
        for p in [-0.1, 1.1, f64::NAN] {
            assert!(Dropout::new(p).is_err(), "{p}");
        }
    }
}
