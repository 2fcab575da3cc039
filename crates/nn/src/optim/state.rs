//! What optimisers remember, as named tensors.

use crate::error::{Error, Result};
use crate::state_dict::{StateDict, StateTensor, StateValues};

/// An average of gradients, as a tensor of one axis.
pub(super) fn average(values: &[f32]) -> StateTensor {
    StateTensor { shape: vec![values.len()], values: StateValues::F32(values.to_vec()) }
}

/// A number of steps.
pub(super) fn count(steps: u64) -> StateTensor {
    StateTensor { shape: vec![], values: StateValues::I64(vec![steps as i64]) }
}

/// Takes the state of an optimiser apart.
pub(super) struct Reader<'a> {
    optimizer: &'static str,
    state: &'a StateDict,
}

impl<'a> Reader<'a> {
    pub(super) fn new(optimizer: &'static str, state: &'a StateDict) -> Self {
        Reader { optimizer, state }
    }

    /// The number of parameters, each of which has `entries` entries.
    pub(super) fn parameters(&self, entries: usize) -> Result<usize> {
        let len = self.state.len();
        if !len.is_multiple_of(entries) {
            let expected = format!("{entries} entries for each parameter");
            let place = format!("state of the optimiser {}", self.optimizer);
            return Err(Error::unexpected(place, expected, format!("{len} in all")));
        }
        Ok(len / entries)
    }

    pub(super) fn average(&self, parameter: usize, name: &str) -> Result<Vec<f32>> {
        match self.entry(parameter, name) {
            Some(StateValues::F32(values)) => Ok(values.clone()),
            _ => Err(self.missing(parameter, name, "numbers, F32")),
        }
    }

    pub(super) fn count(&self, parameter: usize, name: &str) -> Result<u64> {
        let steps = match self.entry(parameter, name) {
            Some(StateValues::I64(steps)) => steps.first().and_then(|&steps| steps.try_into().ok()),
            _ => None,
        };
        steps.ok_or_else(|| self.missing(parameter, name, "a count, I64"))
    }

    fn entry(&self, parameter: usize, name: &str) -> Option<&'a StateValues> {
        self.state.get(&format!("{parameter}.{name}")).map(|tensor| &tensor.values)
    }

    fn missing(&self, parameter: usize, name: &str, expected: &str) -> Error {
        let place = format!("state of the optimiser {}: {parameter}.{name}", self.optimizer);
        Error::unexpected(place, expected, "none")
    }
}
