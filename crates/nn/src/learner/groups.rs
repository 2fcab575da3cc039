//! Parameter groups: learning rates of their own, and freezing.

use std::ops::{RangeInclusive, RangeToInclusive};

use super::Learner;
use crate::error::{Error, Result};
use crate::module::{ParameterKind, for_each_parameter_mut, parameters};

/// The learning rates of the parameter groups, from the first group (of the first layers) to the
/// last. fastai writes the ranges as `slice`.
///
/// ```
/// use topedge_nn::Rates;
///
/// assert_eq!(Rates::from(0.1), Rates::Same(0.1));
/// // Each by the same factor larger than the one before: `slice(1e-4, 1e-2)`.
/// assert_eq!(Rates::from(1e-4..=1e-2), Rates::Spread { first: 1e-4, last: 1e-2 });
/// // A tenth for all but the last group: `slice(1e-2)`.
/// assert_eq!(Rates::from(..=1e-2), Rates::TenthButLast(1e-2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rates {
    /// The same for all groups.
    Same(f64),
    /// From the first group's to the last one's, with the same factor from each to the next.
    Spread {
        /// Of the first group.
        first: f64,
        /// Of the last group.
        last: f64,
    },
    /// This for the last group, a tenth of it for all others.
    TenthButLast(f64),
}

impl From<f64> for Rates {
    fn from(lr: f64) -> Self {
        Rates::Same(lr)
    }
}

impl From<RangeInclusive<f64>> for Rates {
    fn from(range: RangeInclusive<f64>) -> Self {
        Rates::Spread { first: *range.start(), last: *range.end() }
    }
}

impl From<RangeToInclusive<f64>> for Rates {
    fn from(range: RangeToInclusive<f64>) -> Self {
        Rates::TenthButLast(range.end)
    }
}

impl Rates {
    /// The last group's rate, and what each group's is of it.
    pub(super) fn scales(self, groups: usize) -> Result<(f64, Vec<f64>)> {
        match self {
            Rates::Same(lr) => Ok((lr, vec![1.0; groups])),
            Rates::TenthButLast(lr) => {
                let mut scales = vec![0.1; groups];
                if let Some(last) = scales.last_mut() {
                    *last = 1.0;
                }
                Ok((lr, scales))
            }
            Rates::Spread { first, last } => {
                let possible = |lr: f64| lr.is_finite() && lr > 0.0;
                if !possible(first) || !possible(last) {
                    let found = format!("{first} to {last}");
                    return Err(Error::setting("lr", found, "finite numbers above 0"));
                }
                let steps = groups.saturating_sub(1).max(1) as f64;
                let scale = |group| (first / last).powf((groups - 1 - group) as f64 / steps);
                Ok((last, (0..groups).map(scale).collect()))
            }
        }
    }
}

/// Parameter groups.
impl Learner {
    /// Cuts the network's parameters into groups: a new one starts at each of these layers, which are
    /// named by their paths, as in `2` or `3.0`.
    ///
    /// # Errors
    ///
    /// When a path is not that of a layer with parameters, or not after the one before it.
    ///
    /// ```
    /// # use rand::SeedableRng;
    /// # use topedge_data::digits::{self, Digits};
    /// # use topedge_data::{DataLoaders, LoadersConfig};
    /// # use topedge_nn::losses::CrossEntropy;
    /// # use topedge_nn::{Learner, Net, NetConfig};
    /// # let splits = digits::generate(&Digits { train: 256, valid: 64, ..Default::default() })?;
    /// # let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
    /// # let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
    /// # let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng)?;
    /// // Three groups: the first two blocks, the next two, the last.
    /// let mut learner = Learner::new(data, model, CrossEntropy::default()).split_at(&["2", "4"])?;
    /// learner.freeze(); // all but the last
    /// learner.fit_one_cycle(1, 0.01)?;
    /// learner.unfreeze();
    /// learner.fit_one_cycle(1, 1e-4..=1e-2)?; // 1e-4, 1e-3, 1e-2
    /// # Ok::<(), topedge_nn::Error>(())
    /// ```
    pub fn split_at(mut self, layers: &[&str]) -> Result<Self> {
        let names = parameters(&*self.state.model);
        let mut groups = vec![0];
        for layer in layers {
            let inside = |name: &str| name.strip_prefix(layer).is_some_and(|n| n.starts_with('.'));
            let start = names.iter().position(|(name, _)| inside(name));
            let after = groups.last().copied().unwrap_or(0);
            let start = start.filter(|&start| start > after).ok_or_else(|| {
                let expected =
                    "a layer with parameters, after the one that starts the group before";
                Error::setting("parameter group", layer, expected)
            })?;
            groups.push(start);
        }
        self.state.groups = groups;
        Ok(self)
    }

    /// The number of parameter groups; 1 unless [`split_at`](Self::split_at) made more.
    pub fn groups(&self) -> usize {
        self.state.groups.len()
    }

    /// Freezes all parameter groups but the last: as [`freeze_to`](Self::freeze_to) with -1.
    pub fn freeze(&mut self) {
        self.freeze_to(-1);
    }

    /// Lets training change all parameters.
    pub fn unfreeze(&mut self) {
        self.freeze_to(0);
    }

    /// Freezes the first `groups` parameter groups, and no others; a negative number counts from the
    /// end, so that -1 leaves the last group alone to be trained.
    ///
    /// No gradient is computed for what is frozen. As in fastai, normalisation is never frozen: its
    /// scale and shift are trained, and its running statistics follow the batches, in frozen groups
    /// too.
    pub fn freeze_to(&mut self, groups: isize) {
        let all = self.state.groups.len();
        let groups = if groups < 0 { all.saturating_add_signed(groups) } else { groups as usize };
        self.for_each_parameter(|group, parameter| {
            if group < groups && parameter.kind != ParameterKind::Norm {
                parameter.freeze();
            } else {
                parameter.unfreeze();
            }
        });
    }

    /// Gives the parameters of each group its part of the learning rate; of a single part, all.
    pub(super) fn scale_rates(&mut self, scales: &[f64]) {
        self.for_each_parameter(|group, parameter| {
            parameter.lr_scale = scales.get(group).or(scales.last()).copied().unwrap_or(1.0);
        });
    }

    /// Calls `f` with each parameter and the number of its group.
    fn for_each_parameter(&mut self, mut f: impl FnMut(usize, &mut crate::Parameter)) {
        let groups = self.state.groups.clone();
        let mut number = 0;
        let done = for_each_parameter_mut(&mut *self.state.model, |parameter| {
            f(groups.partition_point(|&start| start <= number) - 1, parameter);
            number += 1;
            Ok(())
        });
        debug_assert!(done.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// fastai's `even_mults` and `Optimizer._listify_hp`.
    #[test]
    fn rates_of_groups() {
        let rates = |rates: Rates, groups| {
            let (last, scales) = rates.scales(groups).unwrap();
            scales.iter().map(|scale| scale * last).collect::<Vec<_>>()
        };
        let assert_close = |got: Vec<f64>, expected: &[f64]| {
            assert_eq!(got.len(), expected.len());
            for (got, expected) in got.iter().zip(expected) {
                assert!((got / expected - 1.0).abs() < 1e-12, "{got} is not {expected}");
            }
        };
        assert_close(rates((1e-4..=1e-2).into(), 3), &[1e-4, 1e-3, 1e-2]);
        assert_close(rates((1e-4..=1e-2).into(), 1), &[1e-2]);
        assert_close(rates((..=1e-2).into(), 3), &[1e-3, 1e-3, 1e-2]);
        assert_close(rates(0.3.into(), 2), &[0.3, 0.3]);
        for range in [0.0..=1.0, -1.0..=1.0, 0.1..=f64::NAN, 0.1..=0.0] {
            let error = Rates::from(range).scales(2).unwrap_err().to_string();
            assert!(error.starts_with("lr is "), "{error}");
        }
    }
}
