//! Ways to train.

use super::Learner;
use super::groups::Rates;
use crate::error::Result;
use crate::optim::Hyper;
use crate::schedule::{Schedule, Sgdr, flat_cos, one_cycle, sgdr};

/// Training. Where a learning rate is asked for, a range of them gives each parameter group its own:
/// see [`Rates`].
impl Learner {
    /// Trains for `epochs` at a constant learning rate.
    ///
    /// # Errors
    ///
    /// As [`fit_scheduled`](Self::fit_scheduled).
    pub fn fit(&mut self, epochs: usize, lr: impl Into<Rates>) -> Result<()> {
        self.fit_at(epochs, lr.into(), |lr| Ok(vec![(Hyper::Lr, Schedule::flat(lr))]))
    }

    /// Trains for `epochs` by [`one_cycle`].
    ///
    /// # Errors
    ///
    /// As [`fit_scheduled`](Self::fit_scheduled).
    pub fn fit_one_cycle(&mut self, epochs: usize, lr_max: impl Into<Rates>) -> Result<()> {
        self.fit_at(epochs, lr_max.into(), |lr| Ok(one_cycle(lr)))
    }

    /// Trains for `epochs` by [`flat_cos`].
    ///
    /// # Errors
    ///
    /// As [`fit_scheduled`](Self::fit_scheduled).
    pub fn fit_flat_cos(&mut self, epochs: usize, lr: impl Into<Rates>) -> Result<()> {
        self.fit_at(epochs, lr.into(), |lr| Ok(flat_cos(lr)))
    }

    /// Trains for all `cycles` of [`sgdr`].
    ///
    /// # Errors
    ///
    /// As [`fit_scheduled`](Self::fit_scheduled), and when the cycles have no epochs.
    pub fn fit_sgdr(&mut self, cycles: Sgdr, lr_max: impl Into<Rates>) -> Result<()> {
        self.fit_at(cycles.epochs()?, lr_max.into(), |lr| sgdr(cycles, lr))
    }

    /// Trains for `epochs` with hyperparameters that follow schedules over all of them, the same
    /// for all parameter groups.
    ///
    /// # Errors
    ///
    /// When [`check`](Self::check) finds an error, a hyperparameter leaves its range, the data
    /// cannot be loaded, a loss is not finite, the callbacks cannot be ordered, or one of them
    /// fails.
    pub fn fit_scheduled(
        &mut self,
        epochs: usize,
        schedules: Vec<(Hyper, Schedule)>,
    ) -> Result<()> {
        self.scale_rates(&[1.0]);
        self.check_fit(&schedules)?;
        self.state.schedules = schedules;
        self.fit_epochs(epochs)
    }

    /// By the schedules for the last group's rate; the rates of the others keep their distance.
    fn fit_at(
        &mut self,
        epochs: usize,
        rates: Rates,
        schedules: impl FnOnce(f64) -> Result<Vec<(Hyper, Schedule)>>,
    ) -> Result<()> {
        let (last, scales) = rates.scales(self.state.groups.len())?;
        let schedules = schedules(last)?;
        self.check_fit(&schedules)?;
        self.scale_rates(&scales);
        self.state.schedules = schedules;
        self.fit_epochs(epochs)
    }
}
