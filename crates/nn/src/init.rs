//! Initial weights.

use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use topedge_autograd::{Float, Tensor};

use crate::error::{Error, Result};
use crate::module::{Module, ParameterKind, for_each_parameter_mut};

/// What initial weights are drawn from. `fan_in` is the number of inputs that one output sums
/// over.
///
/// ```
/// use topedge_nn::Init;
///
/// assert_eq!("kaiming-normal".parse::<Init>()?, Init::KaimingNormal);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Init {
    /// U(-b, b), `b = 1 / sqrt(fan_in)`: what layers start with here and in PyTorch (there it is
    /// called `kaiming_uniform` with `a = sqrt(5)`).
    #[default]
    FanIn,
    /// U(-b, b), `b = sqrt(6 / fan_in)`, for layers before a ReLU (He et al. 2015).
    KaimingUniform,
    /// N(0, s^2), `s = sqrt(2 / fan_in)`, for layers before a ReLU (He et al. 2015).
    KaimingNormal,
}

impl Init {
    /// Every initialisation there is.
    pub const ALL: [Init; 3] = [Init::FanIn, Init::KaimingUniform, Init::KaimingNormal];

    /// Its name, as in `kaiming-normal`.
    pub fn name(self) -> &'static str {
        match self {
            Init::FanIn => "fan-in",
            Init::KaimingUniform => "kaiming-uniform",
            Init::KaimingNormal => "kaiming-normal",
        }
    }

    /// A tensor of random values. They are drawn in double precision, so that networks in `f32`
    /// and `f64` start alike.
    ///
    /// # Errors
    ///
    /// When a tensor of this shape is too large.
    pub fn sample<T: Float>(
        self,
        shape: &[usize],
        fan_in: usize,
        rng: &mut Pcg64,
    ) -> Result<Tensor<T>> {
        let len = shape.iter().try_fold(1_usize, |len, &n| len.checked_mul(n));
        let len = len.filter(|&len| len <= isize::MAX as usize / size_of::<f64>());
        let len = len.ok_or_else(|| {
            Error::setting("weight shape", format!("{shape:?}"), "what fits into memory")
        })?;
        let fan_in = fan_in as f64;
        let values = (0..len)
            .map(|_| match self {
                Init::FanIn => uniform((1.0 / fan_in).sqrt(), rng),
                Init::KaimingUniform => uniform((6.0 / fan_in).sqrt(), rng),
                Init::KaimingNormal => (2.0 / fan_in).sqrt() * rng.sample::<f64, _>(StandardNormal),
            })
            .map(T::from_f64)
            .collect();
        Ok(Tensor::new(values, shape)?)
    }

    /// Draws all weights of a network anew. Biases, and what belongs to normalisation, stay.
    ///
    /// # Errors
    ///
    /// None: the shapes are those of the network.
    pub fn apply<T: Float>(self, module: &mut dyn Module<T>, rng: &mut Pcg64) -> Result<()> {
        for_each_parameter_mut(module, |parameter| {
            if parameter.kind == ParameterKind::Weight {
                let shape = parameter.value.shape().to_vec();
                let fan_in = shape.iter().skip(1).product();
                parameter.set(self.sample(&shape, fan_in, rng)?);
            }
            Ok(())
        })
    }
}

fn uniform(bound: f64, rng: &mut Pcg64) -> f64 {
    bound * (2.0 * rng.random::<f64>() - 1.0)
}

impl std::str::FromStr for Init {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Init::ALL.into_iter().find(|init| init.name() == name);
        found.ok_or_else(|| {
            let names = Init::ALL.map(Init::name).join(", ");
            Error::setting("initialisation", name, format!("one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Linear, LinearConfig};
    use crate::parameters;
    use rand::SeedableRng;

    fn draw(init: Init) -> Vec<f64> {
        let mut rng = Pcg64::seed_from_u64(3);
        init.sample(&[200, 50], 50, &mut rng).unwrap().to_vec()
    }

    /// Mean, standard deviation and largest absolute value.
    fn moments(values: &[f64]) -> (f64, f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let largest = values.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
        (mean, variance.sqrt(), largest)
    }

    #[test]
    fn uniform_fills_its_bounds() {
        for (init, bound) in
            [(Init::FanIn, (1.0 / 50_f64).sqrt()), (Init::KaimingUniform, (6.0 / 50_f64).sqrt())]
        {
            let (mean, std, largest) = moments(&draw(init));
            assert!(largest <= bound && largest > 0.99 * bound, "{init:?}: {largest}");
            assert!(mean.abs() < 0.03 * bound, "{init:?}: {mean}");
            let expected = bound / 3_f64.sqrt();
            assert!((std / expected - 1.0).abs() < 0.02, "{init:?}: {std}");
        }
    }

    #[test]
    fn normal_has_its_deviation() {
        let (mean, std, largest) = moments(&draw(Init::KaimingNormal));
        assert!(mean.abs() < 0.01 && (std / 0.2 - 1.0).abs() < 0.03, "{mean} {std}");
        assert!(largest > 3.0 * std, "{largest}");
    }

    #[test]
    fn apply_changes_weights_alone() {
        let mut rng = Pcg64::seed_from_u64(1);
        let mut layer: Linear = Linear::new(50, 3, &LinearConfig::default(), &mut rng).unwrap();
        let values = |layer: &Linear| {
            let all = parameters(layer).into_iter();
            all.map(|(_, p)| p.value.to_vec()).collect::<Vec<_>>()
        };
        let before = values(&layer);
        Init::KaimingNormal.apply(&mut layer, &mut rng).unwrap();
        let after = values(&layer);
        assert_ne!(before[0], after[0]);
        assert_eq!(before[1], after[1]);
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let error = "xavier".parse::<Init>().unwrap_err().to_string();
        assert!(error.contains("xavier") && error.contains("kaiming-uniform"), "{error}");
    }
}
