//! Training on images with a patch of another one.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::Beta;

use super::mixing::{Partners, beta, start_of};
use crate::learner::{Callback, Flow, State};
use crate::saved_state::SavedState;

/// CutMix (Yun et al. 2019) as fastai has it: a patch of each image is that of another image of the
/// batch, the same patch throughout the batch. Its sides are `sqrt(1 - b)` of the image's, b from
/// Beta(alpha, alpha); its centre lies anywhere, and what falls outside the image is cut off. The loss
/// is mixed by areas: `share l(y) + (1 - share) l(y')`, its mean over the batch.
///
/// The loss has to have [`per_image`](crate::losses::Loss::per_image). Validation is on whole images.
///
/// ```
/// use topedge_nn::callbacks::CutMix;
///
/// let cutmix = CutMix::new(1.0)?;
/// # let _ = cutmix;
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CutMix {
    alpha: f64,
    beta: Beta<f64>,
    partners: Option<Partners>,
}

/// Rows and columns, from the first to before the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Patch {
    rows: [usize; 2],
    columns: [usize; 2],
}

impl CutMix {
    /// fastai's `alpha` is 1: patches of all sizes are alike often.
    ///
    /// # Errors
    ///
    /// When `alpha` is not a finite number above 0.
    pub fn new(alpha: f64) -> crate::Result<Self> {
        Ok(CutMix { alpha, beta: beta("cutmix: alpha", alpha)?, partners: None })
    }
}

impl Callback for CutMix {
    fn name(&self) -> &'static str {
        "cut_mix"
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
        let &[n, _, height, width] = state.input.shape() else {
            return Ok(());
        };
        if !state.is_training() {
            return Ok(());
        }
        let rng = &mut state.context.rng;
        let share = rng.sample(self.beta);
        let mut others: Vec<usize> = (0..n).collect();
        others.shuffle(rng);
        let centre = [rng.random_range(0..height), rng.random_range(0..width)];
        let patch = Patch::new(share, centre, [height, width]);
        paste(state, &others, patch)?;
        let share = 1.0 - patch.area() as f32 / (height * width) as f32;
        self.partners = Some(Partners::new(&state.labels, &others, vec![share; n]));
        Ok(())
    }

    fn after_loss(&mut self, state: &mut State) -> Flow {
        match &self.partners {
            Some(partners) => Ok(partners.mix_loss(state)?),
            None => Ok(()),
        }
    }
}

impl Patch {
    /// The patch around `centre` that leaves about `share` of an image of these sides.
    fn new(share: f64, centre: [usize; 2], sides: [usize; 2]) -> Patch {
        let [rows, columns] = [0, 1].map(|axis| {
            let half = ((sides[axis] as f64 * (1.0 - share).sqrt()).round() as usize) / 2;
            [centre[axis].saturating_sub(half), (centre[axis] + half).min(sides[axis])]
        });
        Patch { rows, columns }
    }

    fn area(self) -> usize {
        (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])
    }
}

/// The patch of image `i` becomes that of image `others[i]`.
fn paste(state: &mut State, others: &[usize], patch: Patch) -> crate::Result<()> {
    let channels = state.input.shape()[1];
    let &[_, sc, sh, sw] = state.input.strides() else {
        return Ok(());
    };
    let starts: Vec<usize> = (0..others.len()).map(|i| start_of(&state.input, i)).collect();
    let whole = state.input.dense_slice()?.to_vec();
    let mixed = state.input.make_mut();
    for channel in 0..channels {
        for row in patch.rows[0]..patch.rows[1] {
            for column in patch.columns[0]..patch.columns[1] {
                let pixel = channel * sc + row * sh + column * sw;
                for (&own, &other) in starts.iter().zip(others) {
                    mixed[own + pixel] = whole[starts[other] + pixel];
                }
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
    fn patches_are_pasted_in_every_memory_format() {
        for (values, mut state) in prepared() {
            let patch = Patch { rows: [1, 2], columns: [1, 3] };
            paste(&mut state, &[1, 2, 0], patch).unwrap();
            let got = state.input.to_vec();
            // Images of 2x2x3 values.
            for (at, &got) in got.iter().enumerate() {
                let (i, pixel) = (at / 12, at % 12);
                let (row, column) = (pixel / 3 % 2, pixel % 3);
                let from = if row == 1 && column >= 1 { (i + 1) % 3 } else { i };
                assert_eq!(got, values[from * 12 + pixel]);
            }
        }
    }

    /// fastai's `rand_bbox` of random numbers: `tests/golden/training.py`.
    #[test]
    fn patches() {
        let golden = include_str!("../../tests/golden/training.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let cases: Vec<[f64; 7]> = serde_json::from_value(golden["patches"].clone()).unwrap();
        for [share, numbers @ ..] in cases {
            let [row, column, y1, y2, x1, x2] = numbers.map(|number| number as usize);
            let patch = Patch::new(share, [row, column], [28, 20]);
            assert_eq!(patch, Patch { rows: [y1, y2], columns: [x1, x2] }, "{share}");
        }
        assert_eq!(Patch::new(1.0, [3, 3], [28, 20]).area(), 0);
        assert_eq!(Patch::new(0.0, [14, 10], [28, 20]).area(), 28 * 20);
    }

    #[test]
    fn the_share_is_what_is_left_of_the_image() {
        let mut state = state(true);
        let mut cutmix = CutMix::new(1.0).unwrap();
        cutmix.before_batch(&mut state).unwrap();
        let share = cutmix.partners.unwrap().shares[0];
        let pixels = share * 6.0;
        assert!((pixels - pixels.round()).abs() < 1e-5, "{share}");
    }
}
