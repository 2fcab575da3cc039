//! A convolution made ready for inference: the weight packed once, what follows it (ReLU, batch
//! norm) done while the sums are still in registers, one image at a time on the calling thread.
//!
//! Images lie channels-last, inside a frame of zeros that is as wide as the padding: then every
//! place of the output is the same sum, and a tile may take any places. Output channels are the
//! lanes of the vectors; the value of the image is spread over them.

use std::mem::MaybeUninit;

use super::geometry::{Conv2dConfig, Geometry};
use crate::arch::{Isa, Kernel, MAX_LANES, Microkernel, Vector};
use crate::error::{Result, ShapeError, check_len};
use crate::gemm::spill;
use crate::view::TensorRef;

const OP: &str = "fused conv2d";

/// Output channels of a packed panel: the most that one tile takes at once.
const PANEL: usize = 4 * MAX_LANES;

/// What becomes of a sum: `relu_last((relu_first(sum + bias) - mean) * scale + shift)`, where each
/// step may be left out. Slices have one number for each output channel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// Added first.
    pub bias: Option<&'a [f32]>,
    /// Whether negative values then become 0.
    pub relu_first: bool,
    /// Batch norm with running statistics.
    pub norm: Option<ChannelNorm<'a>>,
    /// Whether negative values become 0 at the end.
    pub relu_last: bool,
}

/// `(y - mean) * scale + shift` for each channel.
#[derive(Debug, Clone, Copy)]
pub struct ChannelNorm<'a> {
    /// Subtracted first, so that no digit of a mean that is large beside the deviations is lost.
    pub mean: &'a [f32],
    /// Multiplied with.
    pub scale: &'a [f32],
    /// Added last.
    pub shift: &'a [f32],
}

/// A convolution of images of one size, with the steps that follow it.
///
/// ```
/// use topedge_kernels::TensorRef;
/// use topedge_kernels::conv2d::{Conv2dConfig, Epilogue, FusedConv2d};
///
/// // One filter of 1x2 on an image of 1x3 with two channels, and a ReLU.
/// let weight = [1.0, 0.0, 0.0, -1.0];
/// let relu = Epilogue { relu_first: true, ..Default::default() };
/// let weight = TensorRef::contiguous(&weight, [1, 2, 1, 2])?;
/// let conv = FusedConv2d::new(weight, [1, 3], &Conv2dConfig::default(), &relu, [0, 0])?;
/// let mut y = [0.0; 2];
/// conv.forward(&[5.0, 0.0, 1.0, 2.0, 0.0, 3.0], &mut y)?;
/// assert_eq!(y, [3.0, 0.0]);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FusedConv2d {
    filters: usize,
    /// Steps of the sum that lie behind each other, in the image and in the weight.
    depth: usize,
    /// Where in the image each such run starts, from the first value that a place sees.
    runs: Vec<usize>,
    places: Vec<Place>,
    /// `[panel][run][depth][PANEL]`, the last panel as wide as its filters need.
    weight: Vec<Line>,
    /// Bias, mean, scale and shift, `[4][lanes of filters]`.
    numbers: Vec<Line>,
    relu_first: bool,
    norm: bool,
    relu_last: bool,
    input_len: usize,
    output_len: usize,
}

/// What the vectors of a weight do not cross.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; MAX_LANES]);

/// Where a place of the output finds its first input, and where it lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    x: u32,
    y: u32,
}

/// Values of an image with its frame, at the most: what a [`Place`] can count.
const MOST_VALUES: u64 = 1 << 32;

impl FusedConv2d {
    /// Packs `weight`, `[out_channels, in_channels, kernel_height, kernel_width]`, for images of
    /// `size`, `[height, width]`. The output gets a frame of `frame` rows above and below and columns
    /// to the left and right: the padding of the convolution that is to read it.
    ///
    /// # Errors
    ///
    /// If the sizes do not fit together, see [`output_shape`](super::output_shape), there is more than
    /// one group, or an image or output has more than 2^32 values, those of its frame among them.
    pub fn new(
        weight: TensorRef<'_, f32>,
        size: [usize; 2],
        config: &Conv2dConfig,
        epilogue: &Epilogue<'_>,
        frame: [usize; 2],
    ) -> Result<Self> {
        if config.groups != 1 {
            return Err(ShapeError::new(OP, "groups", 1, config.groups));
        }
        let [filters, channels, ..] = weight.shape();
        let geometry = Geometry::new(OP, [1, channels, size[0], size[1]], weight.shape(), config)?;
        let (kernel, dilation, stride) = (geometry.kernel, config.dilation, config.stride);
        let framed = |size: [usize; 2], frame: [usize; 2], channels: usize| {
            let sides = [0, 1].map(|axis| frame[axis].checked_mul(2)?.checked_add(size[axis]));
            let row = sides[1]?.checked_mul(channels)?;
            let len = sides[0]?.checked_mul(row)?;
            let most = MOST_VALUES.min(isize::MAX as u64 / size_of::<f32>() as u64);
            (len as u64 <= most).then_some([row, len])
        };
        let too_large = || {
            let got = format!("{size:?} with frames {:?} and {frame:?}", config.padding);
            let expected = "at most 2^32 values in an image with its frame";
            ShapeError::new(OP, "size", expected, got)
        };
        let [x_row, input_len] = framed(size, config.padding, channels).ok_or_else(too_large)?;
        let out_size = geometry.out_size;
        let [y_row, output_len] = framed(out_size, frame, filters).ok_or_else(too_large)?;

        // Where neighbouring taps see neighbouring pixels, a row of taps is one run.
        let joined = if dilation[1] == 1 { kernel[1] } else { 1 };
        // A kernel without channels, or an output without filters, may be of any size: it has no values.
        let of_kernel = if weight.shape().contains(&0) { [0, 0] } else { kernel };
        let of_output = if filters == 0 { [0, 0] } else { out_size };
        let mut runs = vec![];
        for i in 0..of_kernel[0] {
            for j in (0..of_kernel[1]).step_by(joined) {
                runs.push(i * dilation[0] * x_row + j * dilation[1] * channels);
            }
        }
        let mut places = vec![];
        for i in 0..of_output[0] {
            for j in 0..of_output[1] {
                let x = i * stride[0] * x_row + j * stride[1] * channels;
                let y = (i + frame[0]) * y_row + (j + frame[1]) * filters;
                // Below the lengths of image and output.
                places.push(Place { x: x as u32, y: y as u32 });
            }
        }
        let Epilogue { bias, relu_first, norm, relu_last } = *epilogue;
        Ok(Self {
            filters,
            depth: joined * channels,
            runs,
            places,
            weight: pack(&weight),
            numbers: numbers(filters, bias, norm)?,
            relu_first,
            norm: norm.is_some(),
            relu_last,
            input_len,
            output_len,
        })
    }

    /// Elements of an image with its frame: `[height + 2 padding][width + 2 padding][in_channels]`.
    pub fn input_len(&self) -> usize {
        self.input_len
    }

    /// Elements of an output with its frame: `[out_height + 2 frame][out_width + 2 frame][out_channels]`.
    pub fn output_len(&self) -> usize {
        self.output_len
    }

    /// Sets the places of `y` inside its frame, which is left as it is. The frame of `x` must hold
    /// zeros.
    ///
    /// # Errors
    ///
    /// If the lengths are others than [`input_len`](Self::input_len) and
    /// [`output_len`](Self::output_len).
    pub fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        check_len(OP, "x", self.input_len, x.len())?;
        check_len(OP, "y", self.output_len, y.len())?;
        if self.output_len > 0 {
            Isa::current().run_f32(Forward { conv: self, x: x.as_ptr(), y: y.as_mut_ptr() });
        }
        Ok(())
    }
}

/// `[panel][kernel_height][kernel_width][in_channels][filters of the panel]`, zeros behind the last
/// filter.
fn pack(weight: &TensorRef<'_, f32>) -> Vec<Line> {
    let [filters, channels, height, width] = weight.shape();
    let mut lines = vec![];
    if weight.shape().contains(&0) {
        return lines;
    }
    for panel in (0..filters).step_by(PANEL) {
        let lanes = panel..filters.min(panel + PANEL);
        for i in 0..height {
            for j in 0..width {
                for c in 0..channels {
                    for first in lanes.clone().step_by(MAX_LANES) {
                        let at = |lane: usize| match first + lane {
                            filter if filter < filters => weight.get([filter, c, i, j]),
                            _ => 0.0,
                        };
                        lines.push(Line(std::array::from_fn(at)));
                    }
                }
            }
        }
    }
    lines
}

/// Bias, mean, scale and shift of each filter, in lines of their own.
fn numbers(
    filters: usize,
    bias: Option<&[f32]>,
    norm: Option<ChannelNorm<'_>>,
) -> Result<Vec<Line>> {
    let rows = [
        ("bias", bias),
        ("mean", norm.map(|norm| norm.mean)),
        ("scale", norm.map(|norm| norm.scale)),
        ("shift", norm.map(|norm| norm.shift)),
    ];
    let mut lines = vec![];
    for (what, row) in rows {
        if let Some(row) = row {
            check_len(OP, what, filters, row.len())?;
        }
        for first in (0..filters).step_by(MAX_LANES) {
            let at = |lane| row.and_then(|row| row.get(first + lane)).copied().unwrap_or(0.0);
            lines.push(Line(std::array::from_fn(at)));
        }
    }
    Ok(lines)
}

/// One image, whose pointers are valid for the lengths of `conv`.
struct Forward<'a> {
    conv: &'a FusedConv2d,
    x: *const f32,
    y: *mut f32,
}

/// Some filters of the convolution, for any places.
struct Block<'a> {
    conv: &'a FusedConv2d,
    /// Of the first filter.
    weight: *const f32,
    /// Elements between the steps of the sum.
    step: usize,
    /// Of the first filter; the kinds are `kinds` apart.
    numbers: *const f32,
    kinds: usize,
    x: *const f32,
    /// Of the first filter.
    y: *mut f32,
    /// Filters of the last vector.
    last: usize,
}

impl Kernel<f32> for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = f32>>(self) {
        let Self { conv, x, y } = self;
        let filters = conv.filters;
        let kinds = filters.next_multiple_of(MAX_LANES);
        let depth = conv.runs.len() * conv.depth;
        // Sums of a tile that the registers hold beside what they are made of.
        let registers = V::MR * V::NV;
        let mut first = 0;
        while first < filters {
            let panel = first - first % PANEL;
            let step = (kinds - panel).min(PANEL);
            let vectors = (filters - first).min(PANEL - first % PANEL).div_ceil(V::LANES);
            let vectors = [4, 2, 1].into_iter().find(|&n| n <= vectors && 4 * n <= registers);
            let vectors = vectors.unwrap_or(1);
            let end = filters.min(first + vectors * V::LANES);
            let block = Block {
                conv,
                weight: conv
                    .weight
                    .as_ptr()
                    .cast::<f32>()
                    .wrapping_add(panel * depth + first % PANEL),
                step,
                numbers: conv.numbers.as_ptr().cast::<f32>().wrapping_add(first),
                kinds,
                x,
                y: y.wrapping_add(first),
                last: end - first - (vectors - 1) * V::LANES,
            };
            let rows = [8, 4, 2, 1].into_iter();
            let mut rows = rows.filter(|&r| r <= conv.places.len() && r * vectors <= registers);
            let rows = rows.next().unwrap_or(1);
            // The last tile moves back to be whole: what it computes twice is the same.
            let tiles = conv.places.len().div_ceil(rows);
            for tile in 0..tiles {
                let start = (tile * rows).min(conv.places.len() - rows);
                let places = &conv.places[start..start + rows];
                // SAFETY: the block's filters and these places are the convolution's.
                unsafe { block.dispatch::<V>(places, vectors) };
            }
            first = end;
        }
    }
}

impl Block<'_> {
    /// # Safety
    ///
    /// The block must be one of `vectors` vectors, and the places those of its convolution.
    #[inline(always)]
    unsafe fn dispatch<V: Microkernel<Elem = f32>>(&self, places: &[Place], vectors: usize) {
        // A single place has few sums to keep the units busy; its sum is then cut into several.
        let split = self.conv.depth.is_multiple_of(8) && V::MR * V::NV >= 8;
        // SAFETY: the caller's duty; the number of places is that of the tile.
        unsafe {
            match (places.len(), vectors) {
                (8, 1) => self.tile::<V, 8, 1, 1>(places),
                (4, 1) => self.tile::<V, 4, 1, 1>(places),
                (2, 1) => self.tile::<V, 2, 1, 1>(places),
                (1, 1) if split => self.tile::<V, 1, 1, 8>(places),
                (1, 1) => self.tile::<V, 1, 1, 1>(places),
                (8, 2) => self.tile::<V, 8, 2, 1>(places),
                (4, 2) => self.tile::<V, 4, 2, 1>(places),
                (2, 2) => self.tile::<V, 2, 2, 1>(places),
                (1, 2) if split => self.tile::<V, 1, 2, 4>(places),
                (1, 2) => self.tile::<V, 1, 2, 1>(places),
                (4, 4) => self.tile::<V, 4, 4, 1>(places),
                (2, 4) => self.tile::<V, 2, 4, 1>(places),
                (1, 4) if split => self.tile::<V, 1, 4, 4>(places),
                (1, 4) => self.tile::<V, 1, 4, 1>(places),
                (rows, vectors) => unreachable!("no tile of {rows} by {vectors}"),
            }
        }
    }

    /// `R` places, `N` vectors of filters, the sum cut into `S`, which must divide its depth.
    ///
    /// # Safety
    ///
    /// As [`dispatch`](Self::dispatch).
    #[inline(always)]
    unsafe fn tile<V: Microkernel<Elem = f32>, const R: usize, const N: usize, const S: usize>(
        &self,
        places: &[Place],
    ) {
        if R * N > V::MR * V::NV {
            return; // Never asked for, and so not compiled, where the registers do not hold it.
        }
        let zero = V::splat(0.0);
        let mut sums = [[[zero; N]; R]; S];
        let mut weight = self.weight;
        let x: [*const f32; R] = std::array::from_fn(|r| self.x.wrapping_add(places[r].x as usize));
        for &run in &self.conv.runs {
            let mut k = run;
            while k < run + self.conv.depth {
                for (s, sums) in sums.iter_mut().enumerate() {
                    let mut row = [zero; N];
                    for (n, vector) in row.iter_mut().enumerate() {
                        // SAFETY: a step of the panel has these vectors, and there are as many as
                        // the runs have steps.
                        *vector = unsafe { V::load(weight.add(n * V::LANES)) };
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: a place sees `depth` values from the start of each run.
                        let value = V::splat(unsafe { *x[r].add(k + s) });
                        for (sum, &weight) in sums.iter_mut().zip(&row) {
                            *sum = value.mul_add(weight, *sum);
                        }
                    }
                    weight = weight.wrapping_add(self.step);
                }
                k += S;
            }
        }
        let mut total = sums[0];
        for part in &sums[1..] {
            for (total, part) in total.iter_mut().zip(part) {
                for (total, &part) in total.iter_mut().zip(part) {
                    *total = total.add(part);
                }
            }
        }
        let mut spilled = MaybeUninit::uninit();
        for (place, sums) in places.iter().zip(spill(&total, &mut spilled)) {
            // SAFETY: the place is the convolution's.
            let y = unsafe { self.y.add(place.y as usize) };
            for (n, &sum) in sums.iter().enumerate() {
                // SAFETY: the numbers of these filters, and the output has them at the place.
                unsafe {
                    let value = self.finish(sum, n * V::LANES);
                    let y = y.add(n * V::LANES);
                    if n + 1 < N || self.last == V::LANES {
                        value.store(y);
                    } else {
                        value.store_first(y, self.last);
                    }
                }
            }
        }
    }

    /// # Safety
    ///
    /// The block must have a vector of filters at `first`.
    #[inline(always)]
    unsafe fn finish<V: Vector<Elem = f32>>(&self, sum: V, first: usize) -> V {
        let relu = |x: V| V::select(x.lt(V::splat(0.0)), V::splat(0.0), x);
        // SAFETY: each kind has numbers up to whole lines.
        let number = |kind: usize| unsafe { V::load(self.numbers.add(kind * self.kinds + first)) };
        let mut y = sum.add(number(0));
        if self.conv.relu_first {
            y = relu(y);
        }
        if self.conv.norm {
            y = y.sub(number(1)).mul_add(number(2), number(3));
        }
        if self.conv.relu_last {
            y = relu(y);
        }
        y
    }
}
