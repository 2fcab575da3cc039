//! Trained networks in files.
//!
//! A model file is a safetensors file. Its tensors are the network's state, named as PyTorch's
//! `state_dict` names them; its metadata says the rest:
//!
//! | key | value |
//! | --- | --- |
//! | `topedge.format` | `1` |
//! | `net` | the name of the architecture, as in `simple-cnn-bn` |
//! | `classes` | JSON: the names of the classes, in the order of the outputs |
//! | `image_shape` | JSON: `[channels, height, width]` |
//! | `normalize` | JSON: `{"mean": [..], "std": [..]}`, of pixels / 255, per channel or one for all |

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rand::SeedableRng;
use rand_pcg::Pcg64;
use serde_json::json;
use topedge_autograd::Tensor;
use topedge_data::Normalize;
use topedge_nn::layers::Sequential;
use topedge_nn::{ModelFile, Module, Net, NetConfig, Predictor, load_state_dict, state_dict};

use crate::error::{Error, Result};

const FORMAT: &str = "1";

/// What must be known of a network besides its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The architecture.
    pub net: Net,
    /// The names of the classes, in the order of the outputs.
    pub classes: Vec<String>,
    /// `[channels, height, width]` of the images; 1 channel (grey) or 3 (RGB).
    pub image_shape: [usize; 3],
    /// What pixels are normalised by.
    pub normalize: Normalize,
}

/// A trained network, ready to recognise images.
#[allow(missing_debug_implementations)]
pub struct Model {
    /// What it recognises, and in what.
    pub info: ModelInfo,
    network: Sequential,
    /// The same, ready to run.
    predictor: Predictor,
    /// The file that it is from, or `model`.
    place: String,
}

/// What a [`Model`] sees in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The likeliest class, an index into the model's classes.
    pub label: usize,
    /// The probability of each class; they sum to 1.
    pub probabilities: Vec<f32>,
}

impl ModelInfo {
    /// `network`, which is of this architecture, as the bytes of a model file. Equal networks give
    /// equal bytes.
    ///
    /// # Errors
    ///
    /// When the network is not of this architecture, or the information contradicts itself.
    pub fn to_bytes(&self, network: &dyn Module) -> Result<Vec<u8>> {
        let state = state_dict(network);
        // Whoever reads the file builds the architecture by its name: what would not fit then is
        // better refused now.
        load_state_dict(&mut self.build("model")?, &state)?;
        let normalize = json!({ "mean": self.normalize.mean, "std": self.normalize.std });
        let metadata = [
            ("topedge.format", FORMAT.to_string()),
            ("net", self.net.to_string()),
            ("classes", json!(self.classes).to_string()),
            ("image_shape", json!(self.image_shape).to_string()),
            ("normalize", normalize.to_string()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_string(), value)).into();
        Ok(ModelFile { state, metadata }.to_bytes()?)
    }

    /// The information in the metadata of the file `place`, which is `len` bytes long.
    fn of_metadata(
        metadata: &BTreeMap<String, String>,
        place: &str,
        len: usize,
    ) -> Result<ModelInfo> {
        let get = |key: &str| {
            let value = metadata.get(key).map(String::as_str);
            value.ok_or_else(|| unexpected(place, "metadata", format!("the key {key}"), "none"))
        };
        let format = get("topedge.format")?;
        if format != FORMAT {
            return Err(unexpected(place, "topedge.format", FORMAT, format));
        }
        let net = get("net")?;
        let net = net.parse().map_err(|_| {
            let names = Net::ALL.map(Net::name).join(", ");
            unexpected(place, "net", format!("one of {names}"), excerpt(net))
        })?;
        let classes: Vec<String> =
            parse(place, "classes", "a JSON array of names", get("classes")?)?;
        let image_shape = get("image_shape")?;
        let expected = "a JSON array [channels, height, width]";
        let image_shape: [usize; 3] = parse(place, "image_shape", expected, image_shape)?;
        // Any of the networks has more bytes of weights than its images have pixels. So a small
        // file cannot ask for a huge network.
        let pixels = image_shape.iter().try_fold(1_usize, |n, &m| n.checked_mul(m));
        if pixels.is_none_or(|pixels| pixels > len) {
            let expected = format!("images that a network of {len} bytes is for");
            return Err(unexpected(place, "image_shape", expected, format!("{image_shape:?}")));
        }
        let normalize = get("normalize")?;
        let expected = "JSON {\"mean\": [..], \"std\": [..]}";
        let values: BTreeMap<String, Vec<f32>> = parse(place, "normalize", expected, normalize)?;
        let [("mean", mean), ("std", std)] =
            values.iter().map(|(k, v)| (k.as_str(), v)).collect::<Vec<_>>()[..]
        else {
            return Err(unexpected(place, "normalize", expected, excerpt(normalize)));
        };
        let normalize = Normalize { mean: mean.clone(), std: std.clone() };
        Ok(ModelInfo { net, classes, image_shape, normalize })
    }

    /// The architecture with some weights; an error names `place`.
    fn build(&self, place: &str) -> Result<Sequential> {
        let ModelInfo { net, classes, image_shape, normalize } = self;
        let [channels, ..] = *image_shape;
        if !matches!(channels, 1 | 3) {
            let (expected, found) = ("1 channel (grey) or 3 (RGB)", format!("{image_shape:?}"));
            return Err(unexpected(place, "image_shape", expected, found));
        }
        let repeated = (1..classes.len()).find(|&i| classes[..i].contains(&classes[i]));
        if let Some(i) = repeated {
            let found = format!("{} twice", excerpt(&classes[i]));
            return Err(unexpected(place, "classes", "each class once", found));
        }
        // One pixel of each channel shows whether there is a number for each.
        if let Err(error) = normalize.apply(&vec![0; channels]) {
            let expected = format!("finite numbers for {channels} channels, deviations above 0");
            return Err(unexpected(place, "normalize", expected, error));
        }
        let config = NetConfig { image_shape: *image_shape, classes: classes.len() };
        let expected = format!("images and classes that {net} takes");
        let network = net
            .build(&config, &mut Pcg64::seed_from_u64(0))
            .map_err(|error| unexpected(place, "image_shape, classes", &expected, error))?;
        let output = network.output_shape(&[&[1], &image_shape[..]].concat())?;
        if output != [1, classes.len()] {
            let found = format!("an output of shape {output:?}");
            return Err(unexpected(place, "net", "one output for each class", found));
        }
        Ok(network)
    }
}

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not a whole model file whose tensors are those of its
    /// architecture. The message names the file.
    pub fn load(path: &Path) -> Result<Model> {
        let bytes = fs::read(path).map_err(|error| topedge_nn::Error::Io {
            action: "read",
            path: path.to_owned(),
            error,
        })?;
        Self::parse(&bytes, &path.display().to_string())
    }

    /// The model in the bytes of a model file, which may be any bytes.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
        Self::parse(bytes, "model")
    }

    fn parse(bytes: &[u8], place: &str) -> Result<Model> {
        let in_place = |error| match error {
            topedge_nn::Error::Unexpected { place: what, expected, found } if what == "model" => {
                unexpected(place, "contents", expected, found)
            }
            topedge_nn::Error::Unexpected { place: what, expected, found } => {
                unexpected(place, what, expected, found)
            }
            error => Error::Nn(error),
        };
        let file = ModelFile::from_bytes(bytes).map_err(in_place)?;
        let info = ModelInfo::of_metadata(&file.metadata, place, bytes.len())?;
        let mut network = info.build(place)?;
        load_state_dict(&mut network, &file.state).map_err(in_place)?;
        Model::new(info, network, place)
    }

    fn new(info: ModelInfo, network: Sequential, place: &str) -> Result<Model> {
        let predictor = Predictor::new(&network, info.image_shape)?;
        Ok(Model { info, network, predictor, place: place.to_string() })
    }

    /// The network with its weights.
    pub fn into_network(self) -> Sequential {
        self.network
    }

    /// Recognises one image: its pixels, `[channels, height, width]` contiguous, as
    /// [`load_image`](topedge_data::load_image) gives them.
    ///
    /// # Errors
    ///
    /// When there are not as many pixels as in [`ModelInfo::image_shape`], or what the network says
    /// of them is not finite.
    pub fn predict(&mut self, pixels: &[u8]) -> Result<Prediction> {
        let values = self.info.normalize.apply(pixels)?;
        let mut scores = vec![0.0; self.info.classes.len()];
        self.predictor.predict(&values, &mut scores)?;
        let scores = Tensor::new(scores, &[1, self.info.classes.len()])?;
        let y = scores.softmax(1)?;
        let probabilities = y.to_vec();
        if let Some(wrong) = probabilities.iter().find(|p| !p.is_finite()) {
            return Err(unexpected(&self.place, "probabilities", "finite numbers", wrong));
        }
        let label = y.argmax(1)?[0] as usize;
        Ok(Prediction { label, probabilities })
    }
}

fn unexpected(
    place: &str,
    what: impl Into<String>,
    expected: impl Into<String>,
    found: impl ToString,
) -> Error {
    Error::Model {
        place: place.to_string(),
        what: what.into(),
        expected: expected.into(),
        found: found.to_string(),
    }
}

/// A JSON value in a file's metadata.
fn parse<T: serde::de::DeserializeOwned>(
    place: &str,
    key: &str,
    expected: &str,
    value: &str,
) -> Result<T> {
    serde_json::from_str(value).map_err(|_| unexpected(place, key, expected, excerpt(value)))
}

/// The beginning of a text from a file, fit for an error message of one line.
fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use topedge_nn::StateValues;

    fn info(net: Net, classes: usize, image_shape: [usize; 3]) -> ModelInfo {
        ModelInfo {
            net,
            classes: (0..classes).map(|class| format!("class \"{class}\"\n")).collect(),
            image_shape,
            normalize: Normalize { mean: vec![0.1307], std: vec![0.3081] },
        }
    }

    fn network(info: &ModelInfo) -> Sequential {
        let config = NetConfig { image_shape: info.image_shape, classes: info.classes.len() };
        info.net.build(&config, &mut Pcg64::seed_from_u64(7)).unwrap()
    }

    /// A small file, for it is parsed often.
    fn small() -> (ModelInfo, Vec<u8>) {
        let info = info(Net::SimpleNet, 2, [1, 2, 3]);
        let bytes = info.to_bytes(&network(&info)).unwrap();
        (info, bytes)
    }

    /// [`small`] with other metadata.
    fn with_metadata(change: impl FnOnce(&mut BTreeMap<String, String>)) -> String {
        let mut file = ModelFile::from_bytes(&small().1).unwrap();
        change(&mut file.metadata);
        Model::from_bytes(&file.to_bytes().unwrap()).err().unwrap().to_string()
    }

    #[test]
    fn round_trip() {
        for (net, classes, image_shape) in [
            (Net::SimpleNet, 10, [1, 28, 28]),
            (Net::SimpleCnn2, 2, [1, 28, 28]),
            (Net::SimpleCnn, 3, [3, 17, 32]),
            (Net::SimpleCnnBn, 10, [1, 28, 28]),
        ] {
            let info = info(net, classes, image_shape);
            let network = network(&info);
            let bytes = info.to_bytes(&network).unwrap();
            assert_eq!(bytes, info.to_bytes(&network).unwrap());
            let mut model = Model::from_bytes(&bytes).unwrap();
            assert_eq!(model.info, info);
            assert_eq!(state_dict(&model.network), state_dict(&network));

            let pixels = vec![100; image_shape.iter().product()];
            let prediction = model.predict(&pixels).unwrap();
            let p = &prediction.probabilities;
            assert_eq!(p.len(), classes);
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{p:?}");
            assert!(p.iter().all(|&other| other <= p[prediction.label]), "{p:?}");
            assert!(model.predict(&pixels[1..]).is_err());
        }
    }

    #[test]
    fn truncated_at_every_length() {
        let (_, bytes) = small();
        for len in 0..bytes.len() {
            assert!(Model::from_bytes(&bytes[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_changed_byte_never_panics() {
        let (_, mut bytes) = small();
        for i in 0..bytes.len() {
            for change in [0x01, 0x10, 0x80] {
                bytes[i] ^= change;
                if let Ok(mut model) = Model::from_bytes(&bytes) {
                    let pixels = vec![9; model.info.image_shape.iter().product()];
                    let _ = model.predict(&pixels);
                }
                bytes[i] ^= change;
            }
        }
    }

    #[test]
    fn metadata_that_lies_is_refused() {
        for (key, value, expected) in [
            ("topedge.format", "2", "topedge.format: expected 1, found 2"),
            ("net", "resnet\n18", "net: expected one of simple-net"),
            ("net", "simple-cnn", "0.0.weight"),
            ("net", "broken-cnn", "one output for each class"),
            ("classes", "[1]", "classes: expected a JSON array of names, found \"[1]\""),
            ("classes", "[]", "classes"),
            ("classes", "[\"a\",\"a\"]", "classes: expected each class once"),
            ("classes", "[\"a\",\"b\",\"c\"]", "3.weight: expected F32 [3, 30], found F32 [2, 30]"),
            ("image_shape", "[1, 2]", "image_shape: expected a JSON array"),
            ("image_shape", "[1, 2, -3]", "image_shape: expected a JSON array"),
            ("image_shape", "[2, 1, 3]", "image_shape: expected 1 channel (grey) or 3 (RGB)"),
            ("image_shape", "[1, 3, 3]", "1.weight: expected F32 [30, 9], found F32 [30, 6]"),
            ("image_shape", "[1, 0, 3]", "image_shape"),
            ("image_shape", "[1, 99999, 99999]", "image_shape: expected images that a network"),
            ("image_shape", "[3, 18446744073709551615, 9]", "image_shape: expected images that"),
            ("normalize", "{}", "normalize: expected JSON"),
            ("normalize", "{\"mean\":[0],\"std\":[1],\"x\":[]}", "normalize: expected JSON"),
            ("normalize", "{\"mean\":[0],\"std\":[0]}", "normalize: expected finite numbers"),
            ("normalize", "{\"mean\":[0,1],\"std\":[1,1]}", "normalize: expected finite numbers"),
        ] {
            let error = with_metadata(|metadata| {
                metadata.insert(key.to_string(), value.to_string());
            });
            assert!(error.contains(expected) && !error.contains('\n'), "{key} {value}: {error}");
            assert!(error.starts_with("model: "), "{error}");
        }
        for key in ["topedge.format", "net", "classes", "image_shape", "normalize"] {
            let error = with_metadata(|metadata| {
                metadata.remove(key);
            });
            assert_eq!(error, format!("model: metadata: expected the key {key}, found none"));
        }
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let error = Model::load(&path).err().unwrap().to_string();
        assert!(error.contains("cannot read") && error.contains("m.safetensors"), "{error}");
        for bytes in [&b""[..], b"not a model at all", &small().1[..500]] {
            fs::write(&path, bytes).unwrap();
            let error = Model::load(&path).err().unwrap().to_string();
            assert!(error.contains("m.safetensors: contents: expected a whole"), "{error}");
        }
    }

    #[test]
    fn what_could_not_be_loaded_is_not_saved() {
        let two = info(Net::SimpleNet, 2, [1, 2, 3]);
        let network = network(&two);
        for wrong in [
            ModelInfo { net: Net::SimpleCnn, ..two.clone() },
            info(Net::SimpleNet, 3, [1, 2, 3]),
            info(Net::SimpleNet, 2, [1, 3, 3]),
            ModelInfo { normalize: Normalize { mean: vec![], std: vec![1.0] }, ..two.clone() },
        ] {
            assert!(wrong.to_bytes(&network).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_not_finite_is_no_prediction() {
        let (info, _) = small();
        let mut state = state_dict(&network(&info));
        state = state
            .iter()
            .map(|(name, tensor)| {
                let mut tensor = tensor.clone();
                if let StateValues::F32(values) = &mut tensor.values {
                    values[0] = f32::NAN;
                }
                (name.to_string(), tensor)
            })
            .collect();
        let mut network = network(&info);
        load_state_dict(&mut network, &state).unwrap();
        let mut model = Model::new(info, network, "nan.safetensors").unwrap();
        let error = model.predict(&[0; 6]).unwrap_err().to_string();
        assert!(error.starts_with("nan.safetensors: probabilities: expected finite"), "{error}");
    }
}
