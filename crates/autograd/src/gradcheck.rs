//! Gradients checked against finite differences.

use crate::error::{Error, Result};
use crate::tape::{Tape, no_grad};
use crate::tensor::Tensor;

/// How a gradient check perturbs and compares.
///
/// For a function `f` of some inputs it takes `L = sum of weight * f(inputs)`, with a fixed weight of
/// its own for each element of the result, and compares each element of each input's gradient with
/// the central difference `(L(x + eps) - L(x - eps)) / (2 eps)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradCheck {
    /// The step. 1e-6 by default.
    pub eps: f64,
    /// The error allowed of a gradient of 0. 1e-5 by default.
    pub atol: f64,
    /// The error allowed as a part of the finite difference. 1e-3 by default.
    pub rtol: f64,
}

impl Default for GradCheck {
    fn default() -> Self {
        Self { eps: 1e-6, atol: 1e-5, rtol: 1e-3 }
    }
}

/// [`GradCheck::check`] with the default tolerances.
///
/// # Errors
///
/// If a gradient is wrong, or `f` fails.
///
/// ```
/// use topedge_autograd::{Tensor, gradcheck};
///
/// let x = Tensor::new(vec![0.3, -0.7, 1.1, 0.2, 0.9, -0.4], &[2, 3])?;
/// let weight = Tensor::new(vec![0.5, -1.0, 0.25], &[1, 3])?;
/// gradcheck(&[x, weight], |inputs| Ok(inputs[0].linear(&inputs[1], None)?.tanh()))?;
/// # Ok::<(), topedge_autograd::Error>(())
/// ```
pub fn gradcheck(
    inputs: &[Tensor<f64>],
    f: impl FnMut(&[Tensor<f64>]) -> Result<Tensor<f64>>,
) -> Result<()> {
    GradCheck::default().check(inputs, f)
}

impl GradCheck {
    /// Checks the gradient of `f` at `inputs`, for each of them. `f` must be a function: what is
    /// random in it must be seeded anew each time.
    ///
    /// # Errors
    ///
    /// [`Error::Gradient`] if a gradient is wrong, [`Error::NotTracked`] if the result depends on no
    /// input, or what `f` returns.
    pub fn check(
        &self,
        inputs: &[Tensor<f64>],
        mut f: impl FnMut(&[Tensor<f64>]) -> Result<Tensor<f64>>,
    ) -> Result<()> {
        let leaves: Vec<_> = inputs.iter().map(|x| x.clone().requires_grad()).collect();
        let weights = {
            let tape = Tape::new();
            let y = f(&leaves)?;
            let weights = weights(y.shape())?;
            tape.backward_with(&y, &weights)?;
            weights
        };
        let mut perturbed: Vec<_> = leaves.iter().map(Tensor::detach).collect();
        let mut loss = |inputs: &[Tensor<f64>]| no_grad(|| f(inputs)?.mul(&weights)?.sum().item());
        for (input, leaf) in leaves.iter().enumerate() {
            // The gradient lies as its leaf, so that one index serves both. An input that the
            // result does not depend on has no gradient.
            let gradient = leaf.grad();
            for place in 0..leaf.len() {
                let x = perturbed[input].make_mut()[place];
                let mut loss_at = |x| {
                    perturbed[input].make_mut()[place] = x;
                    loss(&perturbed)
                };
                let numeric = (loss_at(x + self.eps)? - loss_at(x - self.eps)?) / (2.0 * self.eps);
                perturbed[input].make_mut()[place] = x;
                let backward = gradient.as_ref().map_or(0.0, |gradient| gradient.dense()[place]);
                let tolerance = self.atol + self.rtol * numeric.abs();
                // NaN is within no tolerance.
                let agrees = (backward - numeric).abs() <= tolerance;
                if !agrees {
                    let index = index_of(leaf, place);
                    return Err(Error::Gradient { input, index, backward, numeric });
                }
            }
        }
        Ok(())
    }
}

/// Weights between 0.5 and 1.5 without a pattern that a wrong gradient could hide in.
fn weights(shape: &[usize]) -> Result<Tensor<f64>> {
    let len: usize = shape.iter().product();
    // Multiples of the square root of 2, modulo 1.
    let weight = |i: usize| 0.5 + (i as f64 * std::f64::consts::SQRT_2).fract();
    Tensor::new((1..=len).map(weight).collect(), shape)
}

/// Which element of `x`, which is dense, lies at `place` in memory.
fn index_of(x: &Tensor<f64>, place: usize) -> Vec<usize> {
    let part = x.layout().part();
    let axes = part.shape.iter().zip(&*part.strides);
    let mut index: Vec<_> =
        axes.map(|(&size, &stride)| place % part.len() / stride % size).collect();
    if let Some(first) = index.first_mut() {
        *first += place / part.len() * part.shape[0];
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::{Backward, Grads, record};
    use crate::testing::random;

    /// Claims a gradient of `2 dy`, except for the first element.
    struct Wrong;

    impl Backward<f64> for Wrong {
        fn backward(&self, dy: Tensor<f64>, grads: &mut Grads<'_, f64>) -> Result<()> {
            let mut dx = dy.mul_scalar(2.0).contiguous();
            dx.make_mut()[0] = dy.contiguous().dense()[0];
            grads.add(0, || Ok(dx))
        }
    }

    #[test]
    fn a_wrong_gradient_is_found_and_named() {
        let result = gradcheck(&[random(1, &[2]), random(2, &[2, 3])], |x| {
            let wrong = record(x[1].detach(), &[&x[1]], |_| Wrong);
            x[0].narrow(0, 0, 1)?.mul(&wrong)
        });
        match result {
            Err(Error::Gradient { input, index, backward, numeric }) => {
                assert_eq!((input, index), (1, vec![0, 1]));
                assert!((backward - 2.0 * numeric).abs() < 1e-6);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_index_is_logical_in_every_layout() {
        let x = random(1, &[2, 3, 4]).permute(&[2, 0, 1]).unwrap();
        assert_eq!(index_of(&x, 7), [3, 0, 1]);
    }

    #[test]
    fn an_unused_input_has_no_gradient_and_a_constant_result_is_refused() {
        gradcheck(&[random(1, &[2]), random(2, &[2])], |x| Ok(x[1].neg())).unwrap();
        let constant = gradcheck(&[random(1, &[2])], |_| Ok(Tensor::scalar(1.0)));
        assert_eq!(constant, Err(Error::NotTracked));
    }
}
