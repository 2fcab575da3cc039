//! What a run was told and what it took: all that it takes to repeat it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use topedge::kernels::{Isa, Winograd};
use topedge::prelude::Splits;

use super::choice::{Choice, Optimizer, Schedule};
use super::failure::Failure;

/// `settings.json`; a checkpoint has them, too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) version: String,
    pub(crate) data: Option<PathBuf>,
    pub(crate) classes: Vec<String>,
    /// What images were resized to, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u32>,
    pub(crate) image_shape: [usize; 3],
    pub(crate) training_images: usize,
    pub(crate) validation_images: usize,
    training_sha256: String,
    validation_sha256: String,
    pub(crate) net: String,
    pub(crate) epochs: u32,
    pub(crate) lr: f64,
    pub(crate) batch_size: usize,
    pub(crate) schedule: Schedule,
    pub(crate) optimizer: Optimizer,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    pub(crate) isa: String,
    winograd: String,
}

/// What may differ between a run and its repetition.
const FREE: [&str; 2] = ["data", "threads"];

impl Settings {
    pub(crate) fn of(choice: &Choice, splits: &Splits, batch_size: usize) -> Settings {
        Settings {
            version: env!("CARGO_PKG_VERSION").to_string(),
            data: choice.images.data.clone(),
            classes: splits.train.vocab().to_vec(),
            size: choice.images.size,
            image_shape: splits.train.image_shape(),
            training_images: splits.train.len(),
            validation_images: splits.valid.len(),
            training_sha256: splits.train.sha256().to_string(),
            validation_sha256: splits.valid.sha256().to_string(),
            net: choice.net.name().to_string(),
            epochs: choice.epochs,
            lr: choice.lr,
            batch_size,
            schedule: choice.schedule,
            optimizer: choice.optimizer,
            seed: choice.seed,
            threads: rayon::current_num_threads(),
            isa: Isa::current().name().to_string(),
            winograd: format!("{:?}", Winograd::current()).to_lowercase(),
        }
    }

    pub(crate) fn to_json(&self) -> Result<Vec<u8>, Failure> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::Failed(format!("settings.json: {error}")))
    }

    /// Those in the file `place`.
    pub(crate) fn from_json(json: &[u8], place: &str) -> Result<Settings, Failure> {
        serde_json::from_slice(json).map_err(|error| {
            Failure::Failed(format!("{place}: expected the settings of a run, found: {error}"))
        })
    }

    pub(crate) fn load(path: &Path) -> Result<Settings, Failure> {
        let json = fs::read(path).map_err(Failure::io("read", path))?;
        Settings::from_json(&json, &path.display().to_string())
    }

    /// Refuses to repeat the run of `place`, which these are the settings of, by others.
    pub(crate) fn check(&self, own: &Settings, place: &str) -> Result<(), Failure> {
        let values = |settings: &Settings| {
            serde_json::to_value(settings)
                .map_err(|error| Failure::Failed(format!("{place}: {error}")))
        };
        let (recorded, own) = (values(self)?, values(own)?);
        for (name, expected) in recorded.as_object().into_iter().flatten() {
            let found = &own[name];
            if found != expected && !FREE.contains(&&**name) {
                let advice = match (&**name, expected) {
                    ("isa", Value::String(isa)) => format!("; TOPEDGE_ISA={isa} forces it"),
                    ("winograd", Value::String(mode)) => {
                        format!("; TOPEDGE_WINOGRAD={mode} sets it")
                    }
                    _ => String::new(),
                };
                let name = name.replace('_', " ");
                return Err(Failure::Failed(format!(
                    "{place}: {name}: expected {expected}, as the run had it, found {found}{advice}"
                )));
            }
        }
        Ok(())
    }
}
