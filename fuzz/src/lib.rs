//! What the fuzz targets share.

pub mod any;

use arbitrary::Arbitrary;
use sha2::{Digest, Sha256};
use topedge_kernels::Element;
use topedge_kernels::conv2d::{Conv2dConfig, output_shape};

/// What stands before the contents of a checkpoint's file, and behind them.
const HEADER: usize = 20;
const CHECKSUM: usize = 32;

/// The contents of a checkpoint's file.
pub fn contents_of(file: &[u8]) -> Vec<u8> {
    file[HEADER..file.len() - CHECKSUM].to_vec()
}

/// The file of a checkpoint with these contents: its header and its checksum fit them.
pub fn checkpoint_of(contents: &[u8]) -> Vec<u8> {
    let mut file = b"topedge\0\x01\0\0\0".to_vec();
    file.extend((contents.len() as u64).to_le_bytes());
    file.extend(contents);
    file.extend(Sha256::digest(&file));
    file
}

/// `len` small integers: sums of their products are exact, so that results must agree to the bit.
pub fn integers<T: Element>(len: usize, seed: u8) -> Vec<T> {
    let mut state = u32::from(seed).wrapping_mul(2_654_435_761) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            T::from_f64(f64::from((state >> 29) as i8 - 4))
        })
        .collect()
}

/// Products or pixels that a case may have: few, so that there are many cases, but in one of 64 enough for
/// several threads. A hash of its bytes says in which: a fuzzer that could choose would take to large
/// ones, which are slow.
pub fn most_work(bytes: &[u8]) -> usize {
    let hash = bytes
        .iter()
        .fold(0x811C_9DC5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    if hash >> 26 == 0 { 1 << 18 } else { 1 << 12 }
}

/// A convolution; most are possible, some are not and must be refused.
///
/// Each size may cross the edge of a tile of each instruction set, and all of them are not large at once:
/// a run should take less than a millisecond, the naive loops and the sanitizer included.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub struct Geometry {
    batch: u8,
    in_channels: u8,
    out_channels: u8,
    size: [u8; 2],
    kernel: [u8; 2],
    stride: [u8; 2],
    padding: [u8; 2],
    dilation: [u8; 2],
    groups: u8,
    /// Which of batch and channels is made smaller first where there is too much to do.
    smaller: u8,
}

/// A convolution that is possible.
#[derive(Debug)]
pub struct Convolution {
    /// `[batch, channels, height, width]`.
    pub input: [usize; 4],
    /// `[out_channels, channels / groups, kernel_height, kernel_width]`.
    pub weight: [usize; 4],
    /// The shape of the result.
    pub output: [usize; 4],
    pub config: Conv2dConfig,
}

impl Convolution {
    fn new(
        batch: usize,
        channels: [usize; 2],
        geometry: &Geometry,
    ) -> Result<Self, topedge_kernels::ShapeError> {
        let config = geometry.config();
        let [height, width] = geometry.size.map(|size| small(size, 12));
        let [kernel_height, kernel_width] = geometry.kernel.map(|size| small(size, 6));
        let [inputs, outputs] = channels;
        let input = [batch, config.groups * inputs, height, width];
        let weight = [config.groups * outputs, inputs, kernel_height, kernel_width];
        let output = output_shape(input, weight, &config)?;
        Ok(Self { input, weight, output, config })
    }

    /// Products, and elements to move. A size of zero counts as one: a matrix of columns has no output
    /// channels.
    fn work(&self) -> usize {
        let size = |shape: &[usize]| shape.iter().map(|&n| n.max(1)).product::<usize>();
        let products = size(&self.output) * size(&self.weight[1..]);
        products + size(&self.input) + size(&self.weight) + size(&self.output)
    }
}

impl Geometry {
    /// The convolution, made as small as it has to be; `None` if it is refused.
    pub fn convolution(&self) -> Option<Convolution> {
        let pairs = [self.size, self.kernel, self.stride, self.padding, self.dilation];
        let single = [self.batch, self.in_channels, self.out_channels, self.groups, self.smaller];
        let most = most_work(&[pairs.as_flattened(), &single].concat());
        let [batch, inputs, outputs] =
            [(self.batch, 70), (self.in_channels, 80), (self.out_channels, 80)]
                .map(|(n, end)| small(n, end));
        let mut sizes = [batch, inputs, outputs];
        let mut convolution = Convolution::new(batch, [inputs, outputs], self).ok()?;
        for i in 0..3 {
            let axis = (usize::from(self.smaller) + i) % 3;
            let work = convolution.work();
            if work > most {
                sizes[axis] = (sizes[axis] * most / work).max(1);
                let [batch, inputs, outputs] = sizes;
                convolution = Convolution::new(batch, [inputs, outputs], self).ok()?;
            }
        }
        Some(convolution)
    }

    /// Stride, padding, dilation and groups; a stride or dilation may be 0.
    fn config(&self) -> Conv2dConfig {
        Conv2dConfig {
            stride: self.stride.map(|n| small(n, 5)),
            padding: self.padding.map(|n| small(n, 7)),
            dilation: self.dilation.map(|n| small(n, 4)),
            groups: 1 + small(self.groups, 3),
        }
    }
}

/// How a tensor lies in memory.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Format {
    /// `[n][c][h][w]`, with gaps between the elements.
    Contiguous(u8),
    /// `[n][h][w][c]`, with gaps.
    ChannelsLast(u8),
    /// `[c][h][w][n]`, with gaps.
    BatchLast(u8),
}

impl Format {
    /// The strides for `shape`, and how many elements they need.
    pub fn layout(self, shape: [usize; 4]) -> ([usize; 4], usize) {
        let (order, gap) = match self {
            Format::Contiguous(gap) => ([0, 1, 2, 3], gap),
            Format::ChannelsLast(gap) => ([0, 2, 3, 1], gap),
            Format::BatchLast(gap) => ([1, 2, 3, 0], gap),
        };
        let mut strides = [0; 4];
        let mut next = 1 + small(gap, 3);
        for axis in order.into_iter().rev() {
            strides[axis] = next;
            next = next * shape[axis].max(1) + small(gap, 2);
        }
        (strides, next)
    }
}

/// A number below `end`.
pub fn small(n: u8, end: u8) -> usize {
    usize::from(n % end)
}
