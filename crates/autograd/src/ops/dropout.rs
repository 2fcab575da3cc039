//! Dropout.

use topedge_kernels::elementwise;

use rand::{Rng, RngExt};

use crate::error::{Error, Result};
use crate::float::Float;
use crate::mode::Mode;
use crate::tape::{Backward, Grads, record};
use crate::tensor::Tensor;

struct Dropout<T: Float> {
    /// 0 or `1 / (1 - p)`.
    mask: Tensor<T>,
}

impl<T: Float> Backward<T> for Dropout<T> {
    fn backward(&self, dy: Tensor<T>, grads: &mut Grads<'_, T>) -> Result<()> {
        grads.add(0, || self.mask.zip(&dy, elementwise::mul))
    }
}

impl<T: Float> Tensor<T> {
    /// In training, each element is 0 with probability `p` and multiplied with `1 / (1 - p)`
    /// otherwise, and so is its gradient; in evaluation, nothing changes.
    ///
    /// One number is drawn for each element, in the order in which they lie in memory.
    ///
    /// # Errors
    ///
    /// If `p` is not between 0 and 1.
    pub fn dropout(&self, p: f64, mode: Mode, rng: &mut (impl Rng + ?Sized)) -> Result<Self> {
        if !(0.0..=1.0).contains(&p) {
            return Err(Error::argument("dropout", "p", "0 to 1", p));
        }
        // With nothing to drop there is nothing to draw either.
        if mode == Mode::Eval || p == 0.0 {
            return Ok(self.clone());
        }
        let kept = T::from_f64(1.0 / (1.0 - p));
        let mut mask = Self::for_overwrite(self.layout().with_shape(self.layout().shape));
        for scale in mask.make_mut() {
            // Never below 1, so that p = 1 drops everything and never multiplies with infinity.
            *scale = if rng.random::<f64>() < p { T::ZERO } else { kept };
        }
        let y = mask.zip(self, elementwise::mul)?;
        Ok(record(y, &[self], |_| Dropout { mask }))
    }
}

#[cfg(test)]
mod tests {
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::SeedableRng;

    use super::*;
    use crate::gradcheck::gradcheck;
    use crate::testing::{formats, random, with_gaps};

    fn rng() -> Pcg64 {
        Pcg64::seed_from_u64(1)
    }

    #[test]
    fn a_part_is_dropped_and_the_rest_scaled_up() {
        let x = Tensor::<f32>::ones(&[100, 100]).unwrap();
        let y = x.dropout(0.25, Mode::Train, &mut rng()).unwrap().to_vec();
        let dropped = y.iter().filter(|&&y| y == 0.0).count();
        // Six standard deviations of a binomial count.
        assert!((dropped as f64 - 2500.0).abs() < 6.0 * (10_000.0f64 * 0.25 * 0.75).sqrt());
        assert!(y.iter().all(|&y| y == 0.0 || y == 1.0 / 0.75));
    }

    #[test]
    fn evaluation_and_extremes() {
        let x = random(1, &[3, 4]);
        assert_eq!(x.dropout(0.5, Mode::Eval, &mut rng()).unwrap().to_vec(), x.to_vec());
        assert_eq!(x.dropout(0.0, Mode::Train, &mut rng()).unwrap().to_vec(), x.to_vec());
        assert_eq!(x.dropout(1.0, Mode::Train, &mut rng()).unwrap().to_vec(), [0.0; 12]);
        for p in [-0.1, 1.1, f64::NAN] {
            assert!(x.dropout(p, Mode::Train, &mut rng()).is_err());
        }
        let error = x.dropout(2.0, Mode::Eval, &mut rng()).unwrap_err().to_string();
        assert_eq!(error, "dropout: p: expected 0 to 1, got 2");
    }

    #[test]
    fn gradient() {
        for p in [0.0, 0.3, 1.0] {
            let f = |x: &Tensor<f64>| x.dropout(p, Mode::Train, &mut rng());
            gradcheck(&[random(1, &[2, 5])], |x| f(&with_gaps(&x[0]))).unwrap();
            gradcheck(&[random(1, &[])], |x| f(&x[0])).unwrap();
            for x in formats(&random(1, &[2, 3, 2, 2])) {
                gradcheck(&[x], |x| f(&x[0])?.mul(&x[0])).unwrap();
            }
        }
    }
}
