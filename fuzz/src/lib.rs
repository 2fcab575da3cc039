//! What the fuzz targets share.

use arbitrary::Arbitrary;
use topedge_kernels::Element;
use topedge_kernels::conv2d::Conv2dConfig;

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

/// A small convolution; most are possible, some are not and must be refused.
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
}

impl Geometry {
    /// `[batch, channels, height, width]`.
    pub fn input(&self) -> [usize; 4] {
        let groups = self.config().groups;
        [
            small(self.batch, 70),
            groups * small(self.in_channels, 5),
            small(self.size[0], 10),
            small(self.size[1], 10),
        ]
    }

    /// `[out_channels, channels / groups, kernel_height, kernel_width]`.
    pub fn weight(&self) -> [usize; 4] {
        let groups = self.config().groups;
        let [height, width] = self.kernel.map(|size| small(size, 6));
        [groups * small(self.out_channels, 12), small(self.in_channels, 5), height, width]
    }

    /// Stride, padding, dilation and groups; a stride or dilation may be 0.
    pub fn config(&self) -> Conv2dConfig {
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
