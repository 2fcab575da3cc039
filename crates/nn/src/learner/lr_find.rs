//! Which learning rate? A short training run at ever larger ones tells.

use std::mem;

use super::{Callback, Cancel, Flow, Learner, State};
use crate::callbacks::{ParamScheduler, Recorder};
use crate::error::{Error, Result};
use crate::module::zero_grad;
use crate::optim::Hyper;
use crate::schedule::Schedule;
use crate::state_dict::{load_state_dict, state_dict};

/// The run of [`Learner::lr_find`]. By default as fastai's: from 1e-7 to 10 in 100 steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrFind {
    /// The first learning rate.
    pub start: f64,
    /// The rate that would come after the last step.
    pub end: f64,
    /// The number of steps, each larger by the same factor.
    pub steps: usize,
}

impl Default for LrFind {
    fn default() -> Self {
        LrFind { start: 1e-7, end: 10.0, steps: 100 }
    }
}

/// What [`Learner::lr_find`] saw, and what follows from it. Suggestions leave the first tenth of the
/// steps and the last five aside, and are missing where too few are left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LrFound {
    /// The learning rate of each step.
    pub lrs: Vec<f64>,
    /// The smoothed loss after each step.
    pub losses: Vec<f64>,
    /// Two thirds down the longest valley: the one to start with.
    pub valley: Option<Suggestion>,
    /// Where the loss falls most steeply.
    pub steep: Option<Suggestion>,
    /// A tenth of the rate with the lowest loss. The point is that of the lowest loss.
    pub minimum: Option<Suggestion>,
    /// Before the slope changes, over a distance that slides down from the end.
    pub slide: Option<Suggestion>,
}

/// A suggested learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suggestion {
    /// The learning rate.
    pub lr: f64,
    /// The point of the curve that it comes from: learning rate and loss.
    pub point: [f64; 2],
}

/// Ends the run after its last step, or when the loss has grown to four times the best.
struct Stop {
    steps: usize,
    best: f64,
}

impl Callback for Stop {
    fn name(&self) -> &'static str {
        "lr_find"
    }

    fn after_loss(&mut self, state: &mut State) -> Flow {
        // It is of no use from here on, and would only spoil the record.
        match state.loss_value()? {
            Some(loss) if loss.is_nan() => Err(Cancel::Fit.into()),
            _ => Ok(()),
        }
    }

    fn after_batch(&mut self, state: &mut State) -> Flow {
        let loss = state.smoothed_loss.unwrap_or(f64::INFINITY);
        self.best = self.best.min(loss);
        if loss > 4.0 * self.best || state.step + 1 >= self.steps {
            return Err(Cancel::Fit.into());
        }
        Ok(())
    }

    fn before_validate(&mut self, _: &mut State) -> Flow {
        Err(Cancel::Validate.into())
    }
}

impl Learner {
    /// Trains for a moment with a learning rate that grows from step to step, until the smoothed
    /// loss exceeds four times its best, and suggests rates. Afterwards everything is as if this had
    /// not happened: network, optimiser, random numbers, the order of the data, and what callbacks
    /// recorded. Only what each fit sets at its beginning stays as the search left it: the counts, the
    /// schedules and each parameter's part of the learning rate. No checkpoints are written. Of the
    /// callbacks, only those that [change steps](Callback::changes_steps) take part.
    ///
    /// # Errors
    ///
    /// As [`fit_scheduled`](Self::fit_scheduled), and when the configuration has fewer than 6 steps or
    /// does not go from a finite rate above 0 to a larger one.
    ///
    /// ```
    /// # use rand::SeedableRng;
    /// # use topedge_data::digits::{self, Digits};
    /// # use topedge_data::{DataLoaders, LoadersConfig};
    /// # use topedge_nn::losses::CrossEntropy;
    /// # use topedge_nn::{Learner, Net, NetConfig};
    /// use topedge_nn::LrFind;
    ///
    /// # let splits = digits::generate(&Digits { train: 512, valid: 64, ..Default::default() })?;
    /// # let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
    /// # let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
    /// # let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng)?;
    /// let mut learner = Learner::new(data, model, CrossEntropy::default());
    /// let found = learner.lr_find(&LrFind::default())?;
    /// let valley = found.valley.expect("there were enough steps");
    /// learner.fit_one_cycle(1, valley.lr)?;
    /// # Ok::<(), topedge_nn::Error>(())
    /// ```
    pub fn lr_find(&mut self, config: &LrFind) -> Result<LrFound> {
        let &LrFind { start, end, steps } = config;
        let possible = start.is_finite() && end.is_finite() && start > 0.0 && end > start;
        if !possible || steps < 6 {
            let expected = "at least 6 steps, from a finite rate above 0 to a larger one";
            return Err(Error::setting("lr_find", format!("{config:?}"), expected));
        }
        self.check_fit(&[])?;

        let state = &mut self.state;
        let model = state_dict(&*state.model);
        let optimizer = state.optimizer.boxed_clone();
        let rng = state.context.rng.clone();
        let (passes, smoothed_loss, row) = (state.passes, state.smoothed_loss, state.row.clone());
        let callbacks = mem::take(&mut self.callbacks).into_iter().enumerate();
        let (partaking, mut resting): (Vec<_>, Vec<_>) =
            callbacks.partition(|(_, callback)| callback.changes_steps());
        let places: Vec<usize> = partaking.iter().map(|(place, _)| *place).collect();
        let saving = mem::take(&mut self.saving);
        self.callbacks = vec![Box::<ParamScheduler>::default(), Box::<Recorder>::default()];
        self.callbacks.extend(partaking.into_iter().map(|(_, callback)| callback));
        self.callbacks.push(Box::new(Stop { steps, best: f64::INFINITY }));

        let outcome = self.grow_rate(config);

        self.saving = saving;
        let recorder = self.find::<Recorder>().cloned().unwrap_or_default();
        self.callbacks.retain(|callback| callback.changes_steps());
        resting.extend(places.into_iter().zip(mem::take(&mut self.callbacks)));
        resting.sort_by_key(|(place, _)| *place);
        self.callbacks = resting.into_iter().map(|(_, callback)| callback).collect();
        let state = &mut self.state;
        (state.passes, state.smoothed_loss, state.row) = (passes, smoothed_loss, row);
        state.context.rng = rng;
        state.optimizer = optimizer;
        load_state_dict(&mut *state.model, &model)?;
        zero_grad(&mut *state.model);
        outcome?;
        Ok(LrFound::of_curve(recorder.hyper(Hyper::Lr).to_vec(), recorder.smoothed_losses, steps))
    }

    fn grow_rate(&mut self, config: &LrFind) -> Result<()> {
        let &LrFind { start, end, steps } = config;
        let batches = self.state.data.train.batches();
        let epochs = steps / batches.max(1) + 1;
        // Positions count to the end of the fit, which goes on for longer than the steps.
        let stretch = epochs as f64 * batches as f64 / steps as f64;
        let growth = Schedule::exponential(start, end);
        let schedule = Schedule::new(move |position| growth.at(position * stretch));
        self.scale_rates(&[1.0]);
        self.state.schedules = vec![(Hyper::Lr, schedule)];
        self.fit_epochs(epochs)
    }
}

impl LrFound {
    /// What follows from a curve: smoothed losses over rising learning rates, in a run that was to have
    /// `steps` of them. Points from the first loss on that is NaN are not to be in it.
    pub fn of_curve(lrs: Vec<f64>, losses: Vec<f64>, steps: usize) -> LrFound {
        let end = lrs.len().min(losses.len()).saturating_sub(5);
        let start = (steps / 10).min(end);
        let curve = Curve { lrs: &lrs[start..end], losses: &losses[start..end] };
        let (valley, steep) = (curve.valley(), curve.steep());
        let (minimum, slide) = (curve.minimum(), curve.slide());
        LrFound { valley, steep, minimum, slide, lrs, losses }
    }
}

/// Smoothed losses over rising learning rates. The suggestions are those of fastai's functions of the
/// same names.
struct Curve<'a> {
    lrs: &'a [f64],
    losses: &'a [f64],
}

impl Curve<'_> {
    fn at(&self, i: usize) -> Suggestion {
        Suggestion { lr: self.lrs[i], point: [self.lrs[i], self.losses[i]] }
    }

    /// The valley is the longest series of falling losses, whatever lies between them.
    fn valley(&self) -> Option<Suggestion> {
        let losses = self.losses;
        // The length of the longest falling series that ends at each point.
        let mut lengths = vec![1_usize; losses.len()];
        let (mut start, mut end) = (0_isize, 0);
        for i in 1..losses.len() {
            for j in 0..i {
                if losses[i] < losses[j] && lengths[i] < lengths[j] + 1 {
                    lengths[i] = lengths[j] + 1;
                }
                if lengths[end] < lengths[i] {
                    (start, end) = (i as isize - lengths[i] as isize, i);
                }
            }
        }
        let third = (end as isize - start) as f64 / 3.0;
        let place = start + third as isize + (third / 2.0) as isize;
        // A point before the first is the last one: so Python counts.
        let place =
            if place < 0 { losses.len().checked_add_signed(place)? } else { place as usize };
        (place < losses.len()).then(|| self.at(place))
    }

    fn steep(&self) -> Option<Suggestion> {
        let slope =
            |i: usize| (self.losses[i + 1] - self.losses[i]) / (self.lrs[i + 1] / self.lrs[i]).ln();
        let last = self.losses.len().checked_sub(1)?;
        Some(self.at((0..last).min_by(|&a, &b| slope(a).total_cmp(&slope(b)))?))
    }

    fn minimum(&self) -> Option<Suggestion> {
        let losses = self.losses;
        let place = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b]))?;
        let point = self.at(place).point;
        Some(Suggestion { lr: point[0] / 10.0, point })
    }

    /// From the right end to the left, as long as the slopes at both ends of a distance of 15 points
    /// differ by more than .005.
    fn slide(&self) -> Option<Suggestion> {
        const DISTANCE: usize = 15;
        let n = self.losses.len();
        let mut right = n.checked_sub(1)?;
        let mut left = right.checked_sub(DISTANCE)?;
        let slopes = gradient(self.losses);
        let mut place = left;
        while (slopes[right] - slopes[left]).abs() > 0.005 {
            place = left;
            right -= 1;
            match left.checked_sub(1) {
                Some(next) => left = next,
                None => break,
            }
        }
        Some(self.at(place))
    }
}

/// Differences of neighbours, in the middle over two steps, as NumPy's `gradient`.
fn gradient(values: &[f64]) -> Vec<f64> {
    let last = values.len().saturating_sub(1);
    let slope = |i: usize| {
        let (before, after) = (i.saturating_sub(1), (i + 1).min(last));
        (values[after] - values[before]) / (after - before).max(1) as f64
    };
    (0..values.len()).map(slope).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_points_suggest_nothing_or_little() {
        let found = LrFound::of_curve(vec![], vec![], 100);
        assert_eq!(found, LrFound::default());
        let lrs = (0..17).map(|i| 1e-7 * 1.2_f64.powi(i)).collect();
        let found = LrFound::of_curve(lrs, vec![2.0; 17], 100);
        assert!(found.valley.is_some() && found.minimum.is_some() && found.slide.is_none());
    }

    #[test]
    fn slopes() {
        assert_eq!(gradient(&[1.0, 2.0, 4.0, 7.0]), [1.0, 1.5, 2.5, 3.0]);
        assert_eq!(gradient(&[1.0]), [0.0]);
    }
}
