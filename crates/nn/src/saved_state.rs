//! What callbacks and metrics have saved of themselves in a checkpoint.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// What of a callback or metric is saved in a [`Checkpoint`](crate::Checkpoint): all that it carries from
/// one batch to the next, and nothing that it was told when it was made.
///
/// One value serves both ways: it is written as it is, and what was written comes back into the same
/// place. All bits of numbers are kept.
///
/// ```
/// use topedge_nn::{Callback, Flow, SavedState, State};
///
/// /// Counts the training batches with a high loss.
/// struct High {
///     limit: f32,
///     count: usize,
/// }
///
/// impl Callback for High {
///     fn name(&self) -> &'static str {
///         "high"
///     }
///     fn saved_state(&mut self) -> SavedState<'_> {
///         SavedState::of(&mut self.count)
///     }
///     fn after_batch(&mut self, state: &mut State) -> Flow {
///         let high = state.is_training() && state.loss_value()? > Some(self.limit);
///         self.count += usize::from(high);
///         Ok(())
///     }
/// }
/// ```
pub struct SavedState<'a>(Inner<'a>);

enum Inner<'a> {
    Unsaid,
    Nothing,
    Value(&'a mut dyn Value),
}

impl<'a> SavedState<'a> {
    /// `value`, all of it. A tuple or a struct of one's own holds several.
    pub fn of<T: Serialize + DeserializeOwned>(value: &'a mut T) -> Self {
        SavedState(Inner::Value(value))
    }

    /// Nothing: it has settings alone, or what it holds does not outlive a batch.
    pub fn nothing() -> Self {
        SavedState(Inner::Nothing)
    }

    /// It does not say. Where there are fields, no checkpoint can be made of that.
    pub(crate) fn unsaid() -> Self {
        SavedState(Inner::Unsaid)
    }

    /// The bytes to save of `owner`, which is `size` bytes large itself.
    pub(crate) fn to_bytes(&self, owner: &str, size: usize) -> Result<Vec<u8>> {
        match &self.0 {
            Inner::Unsaid if size > 0 => {
                let expected = "one whose saved_state says what a checkpoint keeps of it";
                Err(Error::setting(format!("a run to be saved: {owner}"), "silent", expected))
            }
            Inner::Unsaid | Inner::Nothing => Ok(vec![]),
            Inner::Value(value) => {
                value.save().map_err(|error| Error::unexpected(owner, "state to save", error))
            }
        }
    }

    /// Puts back what was saved of `owner`.
    pub(crate) fn load(self, owner: &str, bytes: &[u8]) -> Result<()> {
        let wrong = |found: String| {
            Error::unexpected(format!("checkpoint: {owner}"), "the state that it saves", found)
        };
        match self.0 {
            Inner::Unsaid | Inner::Nothing if bytes.is_empty() => Ok(()),
            Inner::Unsaid | Inner::Nothing => Err(wrong(format!("{} bytes more", bytes.len()))),
            Inner::Value(value) => value.load(bytes).map_err(|error| wrong(error.to_string())),
        }
    }
}

/// A value of any type that serde knows.
trait Value {
    fn save(&self) -> postcard::Result<Vec<u8>>;
    fn load(&mut self, bytes: &[u8]) -> postcard::Result<()>;
}

impl<T: Serialize + DeserializeOwned> Value for T {
    fn save(&self) -> postcard::Result<Vec<u8>> {
        postcard::to_allocvec(self)
    }

    fn load(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        *self = from_bytes(bytes)?;
        Ok(())
    }
}

/// The value that `bytes` are, all of them.
pub(crate) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> postcard::Result<T> {
    match postcard::take_from_bytes(bytes)? {
        (value, []) => Ok(value),
        _ => Err(postcard::Error::DeserializeBadEncoding),
    }
}

impl std::fmt::Debug for SavedState<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Inner::Unsaid => "SavedState::unsaid()",
            Inner::Nothing => "SavedState::nothing()",
            Inner::Value(_) => "SavedState::of(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_comes_back() {
        let nan = f32::from_bits(0x7fa0_1234);
        let mut value = (vec![0.1, -0.0, f64::NEG_INFINITY, 5e-324], nan, usize::MAX);
        let bytes = SavedState::of(&mut value).to_bytes("x", 1).unwrap();
        let mut back = (vec![], 0.0_f32, 0_usize);
        SavedState::of(&mut back).load("x", &bytes).unwrap();
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(
            (bits(&back.0), back.1.to_bits(), back.2),
            (bits(&value.0), nan.to_bits(), value.2)
        );
    }

    #[test]
    fn what_is_not_the_state_is_refused() {
        let bytes = SavedState::of(&mut 300_u32).to_bytes("x", 4).unwrap();
        for wrong in [&bytes[..1], &[&bytes[..], &[0]].concat(), &[]] {
            let error = SavedState::of(&mut 0_u32).load("callback x", wrong).unwrap_err();
            assert!(error.to_string().starts_with("checkpoint: callback x: expected"), "{error}");
        }
        assert!(SavedState::nothing().load("x", &bytes).is_err());
        SavedState::nothing().load("x", &[]).unwrap();
        // A length that no memory could hold.
        assert!(SavedState::of(&mut vec![0_u64]).load("x", &[0xff; 9]).is_err());
    }

    #[test]
    fn silence_is_refused_where_there_are_fields() {
        assert_eq!(SavedState::unsaid().to_bytes("x", 0).unwrap(), b"");
        let error = SavedState::unsaid().to_bytes("callback x", 8).unwrap_err().to_string();
        assert!(error.contains("callback x") && error.contains("saved_state"), "{error}");
    }
}
