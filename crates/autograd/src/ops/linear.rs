//! The fully connected layer.

use topedge_kernels::gemm::gemm;
use topedge_kernels::{MatRef, reduce};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

const OP: &str = "linear";
const X: &str = "[n, in]";
const WEIGHT: &str = "[out, in]";

struct Linear<T: Float> {
    x: Tensor<T>,
    weight: Tensor<T>,
}

impl<T: Float> Backward<T> for Linear<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        let dy = &dy.in_parts_of(self.x.layout());
        let of_y: MatRef<'_, T> = dy.matrix(OP, "dy", "[n, out]")?;
        grads.add(0, || {
            let mut dx = self.x.like_with_shape(OP, self.x.shape())?;
            let weight = self.weight.matrix(OP, "weight", WEIGHT)?;
            gemm(T::ONE, of_y, weight, T::ZERO, dx.matrix_mut(OP, "dx")?)?;
            Ok(dx)
        })?;
        grads.add(1, || {
            let mut dweight = self.weight.like_with_shape(OP, self.weight.shape())?;
            let x = self.x.matrix(OP, "x", X)?;
            gemm(T::ONE, of_y.transpose(), x, T::ZERO, dweight.matrix_mut(OP, "dweight")?)?;
            Ok(dweight)
        })?;
        grads.add(2, || dy.sum_axis(0, false))
    }
}

impl<T: Float> Tensor<T> {
    /// `y = x weight^T + bias` for `x` `[n, in]`, `weight` `[out, in]` and `bias` `[out]`, however
    /// they lie in memory. `dx = dy weight`, `dweight = dy^T x`, `dbias = sum of dy over n`.
    ///
    /// # Errors
    ///
    /// If a shape is another.
    pub fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        if self.parts() > 1 {
            return self.in_one_part().linear(weight, bias);
        }
        let weight = &weight.in_one_part();
        let [n, inputs] = self.sizes(OP, "x", X)?;
        let [outputs, weight_inputs] = weight.sizes(OP, "weight", WEIGHT)?;
        if inputs != weight_inputs {
            let expected = format!("{weight_inputs}, as in weight of shape {:?}", weight.shape());
            let got = format!("{inputs} in {:?}", self.shape());
            return Err(Error::shape(OP, "axis 1 of x (in)", expected, got));
        }
        let mut y = self.like_with_shape(OP, &[n, outputs])?;
        let beta = match bias {
            None => T::ZERO,
            Some(bias) => {
                let bias = bias.vector(OP, "bias", outputs)?;
                let [outer, n, inner] = y.layout().around(0);
                reduce::broadcast_axis(bias.dense(), outer, n, inner, y.make_mut())?;
                T::ONE
            }
        };
        let x = self.matrix(OP, "x", X)?;
        let w = weight.matrix(OP, "weight", WEIGHT)?;
        gemm(T::ONE, x, w.transpose(), beta, y.matrix_mut(OP, "y")?)?;
        let backward = |_: &_| Linear { x: self.clone(), weight: weight.clone() };
        Ok(match bias {
            None => record(y, &[self, weight], backward),
            Some(bias) => record(y, &[self, weight, bias], backward),
        })
    }
}

#[cfg(test)]
mod tests {

    use crate::gradcheck::gradcheck;
    use crate::testing::{assert_close, random, single, with_gaps};

    #[test]
    fn values() {
        for [n, inputs, outputs] in [[2, 3, 4], [1, 5, 1], [3, 1, 2], [2, 0, 3], [0, 2, 3]] {
            let (x, bias) = (random(1, &[n, inputs]), random(3, &[outputs]));
            let weight = random(2, &[outputs, inputs]);
            let product = x.matmul(&weight.transpose(0, 1).unwrap()).unwrap();
            assert_close(&x.linear(&weight, None).unwrap(), &product, 1e-12);
            let expected = product.add(&bias).unwrap();
            assert_close(&x.linear(&weight, Some(&bias)).unwrap(), &expected, 1e-12);
            let y = single(&x).linear(&single(&weight), Some(&single(&bias))).unwrap();
            assert_close(&y, &expected, 1e-5);
        }
    }

    #[test]
    fn batch_last_stays_batch_last() {
        let x = random(1, &[3, 4]).transpose(0, 1).unwrap();
        let y = x.linear(&random(2, &[2, 3]), Some(&random(3, &[2]))).unwrap();
        assert_eq!(y.strides(), [1, 4]);
        let expected = x.contiguous().linear(&random(2, &[2, 3]), Some(&random(3, &[2]))).unwrap();
        assert_close(&y, &expected, 1e-12);
    }

    #[test]
    fn refusals() {
        let (x, weight) = (random(1, &[2, 3]), random(2, &[4, 5]));
        let error = x.linear(&weight, None).unwrap_err().to_string();
        assert_eq!(
            error,
            "linear: axis 1 of x (in): expected 5, as in weight of shape [4, 5], got 3 in [2, 3]"
        );
        let weight = random(2, &[4, 3]);
        assert!(x.linear(&weight, Some(&random(3, &[3]))).is_err());
        assert!(x.linear(&weight, Some(&random(3, &[4, 1]))).is_err());
        assert!(random(1, &[3]).linear(&weight, None).is_err());
    }

    #[test]
    fn gradient() {
        for [n, inputs, outputs] in [[2, 3, 4], [1, 5, 1], [2, 0, 3]] {
            let weight = random(2, &[outputs, inputs]);
            let inputs = [random(1, &[n, inputs]), weight, random(3, &[outputs])];
            gradcheck(&inputs, |x| x[0].linear(&x[1], Some(&x[2]))).unwrap();
            gradcheck(&inputs[..2], |x| with_gaps(&x[0]).linear(&with_gaps(&x[1]), None)).unwrap();
        }
        let x = random(1, &[3, 4]).transpose(0, 1).unwrap();
        gradcheck(&[x, random(2, &[3, 3]), random(3, &[3])], |x| {
            x[0].linear(&x[1], Some(&x[2]))?.linear(&x[1], Some(&x[2]))
        })
        .unwrap();
    }
}
