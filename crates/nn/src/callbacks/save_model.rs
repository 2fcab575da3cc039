//! Keeps the best network.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::path::PathBuf;

use topedge_data::write_whole;

use super::monitor::Best;
use super::{Monitor, Recorder};
use crate::error::Error;
use crate::learner::{Callback, Flow, State};
use crate::model_file::ModelFile;
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
            best: Best::default(),
            saved: None,
        }
    }
}

impl Callback for SaveModel {
    fn name(&self) -> &'static str {
        "save_model"
    }

    fn run_after(&self) -> Vec<TypeId> {
        vec![TypeId::of::<Recorder>()]
    }

    fn before_fit(&mut self, _: &mut State) -> Flow {
        (self.best, self.saved) = (Best::default(), None);
        Ok(())
    }

    fn after_epoch(&mut self, state: &mut State) -> Flow {
        if self.best.update(&self.monitor, state)? {
            let best =
                ModelFile { state: state_dict(&*state.model), metadata: self.metadata.clone() };
            write_whole(&self.path, &best.to_bytes()?).map_err(Error::io("write", &self.path))?;
            self.saved = Some(best);
        }
        Ok(())
    }

    fn after_fit(&mut self, state: &mut State) -> Flow {
        if let Some(best) = self.saved.take() {
            load_state_dict(&mut *state.model, &best.state)?;
        }
        Ok(())
    }
}
