//! Batches of normalised values, and how they lie in memory.

use rayon::prelude::*;

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
    /// The same value of all images of a part beside each other (CHWN): what networks on small images are
    /// fastest with.
    #[default]
    BatchLast,
}

/// Parts of a batch, and from how many images on it lies in so many, batch-last. Measured on two threads: a step of
/// simple-cnn-bn with 64 images is the faster one in two parts, in four parts of 16 the slower one; with 512 it is as
/// fast in four as in two.
const PARTS: [(usize, usize); 2] = [(4, 256), (2, 64)];
/// Parts are of a multiple of this: whole vectors of any instruction set.
const LANES: usize = 16;

impl MemoryFormat {
    /// In how many equal parts a batch of `n` lies, one behind the other: 4 of 256 images or more and 2 of 64 or more,
    /// if they come out as multiples of 16, and if it lies batch-last. There neighbours in memory are of all images,
    /// and threads that each take a part do not share what they read and write.
    pub fn parts(self, n: usize) -> usize {
        if self != MemoryFormat::BatchLast {
            return 1;
        }
        let fits =
            |&&(parts, least): &&(usize, usize)| n >= least && n.is_multiple_of(parts * LANES);
        PARTS.iter().find(fits).map_or(1, |&(parts, _)| parts)
    }

    /// The strides, in elements, of a dense `[n, c, h, w]` batch, or part of one.
    pub fn strides(self, [n, c, h, w]: [usize; 4]) -> [usize; 4] {
        match self {
            MemoryFormat::Contiguous => [c * h * w, h * w, w, 1],
            MemoryFormat::ChannelsLast => [h * w * c, 1, w * c, c],
            MemoryFormat::BatchLast => [1, h * w * n, w * n, n],
        }
    }
}

/// Images and labels to train or measure on. Shape, strides and parts are what a tensor of the values is made with.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The normalised values, placed as `strides` and `parts` say.
    pub values: Vec<f32>,
    /// `[n, channels, height, width]`.
    pub shape: [usize; 4],
    /// Distance in `values`, in elements, of neighbours along each axis of `shape`, in a part.
    pub strides: [usize; 4],
    /// In how many equal parts the images lie, one behind the other: see [`MemoryFormat::parts`].
    pub parts: usize,
    /// The label of each image, an index into the vocabulary.
    pub labels: Vec<u32>,
    /// The place of each image in the data set.
    pub indices: Vec<usize>,
}

impl Default for Batch {
    /// Without images.
    fn default() -> Self {
        Batch {
            values: vec![],
            shape: [0; 4],
            strides: [0; 4],
            parts: 1,
            labels: vec![],
            indices: vec![],
        }
    }
}

impl Batch {
    /// The values of image `i`, `[channels, height, width]` contiguous, whatever the memory
    /// format. [`Normalize::decode`] turns them back into pixels.
    ///
    /// # Panics
    ///
    /// When `i` is not below `shape[0]`, or the fields do not fit together.
    pub fn image(&self, i: usize) -> Vec<f32> {
        let [n, c, h, w] = self.shape;
        assert!(i < n, "image {i} of a batch of {n}");
        let [sn, sc, sh, sw] = self.strides;
        let of_part = n / self.parts;
        let start = i / of_part * (self.values.len() / self.parts) + i % of_part * sn;
        let mut image = Vec::with_capacity(c * h * w);
        for ch in 0..c {
            for y in 0..h {
                image.extend((0..w).map(|x| self.values[start + ch * sc + y * sh + x * sw]));
            }
        }
        image
    }
}

/// Values that a thread makes of bytes, at the least: some microseconds.
const CUT: usize = 1 << 13;

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

    /// Fills `batch` with the images `indices` of `data`, reusing its memory; if `shared`, on the threads
    /// of the caller's rayon pool.
    pub(crate) fn fill(&self, data: &Dataset, indices: &[usize], shared: bool, batch: &mut Batch) {
        let [c, h, w] = data.image_shape();
        let n = indices.len();
        batch.shape = [n, c, h, w];
        batch.parts = self.format.parts(n);
        let of_part = n / batch.parts;
        batch.strides = self.format.strides([of_part, c, h, w]);
        batch.labels.clear();
        batch.labels.extend(indices.iter().map(|&i| data.label(i)));
        batch.indices.clear();
        batch.indices.extend_from_slice(indices);
        // Every value is overwritten below, so what a reused buffer held does not matter.
        batch.values.resize(n * c * h * w, 0.0);

        if n == 0 {
            return;
        }
        let cuts = if shared { rayon::current_num_threads() } else { 1 };
        let cuts = cuts.min(batch.values.len() / CUT).max(1);
        let values = &mut batch.values[..];
        match self.format {
            MemoryFormat::Contiguous => {
                self.by_image(data, indices, values, cuts, |out, channel, pixels, table| {
                    let out = &mut out[channel * pixels.len()..][..pixels.len()];
                    for (out, &pixel) in out.iter_mut().zip(pixels) {
                        *out = table[usize::from(pixel)];
                    }
                });
            }
            MemoryFormat::ChannelsLast => {
                self.by_image(data, indices, values, cuts, |out, channel, pixels, table| {
                    for (out, &pixel) in out.chunks_exact_mut(c).zip(pixels) {
                        out[channel] = table[usize::from(pixel)];
                    }
                });
            }
            MemoryFormat::BatchLast => {
                let part_len = of_part * data.image_len();
                each_chunk(values, part_len, cuts > 1, |part, values| {
                    let indices = &indices[part * of_part..][..of_part];
                    self.batch_last(data, indices, values, cuts.div_ceil(batch.parts));
                });
            }
        }
    }

    /// Calls `fill` with the values of each image, and for each channel its number, pixels and table.
    fn by_image(
        &self,
        data: &Dataset,
        indices: &[usize],
        values: &mut [f32],
        cuts: usize,
        fill: impl Fn(&mut [f32], usize, &[u8], &[f32; 256]) + Sync,
    ) {
        let plane = data.image_len() / self.tables.len();
        let images = indices.len().div_ceil(cuts);
        each_chunk(values, images * data.image_len(), cuts > 1, |cut, values| {
            let indices = &indices[cut * images..];
            for (out, &i) in values.chunks_exact_mut(data.image_len()).zip(indices) {
                let planes = data.image(i).chunks_exact(plane);
                for (channel, (pixels, table)) in planes.zip(&self.tables).enumerate() {
                    fill(out, channel, pixels, table);
                }
            }
        });
    }

    /// A transpose, `[n][c*h*w]` to `[c*h*w][n]`, of 16 images at a time: their values of a pixel are one
    /// cache line of the output, which is written whole. Of one part of a batch.
    fn batch_last(&self, data: &Dataset, indices: &[usize], values: &mut [f32], cuts: usize) {
        const BLOCK: usize = 16;
        /// Pixels of each image that are fetched together: images of a shuffled set are far apart in memory, and
        /// the lines of all of them are then waited for at once.
        const PIXELS: usize = 1024;
        let n = indices.len();
        let plane = data.image_len() / self.tables.len();
        let rows = plane.div_ceil(cuts);
        let (blocks, rest) = indices.as_chunks::<BLOCK>();
        for ((channel, table), values) in
            self.tables.iter().enumerate().zip(values.chunks_exact_mut(plane * n))
        {
            // Some rows of pixels of all images.
            each_chunk(values, rows * n, cuts > 1, |cut, values| {
                let (first, rows) = (channel * plane + cut * rows, values.len() / n);
                let pixels = |i: usize| &data.image(i)[first..][..rows];
                let mut fetched = [[0; PIXELS]; BLOCK];
                for (column, indices) in (0..).step_by(BLOCK).zip(blocks) {
                    for (first, rows) in (0..).step_by(PIXELS).zip(values.chunks_mut(PIXELS * n)) {
                        let some = rows.len() / n;
                        for (fetched, &i) in fetched.iter_mut().zip(indices) {
                            fetched[..some].copy_from_slice(&pixels(i)[first..][..some]);
                        }
                        for (p, row) in rows.chunks_exact_mut(n).enumerate() {
                            for (out, image) in row[column..][..BLOCK].iter_mut().zip(&fetched) {
                                *out = table[usize::from(image[p])];
                            }
                        }
                    }
                }
                for (column, &i) in (n - rest.len()..).zip(rest) {
                    for (row, &pixel) in values.chunks_exact_mut(n).zip(pixels(i)) {
                        row[column] = table[usize::from(pixel)];
                    }
                }
            });
        }
    }
}

/// Calls `fill` with the number of each chunk of `size` values, and these.
fn each_chunk(
    values: &mut [f32],
    size: usize,
    in_parallel: bool,
    fill: impl Fn(usize, &mut [f32]) + Sync,
) {
    if in_parallel {
        values.par_chunks_mut(size).enumerate().for_each(|(index, values)| fill(index, values));
    } else {
        values.chunks_mut(size).enumerate().for_each(|(index, values)| fill(index, values));
    }
}
