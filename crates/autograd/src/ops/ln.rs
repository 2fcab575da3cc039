//! Natural logarithm.

use topedge_kernels::elementwise;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Ln<T: Float> {
    x: Tensor<T>,
}

impl<T: Float> Backward<T> for Ln<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || dy.div(&self.x))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = ln(x)`. `dx = dy / x`.
    pub fn ln(&self) -> Self {
        let y = self.map(elementwise::ln);
        record(y, &[self], |_| Ln { x: self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, formats, positive, single, with_gaps};

    #[test]
    fn values() {
        let x = Tensor::new(vec![0.25, 1.0, 2.0, 30.0], &[4]).unwrap();
        let y = Tensor::new(
            vec![-1.3862943611198906, 0.0, std::f64::consts::LN_2, 3.4011973816621555],
            &[4],
        )
        .unwrap();
        assert_close(&x.ln(), &y, 1e-14);
        assert_close(&single(&x).ln(), &y, 1e-6);
    }

    #[test]
    fn gradient() {
        for x in [positive(1, &[]), positive(2, &[7]), positive(3, &[2, 5, 3]), positive(4, &[0])] {
            gradcheck(&[x], |x| Ok(with_gaps(&x[0]).ln())).unwrap();
        }
        for x in formats(&positive(5, &[2, 3, 2, 2])) {
            assert_eq!(x.ln().strides(), x.strides());
            gradcheck(&[x], |x| x[0].ln().mul(&x[0])).unwrap();
        }
    }
}
