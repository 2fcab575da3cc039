//! Labelled images in memory.

use std::sync::{Arc, OnceLock};

use rand::seq::SliceRandom;
use sha2::{Digest, Sha256};

use crate::error::{DataError, Result};
use crate::pixels::Pixels;
use crate::random::generator;

/// Images of one size with a label each.
///
/// Pixels are bytes, `[n, channels, height, width]` contiguous; labels are indices into the
/// vocabulary. Cloning shares the memory.
///
/// ```
/// use topedge_data::Dataset;
///
/// // Two grey images of 1x2 pixels.
/// let vocab = vec!["dark".to_string(), "light".to_string()];
/// let data = Dataset::new(vec![0, 10, 250, 255], [1, 1, 2], vec![0, 1], vocab)?;
/// assert_eq!(data.image(1), [250, 255]);
/// assert_eq!(data.vocab()[data.label(1) as usize], "light");
/// assert_eq!(data.with_labels(&["light"])?.len(), 1);
/// # Ok::<(), topedge_data::DataError>(())
/// ```
#[derive(Clone)]
pub struct Dataset {
    inner: Arc<Inner>,
}

struct Inner {
    pixels: Pixels,
    image_shape: [usize; 3],
    labels: Vec<u32>,
    vocab: Vec<String>,
    sha256: OnceLock<String>,
}

impl Dataset {
    /// A data set of `labels.len()` images of `image_shape` = `[channels, height, width]`.
    ///
    /// # Errors
    ///
    /// When a dimension is 0, the number of pixels is not that of the shape, a label lies outside
    /// the vocabulary, or the vocabulary names a class twice.
    pub fn new(
        pixels: Vec<u8>,
        image_shape: [usize; 3],
        labels: Vec<u32>,
        vocab: Vec<String>,
    ) -> Result<Dataset> {
        let [c, h, w] = image_shape;
        let wrong = |what, expected: String, found: String| {
            Err(DataError::unexpected("data set", what, expected, found))
        };
        let image_len = c.checked_mul(h).and_then(|n| n.checked_mul(w));
        let Some(image_len) = image_len.filter(|&len| len > 0) else {
            let expected = "channels, height and width of at least 1, and a product in range";
            return wrong("image shape", expected.into(), format!("{image_shape:?}"));
        };
        if labels.len().checked_mul(image_len) != Some(pixels.len()) {
            return wrong(
                "pixels",
                format!("{} images of {c}x{h}x{w} bytes", labels.len()),
                format!("{} bytes", pixels.len()),
            );
        }
        if let Some(i) = labels.iter().position(|&l| l as usize >= vocab.len()) {
            return wrong(
                "labels",
                format!("indices into a vocabulary of {} classes", vocab.len()),
                format!("label {} of image {i}", labels[i]),
            );
        }
        if let Some(i) = (0..vocab.len()).find(|&i| vocab[..i].contains(&vocab[i])) {
            return wrong(
                "vocabulary",
                "each class once".into(),
                format!("{:?} again at index {i}", vocab[i]),
            );
        }
        let (pixels, sha256) = (pixels.into(), OnceLock::new());
        Ok(Dataset { inner: Arc::new(Inner { pixels, image_shape, labels, vocab, sha256 }) })
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.inner.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.inner.labels.is_empty()
    }

    /// `[channels, height, width]` of every image.
    pub fn image_shape(&self) -> [usize; 3] {
        self.inner.image_shape
    }

    /// The pixels of image `i`, `[channels, height, width]` contiguous.
    ///
    /// # Panics
    ///
    /// When `i` is not below [`len`](Self::len), as slices do.
    pub fn image(&self, i: usize) -> &[u8] {
        let len = self.image_len();
        &self.inner.pixels[i * len..][..len]
    }

    /// The label of image `i`, an index into the vocabulary.
    ///
    /// # Panics
    ///
    /// When `i` is not below [`len`](Self::len), as slices do.
    pub fn label(&self, i: usize) -> u32 {
        self.inner.labels[i]
    }

    /// The labels of all images.
    pub fn labels(&self) -> &[u32] {
        &self.inner.labels
    }

    /// The names of the classes.
    pub fn vocab(&self) -> &[String] {
        &self.inner.vocab
    }

    /// The SHA-256 of all that there is to know of it, in hexadecimal: image shape, vocabulary, labels,
    /// pixels. It is computed once.
    pub fn sha256(&self) -> &str {
        self.inner.sha256.get_or_init(|| {
            let Inner { pixels, image_shape, labels, vocab, .. } = &*self.inner;
            let mut hash = Sha256::new();
            hash.update(format!("{image_shape:?} {vocab:?} {}\n", labels.len()));
            labels.iter().for_each(|label| hash.update(label.to_le_bytes()));
            hash.update(&**pixels);
            hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
        })
    }

    /// The images of the classes `keep` alone. The vocabulary shrinks to them and keeps its order,
    /// whatever the order of `keep`.
    ///
    /// # Errors
    ///
    /// When a class is unknown, or `keep` names none.
    pub fn with_labels(&self, keep: &[&str]) -> Result<Dataset> {
        let vocab = self.vocab();
        if let Some(label) = keep.iter().find(|k| !vocab.iter().any(|v| v == *k)) {
            return Err(DataError::UnknownLabel {
                label: label.to_string(),
                vocab: vocab.to_vec(),
            });
        }
        if keep.is_empty() {
            let expected = format!("some of {}", vocab.join(", "));
            return Err(DataError::setting("labels to keep", "empty", expected));
        }
        let kept: Vec<usize> =
            (0..vocab.len()).filter(|&l| keep.contains(&vocab[l].as_str())).collect();
        let mut new_label = vec![None; vocab.len()];
        for (new, &old) in (0..).zip(&kept) {
            new_label[old] = Some(new);
        }
        let (indices, labels): (Vec<usize>, Vec<u32>) =
            (0..self.len()).filter_map(|i| Some((i, new_label[self.label(i) as usize]?))).unzip();
        let vocab = kept.iter().map(|&l| vocab[l].clone()).collect();
        Dataset::new(self.pixels_of(&indices), self.image_shape(), labels, vocab)
    }

    /// Two data sets, for training and validation, that share these images out at random; each
    /// keeps the order of this one. `valid_fraction` of the images, rounded, are the second.
    ///
    /// # Errors
    ///
    /// When `valid_fraction` is not between 0 and 1.
    pub fn random_split(&self, valid_fraction: f64, seed: u64) -> Result<(Dataset, Dataset)> {
        if !(0.0..=1.0).contains(&valid_fraction) {
            let expected = "a number from 0 to 1";
            return Err(DataError::setting("valid_fraction", valid_fraction, expected));
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.shuffle(&mut generator(&[seed]));
        let valid_len = (self.len() as f64 * valid_fraction).round() as usize;
        let (valid, train) = order.split_at_mut(valid_len);
        valid.sort_unstable();
        train.sort_unstable();
        let part = |indices: &[usize]| {
            Dataset::new(
                self.pixels_of(indices),
                self.image_shape(),
                indices.iter().map(|&i| self.label(i)).collect(),
                self.vocab().to_vec(),
            )
        };
        Ok((part(train)?, part(valid)?))
    }

    /// Bytes of one image.
    pub(crate) fn image_len(&self) -> usize {
        self.inner.image_shape.iter().product()
    }

    fn pixels_of(&self, indices: &[usize]) -> Vec<u8> {
        let mut pixels = Vec::with_capacity(indices.len() * self.image_len());
        for &i in indices {
            pixels.extend_from_slice(self.image(i));
        }
        pixels
    }
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataset")
            .field("len", &self.len())
            .field("image_shape", &self.image_shape())
            .field("vocab", &self.vocab())
            .finish_non_exhaustive()
    }
}

/// A training set and the validation set that belongs to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Splits {
    /// What is trained on.
    pub train: Dataset,
    /// What is only measured on.
    pub valid: Dataset,
}

impl Splits {
    /// Both sets, checked against each other.
    ///
    /// # Errors
    ///
    /// When either is empty, their image shapes or vocabularies differ, or a class of the
    /// vocabulary is missing in one of them.
    pub fn new(train: Dataset, valid: Dataset) -> Result<Splits> {
        for (data, place) in [(&train, "the training set"), (&valid, "the validation set")] {
            if data.is_empty() {
                let place = place.to_string();
                return Err(DataError::Empty { place });
            }
        }
        let differs = |what, expected: String, found: String| {
            Err(DataError::unexpected("validation set", what, expected, found))
        };
        if train.image_shape() != valid.image_shape() {
            return differs(
                "image shape",
                format!("{:?} as in training", train.image_shape()),
                format!("{:?}", valid.image_shape()),
            );
        }
        if train.vocab() != valid.vocab() {
            return differs(
                "vocabulary",
                format!("{:?} as in training", train.vocab()),
                format!("{:?}", valid.vocab()),
            );
        }
        for (data, place) in [(&train, "the training set"), (&valid, "the validation set")] {
            let mut present = vec![false; data.vocab().len()];
            for &label in data.labels() {
                present[label as usize] = true;
            }
            if let Some(missing) = present.iter().position(|&p| !p) {
                return Err(DataError::MissingClass {
                    place,
                    label: data.vocab()[missing].clone(),
                    vocab: data.vocab().to_vec(),
                });
            }
        }
        Ok(Splits { train, valid })
    }

    /// [`Dataset::with_labels`] of both, checked as [`new`](Self::new) does.
    ///
    /// # Errors
    ///
    /// When a class is unknown, or `keep` names none.
    pub fn with_labels(&self, keep: &[&str]) -> Result<Splits> {
        Splits::new(self.train.with_labels(keep)?, self.valid.with_labels(keep)?)
    }
}
