//! Training on mixtures of two images.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::Beta;

use super::mixing::{Partners, beta, start_of};
use crate::learner::{Callback, Flow, State};
use crate::saved_state::SavedState;

/// Mixup (Zhang et al. 2018) as fastai has it: each image x becomes `share x + (1 - share) x'`, where
/// x' is another image of the batch and `share` the larger of b and 1 - b, b from Beta(alpha, alpha),
/// for each image anew. The loss is mixed alike: `share l(y) + (1 - share) l(y')`, its mean over the
/// batch.
///
/// The loss has to have [`per_image`](crate::losses::Loss::per_image). Validation is on whole images.
///
/// ```
/// use topedge_nn::callbacks::MixUp;
///
/// let mixup = MixUp::new(0.4)?;
/// # let _ = mixup;
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MixUp {
    alpha: f64,
    beta: Beta<f64>,
    partners: Option<Partners>,
}

impl MixUp {
    /// fastai's `alpha` is 0.4. The larger, the more even the mixtures.
    ///
    /// # Errors
    ///
    /// When `alpha` is not a finite number above 0.
    pub fn new(alpha: f64) -> crate::Result<Self> {
        Ok(MixUp { alpha, beta: beta("mixup: alpha", alpha)?, partners: None })
    }
}

impl Callback for MixUp {
    fn name(&self) -> &'static str {
        "mix_up"
    }

    fn config(&self) -> String {
        format!("alpha={}", self.alpha)
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::nothing()
    }

    fn changes_steps(&self) -> bool {
        true
    }

    fn before_batch(&mut self, state: &mut State) -> Flow {
        self.partners = None;
        if !state.is_training() {
            return Ok(());
        }
        let n = state.labels.len();
        let rng = &mut state.context.rng;
        let shares = (0..n).map(|_| rng.sample(self.beta)).map(|b| b.max(1.0 - b) as f32);
        let shares: Vec<f32> = shares.collect();
        let mut others: Vec<usize> = (0..n).collect();
        others.shuffle(rng);
        blend(state, &others, &shares)?;
        self.partners = Some(Partners::new(&state.labels, &others, shares));
        Ok(())
    }

    fn after_loss(&mut self, state: &mut State) -> Flow {
        match &self.partners {
            Some(partners) => Ok(partners.mix_loss(state)?),
            None => Ok(()),
        }
    }
}

/// Image `i` becomes `shares[i]` of itself and the rest of image `others[i]`.
fn blend(state: &mut State, others: &[usize], shares: &[f32]) -> crate::Result<()> {
    // Without gaps: a loader made it. So neighbours along the batch are `inner` apart in their part, whatever lies
    // further out.
    let (n, parts, inner) = (shares.len(), state.input.parts(), state.input.strides()[0]);
    let starts: Vec<usize> = (0..n).map(|i| start_of(&state.input, i)).collect();
    let whole = state.input.dense_slice()?.to_vec();
    let mixed = state.input.make_mut();
    if n < 2 {
        return Ok(());
    }
    for further in (0..mixed.len() / parts).step_by(n / parts * inner) {
        for ((&own, &other), &share) in starts.iter().zip(others).zip(shares) {
            let (own, other) = (further + own, further + starts[other]);
            for k in 0..inner {
                let (x, y) = (whole[own + k], whole[other + k]);
                mixed[own + k] = y + share * (x - y);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callbacks::mixing::testing::{prepared, state};

    #[test]
    fn images_are_mixed_in_every_memory_format() {
        for (values, mut state) in prepared() {
            blend(&mut state, &[1, 2, 0], &[0.75, 1.0, 0.5]).unwrap();
            let got = state.input.to_vec();
            let image = |i: usize| &values[i * 12..][..12];
            for k in 0..12 {
                let [a, b, c] = [image(0)[k], image(1)[k], image(2)[k]];
                assert_eq!(got[k], b + 0.75 * (a - b));
                assert_eq!(got[12 + k], b);
                assert_eq!(got[24 + k], a + 0.5 * (c - a));
            }
        }
    }

    #[test]
    fn only_training_is_mixed_and_by_the_seed_of_the_learner() {
        let mixed = |training| {
            let mut state = state(training);
            let mut mixup = MixUp::new(0.4).unwrap();
            mixup.before_batch(&mut state).unwrap();
            (state.input.to_vec(), mixup.partners.is_some())
        };
        let whole = state(true).input.to_vec();
        assert_eq!(mixed(false), (whole.clone(), false));
        assert_ne!(mixed(true).0, whole);
        assert_eq!(mixed(true), mixed(true));
    }

    #[test]
    fn a_share_is_never_the_smaller_one() {
        let mut state = state(true);
        let mut mixup = MixUp::new(1.0).unwrap();
        mixup.before_batch(&mut state).unwrap();
        let shares = &mixup.partners.unwrap().shares;
        assert!(shares.iter().all(|&s| (0.5..=1.0).contains(&s)), "{shares:?}");
    }

    #[test]
    fn wrong_alphas_are_refused() {
        for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = MixUp::new(alpha).unwrap_err().to_string();
            assert!(error.starts_with("mixup: alpha is "), "{error}");
        }
    }
}
