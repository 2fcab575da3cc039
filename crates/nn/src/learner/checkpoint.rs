//! Checkpoints in files.
//!
//! ```text
//! 8 bytes    "topedge" and a zero
//! u32        version of the format, 1
//! u64        length of the contents
//! contents   `Contents`, in the postcard format
//! 32 bytes   SHA-256 of all that comes before
//! ```
//!
//! Numbers are little-endian.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use topedge_data::write_whole;

use super::state::EpochRow;
use crate::error::{Error, Result};
use crate::optim::Hyper;
use crate::saved_state;
use crate::state_dict::StateDict;

const MAGIC: [u8; 8] = *b"topedge\0";
const VERSION: u32 = 1;
const HEADER: usize = 8 + 4 + 8;
const CHECKSUM: usize = 32;

/// A training run between two of its batches, whole: network, optimiser, random numbers, where it stands
/// in the data, what its callbacks and metrics have gathered. A [`Learner`](crate::Learner) makes them as
/// [`Checkpoints`](crate::Checkpoints) say, and [goes on](crate::Learner::resume) from one of them.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Whatever else is to be known, as [`Checkpoints::metadata`](crate::Checkpoints::metadata) has it.
    pub metadata: BTreeMap<String, String>,
    pub(super) contents: Contents,
}

/// The part of a fit that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Pass {
    /// Between two epochs.
    None,
    Train,
    Validate,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Contents {
    /// What has to be the same in the run that goes on: names and values.
    pub(super) settings: Vec<(String, String)>,
    /// The epoch that runs, or else comes next.
    pub(super) epoch: usize,
    pub(super) pass: Pass,
    /// Batches of the pass that are done.
    pub(super) batch: usize,
    /// Training batches of the fit that are done.
    pub(super) step: usize,
    /// Training passes begun in all fits.
    pub(super) passes: u64,
    pub(super) rng: Pcg64,
    pub(super) smoothed_loss: Option<f64>,
    pub(super) row: Option<EpochRow>,
    pub(super) model: StateDict,
    pub(super) parameters: Vec<ParameterState>,
    pub(super) optimizer: StateDict,
    pub(super) hypers: Vec<(Hyper, f64)>,
    /// The saved state of each metric and callback.
    pub(super) metrics: Vec<Vec<u8>>,
    pub(super) callbacks: Vec<Vec<u8>>,
}

/// What there is to know of a parameter besides its values.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ParameterState {
    pub(super) trainable: bool,
    pub(super) lr_scale: f64,
    /// What has gathered of a gradient that spans batches.
    pub(super) gradient: Option<Vec<f32>>,
}

impl Checkpoint {
    /// The epoch that runs, or else comes next, from 0.
    pub fn epoch(&self) -> usize {
        self.contents.epoch
    }

    /// The training batches of the fit that are done.
    pub fn step(&self) -> usize {
        self.contents.step
    }

    /// The contents of the file.
    ///
    /// # Errors
    ///
    /// None is known.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let contents = postcard::to_allocvec(&(&self.metadata, &self.contents))
            .map_err(|error| Error::unexpected("checkpoint", "what can be written", error))?;
        let mut bytes = Vec::with_capacity(HEADER + contents.len() + CHECKSUM);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((contents.len() as u64).to_le_bytes());
        bytes.extend(contents);
        let checksum = Sha256::digest(&bytes);
        bytes.extend(checksum);
        Ok(bytes)
    }

    /// The checkpoint in the contents of a file.
    ///
    /// # Errors
    ///
    /// When they are not those of a whole and unchanged checkpoint of this version: any flipped bit and
    /// any missing byte is found.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes, "checkpoint")
    }

    fn parse(bytes: &[u8], place: &str) -> Result<Self> {
        let wrong =
            |expected: String, found: String| Err(Error::unexpected(place, expected, found));
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            let found = format!("a file of {} bytes", bytes.len());
            return wrong("a checkpoint of a training run".to_string(), found);
        };
        let (magic, numbers) = header.split_at(MAGIC.len());
        let (version, length) = numbers.split_at(4);
        if magic != MAGIC {
            return wrong("a checkpoint of a training run".to_string(), "another file".to_string());
        }
        if version != VERSION.to_le_bytes() {
            let found = u32::from_le_bytes([version[0], version[1], version[2], version[3]]);
            return wrong(format!("version {VERSION} of the format"), found.to_string());
        }
        // The length is compared, and never trusted.
        let contents = rest.len().checked_sub(CHECKSUM);
        let Some(contents) = contents.filter(|&len| length == (len as u64).to_le_bytes()) else {
            let found = format!("{} bytes in all", bytes.len());
            return wrong("as many bytes as the header says".to_string(), found);
        };
        let (contents, checksum) = rest.split_at(contents);
        if *checksum != *Sha256::digest(&bytes[..bytes.len() - CHECKSUM]) {
            let expected = "contents that match their checksum".to_string();
            return wrong(expected, "others: the file is damaged".to_string());
        }
        match saved_state::from_bytes(contents) {
            Ok((metadata, contents)) => Ok(Checkpoint { metadata, contents }),
            Err(error) => wrong("contents of a checkpoint".to_string(), error.to_string()),
        }
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    ///
    /// When it cannot be written; a file that stood there is then unchanged.
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::state_dict::{StateTensor, StateValues};

    fn checkpoint() -> Checkpoint {
        let values = StateValues::F32(vec![1.0, -0.0, f32::NAN]);
        let model = [("0.bias".to_string(), StateTensor { shape: vec![3], values })];
        let row = EpochRow {
            epoch: 0,
            train_loss: Some(0.1),
            valid_loss: None,
            metrics: vec![("accuracy".to_string(), Some(0.5))],
            seconds: 1.0,
            train_seconds: 0.5,
        };
        Checkpoint {
            metadata: [("net".to_string(), "x".to_string())].into(),
            contents: Contents {
                settings: vec![("seed".to_string(), "42".to_string())],
                epoch: 1,
                pass: Pass::Train,
                batch: 2,
                step: 7,
                passes: 2,
                rng: Pcg64::seed_from_u64(1),
                smoothed_loss: Some(0.1),
                row: Some(row),
                model: model.into_iter().collect(),
                parameters: vec![ParameterState {
                    trainable: true,
                    lr_scale: 0.1,
                    gradient: Some(vec![f32::MIN_POSITIVE; 3]),
                }],
                optimizer: StateDict::default(),
                hypers: vec![(Hyper::Lr, 0.1)],
                metrics: vec![vec![]],
                callbacks: vec![vec![1, 2, 3], vec![]],
            },
        }
    }

    #[test]
    fn round_trip() {
        let bytes = checkpoint().to_bytes().unwrap();
        let back = Checkpoint::from_bytes(&bytes).unwrap();
        assert_eq!(back.to_bytes().unwrap(), bytes);
        assert_eq!((back.epoch(), back.step(), &*back.metadata["net"]), (1, 7, "x"));
        assert_eq!(back.contents.rng, checkpoint().contents.rng);
    }

    #[test]
    fn every_prefix_every_flipped_bit_and_more_bytes_are_refused() {
        let bytes = checkpoint().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(Checkpoint::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(Checkpoint::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        let mut flipped = bytes.clone();
        for bit in 0..8 * bytes.len() {
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Checkpoint::from_bytes(&flipped).is_err(), "bit {bit}");
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// Whoever makes the checksum fit gets no further than an error, and no memory beyond the file's.
    #[test]
    fn contents_that_lie_are_refused() {
        let whole = checkpoint().to_bytes().unwrap();
        let contents = &whole[HEADER..whole.len() - CHECKSUM];
        let with = |contents: &[u8]| {
            let mut bytes = whole[..HEADER].to_vec();
            bytes[HEADER - 8..].copy_from_slice(&(contents.len() as u64).to_le_bytes());
            bytes.extend(contents);
            let checksum = Sha256::digest(&bytes);
            bytes.extend(checksum);
            Checkpoint::from_bytes(&bytes)
        };
        assert!(with(contents).is_ok());
        for length in 0..contents.len() {
            assert!(with(&contents[..length]).is_err(), "{length} bytes");
        }
        // The largest number, a length among others, wherever it stands.
        let largest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        for start in 0..contents.len() {
            let mut lie = contents[..start].to_vec();
            lie.extend(largest);
            lie.extend(&contents[start..]);
            assert!(with(&lie).is_err(), "at {start}");
        }
    }

    #[test]
    fn files_name_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        checkpoint().save(&path).unwrap();
        Checkpoint::load(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let wrong = |change: &dyn Fn(&mut Vec<u8>), words: &str| {
            let mut bytes = whole.clone();
            change(&mut bytes);
            fs::write(&path, bytes).unwrap();
            let error = Checkpoint::load(&path).unwrap_err().to_string();
            assert!(error.contains("checkpoint: expected") && error.contains(words), "{error}");
        };
        wrong(&|bytes| bytes.truncate(3), "a file of 3 bytes");
        wrong(&|bytes| bytes.truncate(99), "99 bytes in all");
        wrong(&|bytes| bytes[0] = b'T', "another file");
        wrong(&|bytes| bytes[8] = 2, "version 1 of the format, found 2");
        wrong(&|bytes| bytes[12] ^= 1, "as many bytes as the header says");
        wrong(&|bytes| bytes[50] ^= 1, "the file is damaged");
        let error = Checkpoint::load(dir.path()).unwrap_err().to_string();
        assert!(error.starts_with("cannot read "), "{error}");
    }
}
