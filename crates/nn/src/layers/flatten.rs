//! All but the first axis made one.

use topedge_autograd::{Float, Tensor};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::inference::Evaluation;
use crate::module::Module;
use crate::receptive_field::Reach;
use crate::trace::{Precedents, Term, position};

/// `[n, a, b, ..]` to `[n, a * b * ..]`. Unlike squeezing, it keeps the first axis, whatever its
/// length.
///
/// ```
/// use topedge_autograd::Tensor;
/// use topedge_nn::layers::Flatten;
/// use topedge_nn::{Context, Module};
///
/// let y = Flatten.forward(&Tensor::<f32>::ones(&[1, 2, 1, 1])?, &mut Context::eval())?;
/// assert_eq!(y.shape(), [1, 2]);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flatten;

impl<T: Float> Module<T> for Flatten {
    fn kind(&self) -> &'static str {
        "Flatten"
    }

    fn forward(&mut self, x: &Tensor<T>, _: &mut Context<'_, T>) -> Result<Tensor<T>> {
        Ok(x.flatten(1)?)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let (n, rest) = match input {
            [n, rest @ ..] if !rest.is_empty() => (*n, rest),
            _ => {
                let found = format!("{input:?}");
                return Err(Error::unexpected("input shape", "at least two axes", found));
            }
        };
        let features = rest.iter().try_fold(1_usize, |m, &n| m.checked_mul(n));
        let features = features.ok_or_else(|| {
            Error::unexpected("input shape", "what fits into memory", format!("{input:?}"))
        })?;
        Ok(vec![n, features])
    }

    fn reach(&self) -> Reach {
        Reach::Flatten
    }

    fn evaluation(&self) -> Evaluation<'_, T> {
        Evaluation::Flatten
    }

    fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
        let output = Module::<T>::output_shape(self, x.shape())?;
        let [feature] = position(at, &output)?;
        let mut rest = feature;
        let mut from = x.shape()[1..].to_vec();
        for size in from.iter_mut().rev() {
            (rest, *size) = (rest / *size, rest % *size);
        }
        let input = x.to_vec()[feature].to_f64();
        Ok(Precedents { terms: vec![Term::new(from, input, 1.0)], bias: None, function: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{check_gradients, check_shape, tensor};

    #[test]
    fn keeps_the_values_in_order() {
        let x = tensor(&[2, 3, 1, 4]);
        let y = Flatten.forward(&x, &mut Context::eval()).unwrap();
        assert_eq!(y.shape(), [2, 12]);
        assert_eq!(y.to_vec(), x.to_vec());
        check_gradients(&mut Flatten, &x);
    }

    #[test]
    fn shapes() {
        for shape in [&[1, 2, 1, 1][..], &[5, 4], &[3, 1, 2]] {
            check_shape::<f32>(&mut Flatten, shape);
        }
        for shape in [&[][..], &[5]] {
            assert!(Module::<f32>::output_shape(&Flatten, shape).is_err(), "{shape:?}");
        }
    }
}
