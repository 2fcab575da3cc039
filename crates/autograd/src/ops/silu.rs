//! Sigmoid linear unit, also called swish.

use topedge_kernels::elementwise;

use crate::error::Result;
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Silu<T: Float> {
    x: Tensor<T>,
}

impl<T: Float> Backward<T> for Silu<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || self.x.zip(&dy, elementwise::silu_backward))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = x s` with `s = 1 / (1 + exp(-x))`. `dx = s (1 + x (1 - s)) dy`.
    pub fn silu(&self) -> Self {
        let y = self.map(elementwise::silu);
        record(y, &[self], |_| Silu { x: self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, formats, random, single, with_gaps};

    #[test]
    fn values() {
        let x = Tensor::new(vec![-3.0, -0.5, 0.5, 3.0], &[4]).unwrap();
        let y = Tensor::new(
            vec![-0.14227761953270035, -0.1887703343990727, 0.3112296656009273, 2.8577223804672998],
            &[4],
        )
        .unwrap();
        assert_close(&x.silu(), &y, 1e-14);
        assert_close(&single(&x).silu(), &y, 1e-6);
    }

    #[test]
    fn gradient() {
        for x in [random(1, &[]), random(2, &[7]), random(3, &[2, 5, 3]), random(4, &[0])] {
            gradcheck(&[x], |x| Ok(with_gaps(&x[0]).silu())).unwrap();
        }
        for x in formats(&random(5, &[2, 3, 2, 2])) {
            assert_eq!(x.silu().strides(), x.strides());
            gradcheck(&[x], |x| x[0].silu().mul(&x[0])).unwrap();
        }
    }
}
