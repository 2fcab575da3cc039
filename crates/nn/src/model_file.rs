//! Networks in files: the safetensors format.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use topedge_data::write_whole;

use crate::error::{Error, Result};
use crate::state_dict::{StateDict, StateTensor, StateValues, hex};

/// The state of a network and what belongs to it, as a safetensors file holds them: PyTorch
/// reads the state by `load_state_dict(safetensors.torch.load_file(path))`. A file holds a hash of its contents,
/// too, which is compared when it is read.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_nn::{ModelFile, Net, NetConfig, state_dict};
///
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
/// let model = Net::SimpleCnn.build(&NetConfig::default(), &mut rng)?;
/// let file = ModelFile {
///     state: state_dict(&model),
///     metadata: [("net".to_string(), Net::SimpleCnn.to_string())].into(),
/// };
/// let bytes = file.to_bytes()?;
/// assert_eq!(ModelFile::from_bytes(&bytes)?.metadata["net"], "simple-cnn");
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Parameters and buffers.
    pub state: StateDict,
    /// Whatever else is to be known: the architecture, the classes.
    pub metadata: BTreeMap<String, String>,
}

/// The key of the metadata that holds the hash of everything else: a file that is damaged is not taken for
/// another network.
const SHA256: &str = "topedge.sha256";

/// A tensor in the file's header.
#[derive(Serialize)]
struct TensorInfo<'a> {
    dtype: &'static str,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

impl ModelFile {
    /// The contents of the file. Equal ones give equal bytes.
    ///
    /// # Errors
    ///
    /// When a tensor has not as many values as its shape says, or is called `__metadata__`.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        // Not by the crate that reads it: there the metadata is a `HashMap`, so that equal
        // ones would make different files.
        let mut header = BTreeMap::new();
        let mut metadata = self.metadata.clone();
        metadata.insert(SHA256.to_string(), self.sha256());
        header.insert("__metadata__", json(&metadata)?);
        let mut data = vec![];
        for (name, tensor) in self.by_alignment() {
            let start = data.len();
            let (dtype, len) = match &tensor.values {
                StateValues::F32(values) => {
                    data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                    ("F32", values.len())
                }
                StateValues::I64(values) => {
                    data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                    ("I64", values.len())
                }
            };
            let shape = &tensor.shape;
            if shape.iter().try_fold(1_usize, |n, &m| n.checked_mul(m)) != Some(len) {
                let expected = format!("as many values as the shape {shape:?} says");
                return Err(Error::unexpected(format!("tensor {name}"), expected, len));
            }
            let info = json(&TensorInfo { dtype, shape, data_offsets: [start, data.len()] })?;
            if header.insert(name, info).is_some() {
                let expected = "a name of its own";
                return Err(Error::unexpected("tensor", expected, name));
            }
        }
        let mut header = json(&header)?.to_string().into_bytes();
        // The data is to be aligned to 8 bytes.
        header.resize(header.len().next_multiple_of(8), b' ');
        let length = header.len() as u64;
        Ok([&length.to_le_bytes()[..], &header, &data].concat())
    }

    /// The widest type first, so that all values are aligned.
    fn by_alignment(&self) -> Vec<(&str, &StateTensor)> {
        let mut tensors: Vec<_> = self.state.iter().collect();
        tensors.sort_by_key(|(_, tensor)| matches!(tensor.values, StateValues::F32(_)));
        tensors
    }

    /// What the contents of a file hold.
    ///
    /// # Errors
    ///
    /// When they are not those of a whole safetensors file, or hold other types than F32 and I64.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes, "model")
    }

    fn parse(bytes: &[u8], place: &str) -> Result<Self> {
        let refuse = |error| Error::unexpected(place, "a whole safetensors file", error);
        // What the header says is checked there against the length of the data.
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(refuse)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(refuse)?;
        let state = tensors.iter().map(|(name, view)| {
            let (data, dtype) = (view.data(), view.dtype());
            let values = match dtype {
                Dtype::F32 => StateValues::F32(numbers(data, f32::from_le_bytes)),
                Dtype::I64 => StateValues::I64(numbers(data, i64::from_le_bytes)),
                dtype => {
                    let place = format!("{place}: tensor {name}");
                    return Err(Error::unexpected(place, "type F32 or I64", dtype));
                }
            };
            let shape = view.shape().to_vec();
            Ok((name.to_string(), StateTensor { shape, values }))
        });
        let mut file = ModelFile {
            state: state.collect::<Result<_>>()?,
            metadata: header.metadata().iter().flatten().map(owned).collect(),
        };
        // Files of other programs have none.
        if let Some(recorded) = file.metadata.remove(SHA256) {
            let found = file.sha256();
            if found != recorded {
                let expected = "contents of the sha256 that the file was written with";
                let found = format!(
                    "others: it is damaged, or was changed by a program that kept its `{SHA256}`"
                );
                return Err(Error::unexpected(place, expected, found));
            }
        }
        Ok(file)
    }

    /// The hash of metadata, and of name, shape and values of each tensor.
    fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for (key, value) in self.metadata.iter().filter(|(key, _)| *key != SHA256) {
            add(key.as_bytes());
            add(value.as_bytes());
        }
        add(self.state.sha256().as_bytes());
        hex(hash)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    ///
    /// Those of [`to_bytes`](Self::to_bytes), and when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_whole(path, &self.to_bytes()?).map_err(Error::io("write", path))
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, and those of [`from_bytes`](Self::from_bytes), with its path.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        Self::parse(&bytes, &path.display().to_string())
    }
}

fn json(value: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|error| Error::unexpected("model", "valid JSON", error))
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

fn numbers<T, const N: usize>(data: &[u8], from_le_bytes: fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = data.as_chunks();
    chunks.iter().map(|&chunk| from_le_bytes(chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model_file() -> ModelFile {
        let tensor = |shape: &[usize], values| StateTensor { shape: shape.to_vec(), values };
        let weight = StateValues::F32(vec![1.0, -2.5, f32::MIN_POSITIVE, 3e30, 0.1, -0.0]);
        let entries = [
            ("0.weight".to_string(), tensor(&[2, 3], weight)),
            ("0.empty".to_string(), tensor(&[0, 4], StateValues::F32(vec![]))),
            ("1.count".to_string(), tensor(&[], StateValues::I64(vec![-7]))),
        ];
        let metadata = [("b", "\"quoted\"\n"), ("a", "ü"), ("c", "")];
        let metadata = metadata.map(|(k, v)| (k.to_string(), v.to_string()));
        ModelFile { state: entries.into_iter().collect(), metadata: metadata.into() }
    }

    #[test]
    fn round_trip() {
        let saved = model_file();
        let loaded = ModelFile::from_bytes(&saved.to_bytes().unwrap()).unwrap();
        assert_eq!(loaded.metadata, saved.metadata);
        assert_eq!(loaded.state.len(), saved.state.len());
        for (name, tensor) in saved.state.iter() {
            assert_eq!(loaded.state.get(name), Some(tensor), "{name}");
        }
        let empty = ModelFile::default();
        assert_eq!(ModelFile::from_bytes(&empty.to_bytes().unwrap()).unwrap(), empty);
    }

    #[test]
    fn files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        model_file().save(&path).unwrap();
        assert_eq!(ModelFile::load(&path).unwrap().metadata["a"], "ü");

        fs::write(&path, b"not a model").unwrap();
        let error = ModelFile::load(&path).unwrap_err().to_string();
        assert!(error.contains("model.safetensors: expected a whole"), "{error}");
        let error = ModelFile::load(&dir.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("cannot read") && error.contains("none"), "{error}");
    }

    #[test]
    fn truncated_or_longer_is_refused_at_every_length() {
        let bytes = model_file().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(ModelFile::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        assert!(ModelFile::from_bytes(&[&bytes[..], b"x"].concat()).is_err());
    }

    #[test]
    fn every_other_bit_of_the_values_and_other_metadata_are_refused() {
        let bytes = model_file().to_bytes().unwrap();
        let data = 4 * 6 + 8;
        for bit in 8 * (bytes.len() - data)..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = ModelFile::from_bytes(&damaged).unwrap_err().to_string();
            assert!(error.contains("sha256"), "{bit}: {error}");
        }
        let text = "quoted";
        let place = bytes.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
        let mut damaged = bytes.clone();
        damaged[place] = b'Q';
        assert!(ModelFile::from_bytes(&damaged).is_err());
        // Without the hash, as other programs write them, it is read.
        let key = bytes.windows(SHA256.len()).position(|w| w == SHA256.as_bytes()).unwrap();
        damaged[key] = b'T';
        assert_eq!(ModelFile::from_bytes(&damaged).unwrap().metadata["b"], "\"Quoted\"\n");
    }

    #[test]
    fn lies_in_the_header_are_refused() {
        let file = |header: &str, data: &[u8]| {
            let length = (header.len() as u64).to_le_bytes();
            ModelFile::from_bytes(&[&length, header.as_bytes(), data].concat())
        };
        let tensor = |dtype, shape, end| {
            format!(r#"{{"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
        };
        assert!(file(&tensor("F32", "[1]", 4), &[0; 4]).is_ok());
        for (dtype, shape, end) in [
            ("F32", "[2]", 4),
            ("F32", "[18446744073709551615,2]", 4),
            ("F32", "[1]", 8),
            ("F99", "[1]", 4),
        ] {
            let error = file(&tensor(dtype, shape, end), &[0; 4]).unwrap_err().to_string();
            assert!(error.contains("a whole safetensors file"), "{error}");
        }
        let error = file(&tensor("F16", "[2]", 4), &[0; 4]).unwrap_err().to_string();
        assert!(error.contains("tensor x: expected type F32 or I64, found F16"), "{error}");
        assert!(ModelFile::from_bytes(&u64::MAX.to_le_bytes()).is_err());
    }

    #[test]
    fn what_no_file_can_hold_is_refused() {
        for (name, shape) in [("x", vec![3]), ("__metadata__", vec![2])] {
            let values = StateValues::F32(vec![1.0, 2.0]);
            let state = [(name.to_string(), StateTensor { shape, values })];
            let file = ModelFile { state: state.into_iter().collect(), ..Default::default() };
            assert!(file.to_bytes().is_err(), "{name}");
        }
    }
}
