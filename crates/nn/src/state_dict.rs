//! The state of a network: its parameters and buffers by name.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use topedge_autograd::Tensor;

use crate::error::{Error, Result};
use crate::module::{Item, ItemMut, Module, walk, walk_mut};

/// Parameters and buffers by name, in the order in which PyTorch's `state_dict` lists them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateDict {
    entries: Vec<(String, StateTensor)>,
}

/// One parameter or buffer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateTensor {
    /// The shape; of a single number, `[]`.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: StateValues,
}

/// The values of a parameter or buffer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StateValues {
    /// Of parameters and running statistics.
    F32(Vec<f32>),
    /// Of counters.
    I64(Vec<i64>),
}

impl StateTensor {
    /// Type and shape in words, to compare and to report.
    fn kind(&self) -> String {
        let dtype = match self.values {
            StateValues::F32(_) => "F32",
            StateValues::I64(_) => "I64",
        };
        format!("{dtype} {:?}", self.shape)
    }

    /// Whether there are as many values as the shape says.
    fn is_whole(&self) -> bool {
        let len = match &self.values {
            StateValues::F32(values) => values.len(),
            StateValues::I64(values) => values.len(),
        };
        self.shape.iter().try_fold(1_usize, |n, &m| n.checked_mul(m)) == Some(len)
    }
}

impl StateDict {
    /// The hash of all entries, by name: name, shape and little-endian values of each. Equal weights have equal
    /// hashes, and others do not.
    pub fn sha256(&self) -> String {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_by_key(|(name, _)| *name);
        let mut hash = Sha256::new();
        for (name, tensor) in entries {
            hash.update(format!("{name} {:?}\n", tensor.shape));
            match &tensor.values {
                StateValues::F32(values) => {
                    values.iter().for_each(|v| hash.update(v.to_le_bytes()))
                }
                StateValues::I64(values) => {
                    values.iter().for_each(|v| hash.update(v.to_le_bytes()))
                }
            }
        }
        hex(hash)
    }

    /// The entry called `name`.
    pub fn get(&self, name: &str) -> Option<&StateTensor> {
        let found = self.entries.iter().find(|(known, _)| known == name);
        found.map(|(_, tensor)| tensor)
    }

    /// All entries in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &StateTensor)> {
        self.entries.iter().map(|(name, tensor)| (&**name, tensor))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl FromIterator<(String, StateTensor)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (String, StateTensor)>>(entries: I) -> Self {
        StateDict { entries: entries.into_iter().collect() }
    }
}

/// A copy of the state of `model`.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_nn::{Net, NetConfig, load_state_dict, state_dict};
///
/// let build = |seed| {
///     let mut rng = rand_pcg::Pcg64::seed_from_u64(seed);
///     Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng)
/// };
/// let (trained, mut fresh) = (build(1)?, build(2)?);
/// let state = state_dict(&trained);
/// assert_eq!(state.get("0.2.running_mean").unwrap().shape, [8]);
/// load_state_dict(&mut fresh, &state)?;
/// assert_eq!(state_dict(&fresh), state);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
pub fn state_dict(model: &dyn Module) -> StateDict {
    let mut entries = vec![];
    walk(model, &mut |path, item| {
        let (shape, values) = match item {
            Item::Parameter(parameter) => {
                (parameter.value.shape().to_vec(), StateValues::F32(parameter.value.to_vec()))
            }
            Item::Buffer(values) => (vec![values.len()], StateValues::F32(values.to_vec())),
            // Beyond 2^63 batches nobody counts.
            Item::Counter(count) => (vec![], StateValues::I64(vec![count as i64])),
            Item::Module(_) => return,
        };
        entries.push((path.to_string(), StateTensor { shape, values }));
    });
    StateDict { entries }
}

/// Gives `model` the state `state`.
///
/// # Errors
///
/// When an entry is missing, is of another shape or type, or is not known to the model, which
/// then stays as it is.
pub fn load_state_dict(model: &mut dyn Module, state: &StateDict) -> Result<()> {
    let own = state_dict(model);
    for (name, expected) in own.iter() {
        let place = || format!("state of the network: {name}");
        let found = state.get(name);
        let found = found.ok_or_else(|| Error::unexpected(place(), expected.kind(), "nothing"))?;
        if found.kind() != expected.kind() {
            return Err(Error::unexpected(place(), expected.kind(), found.kind()));
        }
        if !found.is_whole() {
            let expected = format!("as many values as {} has", found.kind());
            return Err(Error::unexpected(place(), expected, "more or fewer"));
        }
        if let StateValues::I64(values) = &found.values
            && values.iter().any(|&value| value < 0)
        {
            let found = format!("{values:?}");
            return Err(Error::unexpected(place(), "a count of at least 0", found));
        }
    }
    if let Some((name, found)) = state.iter().find(|(name, _)| own.get(name).is_none()) {
        let place = format!("state of the network: {name}");
        let expected = "no such entry in this architecture";
        return Err(Error::unexpected(place, expected, found.kind()));
    }

    let mut outcome = Ok(());
    walk_mut(model, &mut |path, item| {
        // Every entry has been found above, with this type and shape.
        let Some(entry) = state.get(path) else { return };
        match (item, &entry.values) {
            (ItemMut::Parameter(parameter), StateValues::F32(values)) => {
                match laid_out(values.clone(), &parameter.value) {
                    Ok(value) => parameter.set(value),
                    Err(error) => outcome = Err(error),
                }
            }
            (ItemMut::Buffer(buffer), StateValues::F32(values)) => buffer.copy_from_slice(values),
            (ItemMut::Counter(counter), StateValues::I64(values)) => *counter = values[0] as u64,
            _ => {}
        }
    });
    outcome
}

/// A tensor of `values`, row-major, that lies in memory as `model` does: optimisers keep their averages
/// in that order.
fn laid_out(values: Vec<f32>, model: &Tensor) -> Result<Tensor> {
    let tensor = Tensor::new(values, model.shape())?;
    if tensor.strides() == model.strides() {
        return Ok(tensor);
    }
    let mut axes: Vec<usize> = (0..model.rank()).collect();
    axes.sort_by_key(|&axis| std::cmp::Reverse(model.strides()[axis]));
    let mut back = axes.clone();
    axes.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
    Ok(tensor.permute(&axes)?.contiguous().permute(&back)?)
}

/// A hash in hexadecimal digits.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use crate::layers::{BatchNorm2d, Sequential};
    use crate::layers::{BlockConfig, NormPlace, conv};
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    fn net(seed: u64) -> Sequential {
        let config = BlockConfig { norm: Some(NormPlace::AfterActivation), ..Default::default() };
        Sequential::new().push(conv(1, 2, &config, &mut Pcg64::seed_from_u64(seed)).unwrap())
    }

    fn images() -> Tensor {
        Tensor::new((0..72).map(|i| (i % 7) as f32).collect(), &[2, 1, 6, 6]).unwrap()
    }

    #[test]
    fn names_and_order_are_pytorchs() {
        let mut net = net(1);
        net.forward(&images(), &mut Context::train(1)).unwrap();
        let state = state_dict(&net);
        let kinds: Vec<_> = state.iter().map(|(n, t)| format!("{n} {}", t.kind())).collect();
        let expected = [
            "0.0.weight F32 [2, 1, 3, 3]",
            "0.0.bias F32 [2]",
            "0.2.weight F32 [2]",
            "0.2.bias F32 [2]",
            "0.2.running_mean F32 [2]",
            "0.2.running_var F32 [2]",
            "0.2.num_batches_tracked I64 []",
        ];
        assert_eq!(kinds, expected);
        let count = &state.get("0.2.num_batches_tracked").unwrap().values;
        assert_eq!(*count, StateValues::I64(vec![1]));
    }

    #[test]
    fn a_loaded_network_computes_the_same() {
        let (mut trained, mut fresh) = (net(1), net(2));
        trained.forward(&images(), &mut Context::train(1)).unwrap();
        let output =
            |net: &mut Sequential| net.forward(&images(), &mut Context::eval()).unwrap().to_vec();
        assert_ne!(output(&mut trained), output(&mut fresh));
        load_state_dict(&mut fresh, &state_dict(&trained)).unwrap();
        assert_eq!(output(&mut trained), output(&mut fresh));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut model = net(1);
        let before = state_dict(&model);
        type Change<'a> = &'a dyn Fn(&mut Vec<(String, StateTensor)>);
        let mut refused = |change: Change<'_>, words: [&str; 3]| {
            let mut state = state_dict(&net(2));
            change(&mut state.entries);
            let error = load_state_dict(&mut model, &state).unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "{error}");
            }
            assert_eq!(state_dict(&model), before);
        };
        refused(&|entries| drop(entries.remove(1)), ["0.0.bias", "F32 [2]", "nothing"]);
        refused(
            &|entries| entries[0].1.shape = vec![1, 2, 3, 3],
            ["0.0.weight", "F32 [2, 1, 3, 3]", "F32 [1, 2, 3, 3]"],
        );
        refused(
            &|entries| entries[6].1.values = StateValues::F32(vec![1.0]),
            ["num_batches_tracked", "I64 []", "F32 []"],
        );
        refused(
            &|entries| entries[6].1.values = StateValues::I64(vec![-1]),
            ["num_batches_tracked", "at least 0", "-1"],
        );
        refused(
            &|entries| {
                let extra = entries[1].1.clone();
                entries.push(("1.bias".to_string(), extra));
            },
            ["1.bias", "no such entry", "F32 [2]"],
        );
    }

    #[test]
    fn values_keep_their_place_in_memory() {
        let (rows, columns) =
            ((0..6).map(|i| i as f32).collect::<Vec<_>>(), [0., 3., 1., 4., 2., 5.]);
        let mut net: Sequential = Sequential::new().push(BatchNorm2d::new(3).unwrap());
        let transposed = Tensor::zeros(&[3, 2]).unwrap().transpose(0, 1).unwrap();
        assert_eq!(laid_out(rows.clone(), &transposed).unwrap().dense_slice().unwrap(), columns);
        assert_eq!(laid_out(rows.clone(), &transposed).unwrap().to_vec(), rows);
        // A state whose shape promises more than it holds.
        let mut state = state_dict(&net);
        state.entries[3].1.values = StateValues::F32(vec![1.0; 2]);
        let error = load_state_dict(&mut net, &state).unwrap_err().to_string();
        assert!(error.contains("0.running_var: expected as many values as F32 [3]"), "{error}");
    }

    #[test]
    fn a_single_layer_has_no_path() {
        let norm: BatchNorm2d = BatchNorm2d::new(3).unwrap();
        assert_eq!(state_dict(&norm).iter().next().unwrap().0, "weight");
    }
}
