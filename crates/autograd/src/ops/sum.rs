//! The sum and the mean of all elements.

use topedge_kernels::reduce;

use crate::error::Result;
use crate::float::Float;
use crate::layout::Layout;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Sum<T> {
    /// The input's, without gaps.
    x: Layout,
    /// What each element was multiplied with: 1 for the sum.
    scale: T,
}

impl<T: Float> Backward<T> for Sum<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let dx = dy.item()? * self.scale;
        grads.add(0, || Ok(Tensor::filled(self.x, dx)))
    }
}

impl<T: Float> Tensor<T> {
    /// The sum of all elements, as a tensor without axes; 0 if there are none. Each `dx = dy`.
    pub fn sum(&self) -> Self {
        let x = self.without_gaps();
        let y = Self::scalar(reduce::sum(x.dense()));
        record(y, &[self], |_| Sum { x: *x.layout(), scale: T::ONE })
    }

    /// The mean of all `n` elements, as a tensor without axes; NaN if there are none. Each
    /// `dx = dy / n`.
    pub fn mean(&self) -> Self {
        let x = self.without_gaps();
        let y = Self::scalar(reduce::mean(x.dense()));
        let scale = T::from_f64(1.0 / x.len() as f64);
        record(y, &[self], |_| Sum { x: *x.layout(), scale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, formats, random, single, with_gaps};

    #[test]
    fn values() {
        let x = random(1, &[3, 7]);
        let sum: f64 = x.to_vec().iter().sum();
        assert_close(&x.sum(), &Tensor::scalar(sum), 1e-12);
        assert_close(&single(&x).sum(), &Tensor::scalar(sum), 1e-5);
        assert_close(&x.mean(), &Tensor::scalar(sum / 21.0), 1e-12);
        assert_eq!(Tensor::<f32>::zeros(&[0, 2]).unwrap().sum().item(), Ok(0.0));
        assert!(Tensor::<f32>::zeros(&[0]).unwrap().mean().item().unwrap().is_nan());
    }

    #[test]
    fn gradient() {
        for x in [random(1, &[]), random(2, &[5]), random(3, &[2, 3]), random(3, &[0])] {
            gradcheck(std::slice::from_ref(&x), |x| Ok(with_gaps(&x[0]).sum())).unwrap();
        }
        for x in formats(&random(5, &[2, 3, 2, 2])) {
            gradcheck(&[x], |x| x[0].mul(&x[0])?.mean().mul(&x[0].sum())).unwrap();
        }
    }
}
