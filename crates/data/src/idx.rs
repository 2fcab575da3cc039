//! IDX files, MNIST's format: arrays of bytes, plain or gzip, whatever the file is called.
//!
//! The format: two zero bytes, the element type (8 for bytes, the only one read here), the number
//! of dimensions, each dimension as a big-endian `u32`, then the elements, the last dimension
//! running fastest. <http://yann.lecun.com/exdb/mnist/>

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::dataset::{Dataset, Splits};
use crate::error::{DataError, Result};
use crate::file::write_whole;
use crate::image_file::Decoded;
use crate::load::{Change, Progress};

/// The most elements that are read: far above any real set, and a bound on what a small
/// compressed file can claim.
const MAX_LEN: usize = 1 << 31;

/// The most elements of a compressed file that are read anyway, and how many more there may be for each
/// of its bytes: images do not shrink to a hundredth, and what does may be a bomb.
const MAX_UNPACKED: usize = 64 << 20;
const UNPACKED_OF_A_BYTE: usize = 100;

/// A header of more dimensions than this is refused.
const MAX_RANK: usize = 8;

/// An array of bytes, the last dimension running fastest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxArray {
    /// The dimensions.
    pub shape: Vec<usize>,
    /// The elements; as many as the product of the dimensions.
    pub data: Vec<u8>,
}

/// Reads an IDX file.
///
/// # Errors
///
/// When the file cannot be read, is no IDX file of bytes, holds more or fewer elements than its header
/// says, or more than 2^31; of a compressed file more than 64 Mi and a hundred times its own size.
pub fn read_idx(path: &Path) -> Result<IdxArray> {
    let file = File::open(path).map_err(DataError::io("read", path))?;
    let size = file.metadata().map_err(DataError::io("read", path))?.len();
    read(BufReader::new(file), size).map_err(|fault| fault.in_file(path))
}

/// Reads an IDX array from the bytes of a file, plain or gzip.
///
/// ```
/// use topedge_data::idx;
///
/// let array = idx::parse(&[0, 0, 8, 1, 0, 0, 0, 2, 3, 7])?;
/// assert_eq!(array.shape, [2]);
/// assert_eq!(array.data, [3, 7]);
/// # Ok::<(), topedge_data::DataError>(())
/// ```
///
/// # Errors
///
/// As [`read_idx`].
pub fn parse(bytes: &[u8]) -> Result<IdxArray> {
    read(bytes, bytes.len() as u64).map_err(|fault| fault.in_file(Path::new("IDX data")))
}

/// Writes an IDX file of bytes, plain; whole or, if that fails, not at all.
///
/// # Errors
///
/// When the elements are not as many as the shape says, a dimension does not fit the format, or
/// the file cannot be written.
pub fn write_idx(path: &Path, array: &IdxArray) -> Result<()> {
    let IdxArray { shape, data } = array;
    let wrong = |what, expected: String, found: String| {
        Err(DataError::unexpected(path.display(), what, expected, found))
    };
    if shape.is_empty() || shape.len() > MAX_RANK {
        let expected = format!("1 to {MAX_RANK} dimensions");
        return wrong("shape", expected, format!("{shape:?}"));
    }
    let mut header = vec![0, 0, 8, shape.len() as u8];
    for &dim in shape {
        let Ok(dim) = u32::try_from(dim) else {
            return wrong("dimension", "less than 2^32".into(), dim.to_string());
        };
        header.extend(dim.to_be_bytes());
    }
    if product(shape) != Some(data.len()) {
        let expected = format!("as many as the shape {shape:?} says");
        return wrong("elements", expected, data.len().to_string());
    }
    write_whole(path, &[&header, &data[..]].concat()).map_err(DataError::io("write", path))
}

/// Why an array could not be read, before it is known from where.
enum Fault {
    Io(io::Error),
    Content { what: &'static str, expected: String, found: String },
}

impl Fault {
    fn in_file(self, path: &Path) -> DataError {
        match self {
            Fault::Io(error) => DataError::io("read", path)(error),
            Fault::Content { what, expected, found } => {
                DataError::unexpected(path.display(), what, expected, found)
            }
        }
    }

    fn content(what: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        Fault::Content { what, expected: expected.to_string(), found: found.to_string() }
    }
}

/// Reads a file of `size` bytes.
fn read(mut reader: impl Read, size: u64) -> std::result::Result<IdxArray, Fault> {
    // The first two bytes tell gzip (1f 8b) from IDX (00 00).
    let mut start = Vec::with_capacity(2);
    reader.by_ref().take(2).read_to_end(&mut start).map_err(Fault::Io)?;
    let gzip = start == [0x1f, 0x8b];
    let whole = io::Cursor::new(start).chain(reader);
    if !gzip {
        return read_plain(whole, MAX_LEN);
    }
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let limit = size.saturating_mul(UNPACKED_OF_A_BYTE).clamp(MAX_UNPACKED, MAX_LEN);
    let mut stream = MultiGzDecoder::new(whole);
    let damaged = |error| Fault::content("gzip stream", "a whole and valid one", error);
    read_plain(&mut stream, limit).map_err(|fault| match fault {
        Fault::Io(error) => damaged(error),
        // The checksum stands at the end: a stream that is damaged is at fault itself.
        fault => match io::copy(&mut stream.take(limit as u64), &mut io::sink()) {
            Err(error) => damaged(error),
            Ok(_) => fault,
        },
    })
}

/// Reads an array of at most `most` elements.
fn read_plain(mut reader: impl Read, most: usize) -> std::result::Result<IdxArray, Fault> {
    let mut read = |limit: usize| {
        let mut bytes = Vec::new();
        let limit = limit as u64;
        let result = reader.by_ref().take(limit).read_to_end(&mut bytes);
        result.map(|_| bytes).map_err(Fault::Io)
    };
    let magic = read(4)?;
    let &[0, 0, 8, rank] = magic.as_slice() else {
        let found = magic.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>();
        let found = match found.is_empty() {
            true => "an empty file".to_string(),
            false => found.join(" "),
        };
        return Err(Fault::content(
            "magic number",
            "00 00 08 and the rank (an IDX file of bytes)",
            found,
        ));
    };
    let rank = usize::from(rank);
    if !(1..=MAX_RANK).contains(&rank) {
        let expected = format!("1 to {MAX_RANK}");
        return Err(Fault::content("number of dimensions", expected, rank));
    }
    let dims = read(4 * rank)?;
    if dims.len() < 4 * rank {
        let found = format!("{} bytes", dims.len());
        return Err(Fault::content("dimensions", format!("{} bytes", 4 * rank), found));
    }
    let (dims, _) = dims.as_chunks::<4>();
    let shape: Vec<usize> = dims.iter().map(|&d| u32::from_be_bytes(d) as usize).collect();
    let Some(len) = product(&shape).filter(|&len| len <= most) else {
        let expected = format!("at most {most} elements");
        return Err(Fault::content("dimensions", expected, format!("{shape:?}")));
    };
    // The header is not trusted for an allocation: memory grows with what is really there, and one
    // byte more than expected shows that there is too much.
    let data = read(len + 1)?;
    if data.len() != len {
        let found = match data.len() > len {
            true => "more".to_string(),
            false => data.len().to_string(),
        };
        let expected = format!("{len} for the dimensions {shape:?}");
        return Err(Fault::content("bytes of data", expected, found));
    }
    Ok(IdxArray { shape, data })
}

fn product(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))
}

/// The names of one split's files, without `.gz`.
struct Names {
    images: &'static str,
    labels: &'static str,
}

const TRAIN: Names = Names { images: "train-images-idx3-ubyte", labels: "train-labels-idx1-ubyte" };

const VALID: Names = Names { images: "t10k-images-idx3-ubyte", labels: "t10k-labels-idx1-ubyte" };

/// What [`find`] looks for, in words.
pub(crate) const LAYOUT: &str = "{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]";

/// MNIST's four files in one folder.
pub(crate) struct Files {
    train: Pair,
    valid: Pair,
}

struct Pair {
    images: PathBuf,
    labels: PathBuf,
}

/// MNIST's files in `dir`, or `None` if it has not one of them.
///
/// # Errors
///
/// When it has some of them but not all.
pub(crate) fn find(dir: &Path) -> Result<Option<Files>> {
    let file = |name: &str| {
        let candidates = [dir.join(name), dir.join(format!("{name}.gz"))];
        candidates.into_iter().find(|path| path.is_file())
    };
    let names = [TRAIN.images, TRAIN.labels, VALID.images, VALID.labels];
    let found = names.map(file);
    if found.iter().all(Option::is_none) {
        return Ok(None);
    }
    if let Some(missing) = found.iter().position(Option::is_none) {
        return Err(DataError::unexpected(
            dir.display(),
            "IDX files",
            format!("all of {LAYOUT}"),
            format!("no {}[.gz]", names[missing]),
        ));
    }
    let [train_images, train_labels, valid_images, valid_labels] =
        found.map(Option::unwrap_or_default);
    Ok(Some(Files {
        train: Pair { images: train_images, labels: train_labels },
        valid: Pair { images: valid_images, labels: valid_labels },
    }))
}

/// Loads MNIST's four files. The vocabulary is 0 to the highest label in training.
pub(crate) fn load(
    files: &Files,
    change: &Change,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Splits> {
    let (train, valid) = rayon::join(|| files.train.read(), || files.valid.read());
    let (train, valid) = (train?.changed(change), valid?.changed(change));
    if train.image_shape != valid.image_shape {
        let size = |[_, height, width]: [usize; 3]| format!("{height}x{width}");
        let images = files.train.images.display();
        return Err(DataError::unexpected(
            files.valid.images.display(),
            "size of the images",
            format!("{} as in {images}", size(train.image_shape)),
            size(valid.image_shape),
        ));
    }
    let highest = train.labels.iter().max().copied().unwrap_or(0);
    files.train.check_labels(&train.labels, highest)?;
    files.valid.check_labels(&valid.labels, highest)?;
    let vocab: Vec<String> = (0..=highest).map(|l| l.to_string()).collect();
    let total = train.labels.len() + valid.labels.len();
    let splits = Splits::new(train.dataset(&vocab)?, valid.dataset(&vocab)?)?;
    progress(Progress { done: total, total });
    Ok(splits)
}

/// What one split's files hold.
struct Content {
    pixels: Vec<u8>,
    image_shape: [usize; 3],
    labels: Vec<u8>,
}

impl Pair {
    fn read(&self) -> Result<Content> {
        let images = read_idx(&self.images)?;
        let labels = read_idx(&self.labels)?;
        let wrong = |path: &Path, what, expected: String, found: String| {
            Err(DataError::unexpected(path.display(), what, expected, found))
        };
        let &[n, height, width] = images.shape.as_slice() else {
            let expected = "3 dimensions: images, height, width";
            return wrong(&self.images, "shape", expected.into(), format!("{:?}", images.shape));
        };
        if labels.shape.len() != 1 {
            let found = format!("{:?}", labels.shape);
            return wrong(&self.labels, "shape", "1 dimension".into(), found);
        }
        if labels.shape != [n] {
            let expected = format!("{n}, one for each image of {}", self.images.display());
            return wrong(&self.labels, "number of labels", expected, labels.shape[0].to_string());
        }
        if n == 0 {
            let place = self.images.display().to_string();
            return Err(DataError::Empty { place });
        }
        if height == 0 || width == 0 {
            let expected = "height and width of at least 1";
            return wrong(&self.images, "shape", expected.into(), format!("{:?}", images.shape));
        }
        Ok(Content { pixels: images.data, image_shape: [1, height, width], labels: labels.data })
    }

    /// Refuses labels above `highest`, the highest in training, and any below that there are none of.
    fn check_labels(&self, labels: &[u8], highest: u8) -> Result<()> {
        let wrong = |what, found| {
            let expected = format!("each label from 0 to {highest}, the highest in training");
            Err(DataError::unexpected(self.labels.display(), what, expected, found))
        };
        if let Some(i) = labels.iter().position(|&label| label > highest) {
            return wrong(format!("label of image {i}"), labels[i].to_string());
        }
        if let Some(missing) = (0..=highest).find(|label| !labels.contains(label)) {
            return wrong("labels".to_string(), format!("no {missing}"));
        }
        Ok(())
    }
}

impl Content {
    /// With images of another size or other channels.
    fn changed(self, change: &Change) -> Content {
        let [_, height, width] = self.image_shape;
        let channels = change.channels.unwrap_or(1);
        if change.size.is_none() && channels == 1 {
            return self;
        }
        let (mut pixels, mut image_shape) = (vec![], self.image_shape);
        for image in self.pixels.chunks(height * width) {
            let image = change.of(Decoded::of_grey(image, [height, width]));
            let (width, height) = image.dimensions();
            image_shape = [channels, height as usize, width as usize];
            image.append_to(&mut pixels, channels);
        }
        Content { pixels, image_shape, ..self }
    }

    fn dataset(self, vocab: &[String]) -> Result<Dataset> {
        let labels = self.labels.iter().map(|&l| u32::from(l)).collect();
        Dataset::new(self.pixels, self.image_shape, labels, vocab.to_vec())
    }
}
