//! What goes wrong, told while the fit still runs.

use super::{Flow, Learner};
use crate::diagnosis::{Finding, FindingKind};

/// Whom to tell of a finding.
type Tell = Box<dyn FnMut(&Finding) -> Flow + Send>;

/// Findings are told once in a fit, at the end of the epoch in which they first show.
#[derive(Default)]
pub(super) struct Watch {
    tell: Option<Tell>,
    told: Vec<(FindingKind, Option<String>)>,
}

impl Learner {
    /// Tells of what [goes wrong](Self::diagnose) after the epoch in which it first shows, in all epochs but the
    /// last. Of what only the whole run can say, as overfitting, nothing is told.
    ///
    /// ```
    /// # use rand::SeedableRng;
    /// # use topedge_data::digits::{self, Digits};
    /// # use topedge_data::{DataLoaders, LoadersConfig};
    /// # use topedge_nn::losses::CrossEntropy;
    /// # use topedge_nn::{Learner, Net, NetConfig};
    /// # use topedge_nn::callbacks::ActivationStats;
    /// # let splits = digits::generate(&Digits { train: 256, valid: 64, ..Default::default() })?;
    /// # let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
    /// # let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
    /// # let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng)?;
    /// let mut learner = Learner::new(data, model, CrossEntropy::default())
    ///     .callback(ActivationStats::default())
    ///     .on_finding(|finding| {
    ///         println!("{finding}");
    ///         Ok(())
    ///     });
    /// learner.fit_one_cycle(2, 0.01)?;
    /// # Ok::<(), topedge_nn::Error>(())
    /// ```
    #[must_use]
    pub fn on_finding(mut self, tell: impl FnMut(&Finding) -> Flow + Send + 'static) -> Self {
        self.watch.tell = Some(Box::new(tell));
        self
    }

    /// Forgets what was told in an earlier fit.
    pub(super) fn begin_watch(&mut self) {
        self.watch.told.clear();
    }

    /// Tells what is new at the end of an epoch.
    pub(super) fn tell_findings(&mut self) -> Flow {
        if self.watch.tell.is_none() || self.state.epoch + 1 >= self.state.epochs {
            return Ok(());
        }
        for finding in self.diagnose() {
            let key = (finding.kind, finding.layer.clone());
            if finding.kind.needs_the_whole_run() || self.watch.told.contains(&key) {
                continue;
            }
            self.watch.told.push(key);
            if let Some(tell) = &mut self.watch.tell {
                tell(&finding)?;
            }
        }
        Ok(())
    }
}
