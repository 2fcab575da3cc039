//! Checks before training.

use super::Learner;
use crate::error::Result;
use crate::optim::Hyper;
use crate::schedule::Schedule;

impl Learner {
    pub(super) fn check_fit(&self, _: &[(Hyper, Schedule)]) -> Result<()> {
        Ok(())
    }
}
