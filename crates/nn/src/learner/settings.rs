//! What has to be the same for a run to go on from a checkpoint, or to be repeated.

use sha2::{Digest, Sha256};
use topedge_data::DataLoader;
use topedge_kernels::{Isa, Winograd};

use super::{Callback, State};
use crate::error::{Error, Result};
use crate::module::{Item, walk};
use crate::schedule::Schedule;

/// Names and values in words.
pub(super) type Settings = Vec<(String, String)>;

/// What the bits of a fit depend on, besides those that a checkpoint keeps.
pub(super) fn settings(state: &State, callbacks: &[Box<dyn Callback>]) -> Settings {
    let (train, valid) = (&state.data.train, &state.data.valid);
    let mut settings = vec![];
    let mut set = |name: &str, value: String| settings.push((name.to_string(), value));
    set("version of topedge", env!("CARGO_PKG_VERSION").to_string());
    set("instruction set", Isa::current().name().to_string());
    set("Winograd's method", format!("{:?}", Winograd::current()));
    for (loader, name) in [(train, "training"), (valid, "validation")] {
        of_loader(loader, &mut |what, value| set(&format!("{what} in {name}"), value));
    }
    set("epochs", state.epochs.to_string());
    for (hyper, schedule) in &state.schedules {
        set(&format!("schedule of {}", hyper.name()), of_schedule(schedule));
    }
    set("loss", described(state.loss_fn.name(), &state.loss_fn.config()));
    set("optimiser", described(state.optimizer.name(), &state.optimizer.config()));
    let metrics = state.metrics.iter().map(|metric| described(metric.name(), &metric.config()));
    let metrics: Vec<_> = metrics.collect();
    set("metrics", metrics.join(", "));
    let names: Vec<_> = callbacks.iter().map(|callback| callback.name()).collect();
    set("callbacks", names.join(", "));
    for callback in callbacks {
        set(&format!("callback {}", callback.name()), callback.config());
    }
    set("network", described(state.model.kind(), &state.model.config()));
    walk(&*state.model, &mut |path, item| match item {
        Item::Module(layer) => {
            set(&format!("layer {path}"), described(layer.kind(), &layer.config()));
        }
        Item::Parameter(parameter) => {
            set(&format!("shape of {path}"), format!("{:?}", parameter.value.shape()));
        }
        Item::Buffer(_) | Item::Counter(_) => {}
    });
    set("parameter groups", format!("{:?}", state.groups));
    settings
}

fn of_loader(loader: &DataLoader, set: &mut dyn FnMut(&str, String)) {
    // Whether it prefetches does not matter.
    let config = loader.config();
    set("batch size", config.batch_size.to_string());
    set("shuffling", format!("{}, seed {}", config.shuffle, config.seed));
    set("leaving out a short batch", config.drop_last.to_string());
    set("memory format", format!("{:?}", config.format));
    set("normalisation", format!("{:?}", config.normalize));
    set("images", loader.dataset().len().to_string());
    set("hash of the data", loader.dataset().sha256().to_string());
}

/// Some values to read, and a hash of many.
fn of_schedule(schedule: &Schedule) -> String {
    const POINTS: u32 = 1000;
    let at = |i: u32| schedule.at(f64::from(i) / f64::from(POINTS));
    let mut hash = Sha256::new();
    (0..POINTS).for_each(|i| hash.update(at(i).to_bits().to_le_bytes()));
    let hash = hash.finalize();
    let [start, quarter, half] = [0, POINTS / 4, POINTS / 2].map(at);
    let end = at(POINTS - 1);
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{start}, {quarter}, {half} .. {end} ({hash})")
}

fn described(name: &str, config: &str) -> String {
    if config.is_empty() { name.to_string() } else { format!("{name}({config})") }
}

/// Refuses settings that are not those of the checkpoint, by the first that differs.
pub(super) fn compare(saved: &Settings, own: &Settings) -> Result<()> {
    let value = |settings: &Settings, name: &str| {
        settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    for (name, _) in saved.iter().chain(own) {
        let (expected, found) = (value(saved, name), value(own, name));
        if expected != found {
            let words = |value: Option<String>| match value {
                Some(value) if value.is_empty() => "nothing".to_string(),
                Some(value) => value,
                None => "none".to_string(),
            };
            let expected = format!("{}, as in the checkpoint", words(expected));
            return Err(Error::setting(name, words(found), expected));
        }
    }
    Ok(())
}
