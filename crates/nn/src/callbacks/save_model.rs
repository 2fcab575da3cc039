//! Keeps the best network.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::monitor::Best;
use super::{Monitor, Recorder};
use crate::learner::{Callback, Flow, State};
use crate::model_file::ModelFile;
use crate::saved_state::SavedState;
use crate::state_dict::{load_state_dict, state_dict};

/// Writes the network to a file after each epoch that is the best so far, and gives the network that
/// state back after the fit.
///
/// ```
/// use topedge_nn::callbacks::{Monitor, SaveModel};
///
/// let mut save = SaveModel::new("best.safetensors");
/// save.monitor = Monitor::of("accuracy");
/// save.metadata.insert("net".to_string(), "simple-cnn".to_string());
/// ```
#[derive(Clone, Debug)]
pub struct SaveModel {
    /// What is best when.
    pub monitor: Monitor,
    /// What the file says besides the state; nothing by default.
    pub metadata: BTreeMap<String, String>,
    path: PathBuf,
    progress: Progress,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    best: Best,
    saved: Option<ModelFile>,
}

impl SaveModel {
    /// Writes to `path`; what stands there is replaced after the first epoch.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        SaveModel {
            monitor: Monitor::default(),
            metadata: BTreeMap::new(),
            path: path.into(),
            progress: Progress::default(),
        }
    }
}

impl Callback for SaveModel {
    fn name(&self) -> &'static str {
        "save_model"
    }

    fn config(&self) -> String {
        format!("{:?}", self.monitor)
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::of(&mut self.progress)
    }

    fn run_after(&self) -> Vec<TypeId> {
        vec![TypeId::of::<Recorder>()]
    }

    fn before_fit(&mut self, _: &mut State) -> Flow {
        self.progress = Progress::default();
        Ok(())
    }

    fn after_resume(&mut self, _: &mut State) -> Flow {
        // Whatever has become of the file since.
        match &self.progress.saved {
            Some(saved) => Ok(saved.save(&self.path)?),
            None => Ok(()),
        }
    }

    fn after_epoch(&mut self, state: &mut State) -> Flow {
        if self.progress.best.update(&self.monitor, state)? {
            let best =
                ModelFile { state: state_dict(&*state.model), metadata: self.metadata.clone() };
            best.save(&self.path)?;
            self.progress.saved = Some(best);
        }
        Ok(())
    }

    fn after_fit(&mut self, state: &mut State) -> Flow {
        if let Some(best) = self.progress.saved.take() {
            load_state_dict(&mut *state.model, &best.state)?;
        }
        Ok(())
    }
}
