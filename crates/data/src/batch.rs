//! Batches of normalised values, and how they lie in memory.

use crate::dataset::Dataset;
use crate::normalize::Normalize;

/// How the values of a batch lie in memory. Shapes are `[n, channels, height, width]` in all of
/// them; the strides differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MemoryFormat {
    /// Image by image, channel by channel (NCHW), the layout of most libraries.
    Contiguous,
    /// Pixel by pixel, its channels beside each other (NHWC).
    ChannelsLast,
    /// The same value of all images beside each other (CHWN): what networks on small images are
    /// fastest with.
    #[default]
    BatchLast,
}

impl MemoryFormat {
    /// The strides, in elements, of a dense `[n, c, h, w]` batch.
    pub fn strides(self, [n, c, h, w]: [usize; 4]) -> [usize; 4] {
        match self {
            MemoryFormat::Contiguous => [c * h * w, h * w, w, 1],
            MemoryFormat::ChannelsLast => [h * w * c, 1, w * c, c],
            MemoryFormat::BatchLast => [1, h * w * n, w * n, n],
        }
    }
}

/// Images and labels to train or measure on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The normalised values, placed as `strides` say.
    pub values: Vec<f32>,
    /// `[n, channels, height, width]`.
    pub shape: [usize; 4],
    /// Distance in `values`, in elements, of neighbours along each axis of `shape`.
    pub strides: [usize; 4],
    /// The label of each image, an index into the vocabulary.
    pub labels: Vec<u32>,
    /// The place of each image in the data set.
    pub indices: Vec<usize>,
}

impl Batch {
    /// The values of image `i`, `[channels, height, width]` contiguous, whatever the memory
    /// format. [`Normalize::decode`] turns them back into pixels.
    ///
    /// # Panics
    ///
    /// When `i` is not below `shape[0]`.
    pub fn image(&self, i: usize) -> Vec<f32> {
        let [n, c, h, w] = self.shape;
        assert!(i < n, "image {i} of a batch of {n}");
        let [sn, sc, sh, sw] = self.strides;
        let mut image = Vec::with_capacity(c * h * w);
        for ch in 0..c {
            for y in 0..h {
                image.extend((0..w).map(|x| self.values[i * sn + ch * sc + y * sh + x * sw]));
            }
        }
        image
    }
}

/// Turns bytes into normalised values, batch by batch.
#[derive(Clone, Debug)]
pub(crate) struct Gather {
    /// For each channel the normalised value of every byte.
    tables: Vec<[f32; 256]>,
    format: MemoryFormat,
}

impl Gather {
    /// `normalize` must have been checked against `channels`.
    pub(crate) fn new(normalize: &Normalize, channels: usize, format: MemoryFormat) -> Gather {
        Gather { tables: (0..channels).map(|c| normalize.table(c)).collect(), format }
    }

    /// Fills `batch` with the images `indices` of `data`, reusing its memory.
    pub(crate) fn fill(&self, data: &Dataset, indices: &[usize], batch: &mut Batch) {
        let [c, h, w] = data.image_shape();
        let n = indices.len();
        batch.shape = [n, c, h, w];
        batch.strides = self.format.strides(batch.shape);
        batch.labels.clear();
        batch.labels.extend(indices.iter().map(|&i| data.label(i)));
        batch.indices.clear();
        batch.indices.extend_from_slice(indices);
        // Every value is overwritten below, so what a reused buffer held does not matter.
        batch.values.resize(n * c * h * w, 0.0);

        if n == 0 {
            return;
        }
        match self.format {
            MemoryFormat::Contiguous => self.contiguous(data, indices, &mut batch.values),
            MemoryFormat::ChannelsLast => self.channels_last(data, indices, &mut batch.values),
            MemoryFormat::BatchLast => self.batch_last(data, indices, &mut batch.values),
        }
    }

    fn contiguous(&self, data: &Dataset, indices: &[usize], values: &mut [f32]) {
        let plane = data.image_len() / self.tables.len();
        for (out, &i) in values.chunks_exact_mut(data.image_len()).zip(indices) {
            let planes = data.image(i).chunks_exact(plane);
            for ((out, pixels), table) in out.chunks_exact_mut(plane).zip(planes).zip(&self.tables)
            {
                for (out, &pixel) in out.iter_mut().zip(pixels) {
                    *out = table[usize::from(pixel)];
                }
            }
        }
    }

    fn channels_last(&self, data: &Dataset, indices: &[usize], values: &mut [f32]) {
        let channels = self.tables.len();
        let plane = data.image_len() / channels;
        for (out, &i) in values.chunks_exact_mut(data.image_len()).zip(indices) {
            let planes = data.image(i).chunks_exact(plane);
            for (ch, (pixels, table)) in planes.zip(&self.tables).enumerate() {
                for (out, &pixel) in out.chunks_exact_mut(channels).zip(pixels) {
                    out[ch] = table[usize::from(pixel)];
                }
            }
        }
    }

    /// A transpose, `[n][c*h*w]` to `[c*h*w][n]`, in blocks of images: 16 values are one cache
    /// line of the output, so that each line is written whole while 16 input streams are read.
    fn batch_last(&self, data: &Dataset, indices: &[usize], values: &mut [f32]) {
        const BLOCK: usize = 16;
        let n = indices.len();
        let plane = data.image_len() / self.tables.len();
        let (blocks, rest) = indices.as_chunks::<BLOCK>();
        for (ch, table) in self.tables.iter().enumerate() {
            let values = &mut values[ch * plane * n..][..plane * n];
            let pixels = |i: usize| &data.image(i)[ch * plane..][..plane];
            for (block, indices) in blocks.iter().enumerate() {
                let images = indices.map(pixels);
                for (p, row) in values.chunks_exact_mut(n).enumerate() {
                    for (out, image) in row[block * BLOCK..][..BLOCK].iter_mut().zip(images) {
                        *out = table[usize::from(image[p])];
                    }
                }
            }
            for (column, &i) in (n - rest.len()..).zip(rest) {
                for (row, &pixel) in values.chunks_exact_mut(n).zip(pixels(i)) {
                    row[column] = table[usize::from(pixel)];
                }
            }
        }
    }
}
