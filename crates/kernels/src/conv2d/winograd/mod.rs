//! Winograd's minimal filtering, F(4x4, 3x3): 36 products for what takes 144 by the taps.
//!
//! The grid is cut into tiles of 4x4 places. The 6x6 inputs that a tile sees are transformed, and
//! so is the 3x3 kernel of each pair of channels; then each of the 36 numbers of a transformed tile is
//! multiplied and summed over channels on its own, which is 36 products of matrices, and the sums are
//! transformed back (Lavin and Gray 2015; see `transform`).
//!
//! Lanes of a vector are tiles (see `lanes`), so transforms need no shuffles. Transformed weights are
//! panels of A, made once; a job takes some vectors of tiles and transforms them straight into
//! panels of B, which mostly stay in the second cache over everything that follows.

mod kernel;
mod lanes;
pub(super) mod transform;

use self::kernel::TransformWeight;
use self::lanes::Lanes;
pub(super) use self::transform::OUT;
use self::transform::{IN, PRODUCTS, TAPS, input_tile, output_tile};
use super::taps::TapConv;
use crate::arch::{Isa, Kernel, MAX_LANES};
use crate::element::Element;
use crate::gemm::{Microkernel, PackedA, Pair, Panel, Place, Tile};
use crate::parallel::{self, MOVED, SharedMut};
use crate::scratch;

/// Elements between the panels of one product and the next, besides the panels: without them, all
/// numbers of a tile would often be a power of two apart and land in the same few sets of the cache.
const GAP: usize = MAX_LANES;

/// Jobs to aim for, so that no thread waits long for the last one.
const JOBS: usize = 16;
/// Rows of a job.
const ROWS: usize = 256;
/// The same where there are few tiles. Fewer rows, and the transform of their tiles would show.
const FEW_ROWS: usize = 128;
/// Tiles of a job: the transformed inputs of 64 channels are 432 KiB then.
const TILES: usize = 48;
/// Weights, which are 18 MiB when transformed, beyond which a job takes more tiles: all weights pass by
/// for each job, from beyond the last cache.
const LARGE: usize = 1 << 17;
const LARGE_TILES: usize = 144;

/// Whether this path can run `conv`: 3x3 taps side by side, on images that lie batch-last or with
/// contiguous rows.
pub(super) fn can_run<T>(conv: &TapConv<'_, T>) -> bool {
    let contiguous = |axis: usize| conv.source.strides[axis] == 1 && conv.target.strides[axis] == 1;
    if conv.taps.len() != TAPS * TAPS || conv.taps.width() != TAPS || conv.step != [1, 1] {
        return false;
    }
    let (first, last) = (conv.taps.get(0).shift, conv.taps.get(TAPS * TAPS - 1).shift);
    let side_by_side = (0..2).all(|axis| first[axis].abs_diff(last[axis]) == TAPS - 1);
    side_by_side && (contiguous(0) || contiguous(3))
}

/// How far the first input that a tile sees is from its first place.
#[inline(always)]
fn origin<T>(conv: &TapConv<'_, T>) -> [isize; 2] {
    let (first, last) = (conv.taps.get(0).shift, conv.taps.get(conv.taps.len() - 1).shift);
    [first[0].min(last[0]), first[1].min(last[1])]
}

/// How the work is cut into jobs: some vectors of tiles, whole panels, by some rows. Each job
/// transforms its tiles for itself.
struct Cut {
    vectors: usize,
    rows: usize,
}

impl Cut {
    fn new<T>(conv: &TapConv<'_, T>, vectors: usize, [mr, nr, panel_vectors]: [usize; 3]) -> Self {
        let tiles = if conv.rows * conv.channels > LARGE { LARGE_TILES } else { TILES };
        let vectors_of_job = tiles.div_ceil(nr) * panel_vectors;
        let few = vectors.div_ceil(vectors_of_job) < JOBS;
        let rows = if few { FEW_ROWS } else { ROWS };
        Self { vectors: vectors_of_job, rows: rows.min(conv.rows).next_multiple_of(mr) }
    }
}

/// Runs `conv`, for which [`can_run`] holds.
///
/// # Safety
///
/// The source, the weight and the target must be valid for the sizes of `conv`, and the target's
/// places distinct and nobody else's.
pub(super) unsafe fn run<T: Element>(isa: Isa, conv: &TapConv<'_, T>) {
    debug_assert_eq!(conv.parts, 1);
    let (vectors, size @ [mr, nr, panel_vectors]) = T::run(isa, Sizes(conv));
    let cut = Cut::new(conv, vectors, size);
    let row_panels = conv.rows.div_ceil(mr);
    let weight_product = scratch::product([row_panels, conv.channels, mr]) + GAP;
    let panels = cut.vectors / panel_vectors;
    let source_product = scratch::product([panels, conv.channels, nr]) + GAP;
    let source_len = scratch::product([PRODUCTS, source_product]);
    let sums_len = panels * cut.rows * PRODUCTS * nr;
    let row_jobs = conv.rows.div_ceil(cut.rows);
    let jobs = vectors.div_ceil(cut.vectors) * row_jobs;
    let operations = parallel::operations([
        conv.rows,
        conv.channels,
        vectors.div_ceil(panel_vectors),
        nr * PRODUCTS,
    ]);
    scratch::with(scratch::product([PRODUCTS, weight_product]), |weight: &mut [T]| {
        let to = SharedMut::new(weight.as_mut_ptr());
        parallel::for_each(row_panels, weight.len() * MOVED, |panel| {
            // SAFETY: there is room for this panel of each product, and each job has its own.
            let to = unsafe { to.get().add(panel * conv.channels * mr) };
            T::run(isa, TransformWeight { conv, row: panel * mr, to, product: weight_product });
        });
        let weight = &*weight;
        parallel::for_each(jobs, operations, |job| {
            let (vector, row) = (job / row_jobs * cut.vectors, job % row_jobs * cut.rows);
            scratch::with(source_len + sums_len, |room: &mut [T]| {
                let (source, sums) = room.split_at_mut(source_len);
                let job = Job {
                    conv,
                    weight,
                    weight_product,
                    vectors: [vector, cut.vectors.min(vectors - vector)],
                    rows: [row, cut.rows.min(conv.rows - row)],
                    source,
                    source_product,
                    sums,
                };
                T::run(isa, job);
            });
        });
    });
}

/// Asks an instruction set how many vectors the tiles are, and for rows, columns and vectors of its
/// microkernel.
struct Sizes<'a, 'b, T>(&'a TapConv<'b, T>);

impl<T: Element> Kernel<T> for Sizes<'_, '_, T> {
    type Output = (usize, [usize; 3]);

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) -> (usize, [usize; 3]) {
        (Lanes::new(self.0).vectors::<V>(), [V::MR, V::NR, V::NV])
    }
}

/// Some vectors of tiles, from the source to the target.
struct Job<'a, 'b, T> {
    conv: &'a TapConv<'b, T>,
    /// `[products][panels][channels][MR]`
    weight: &'a [T],
    /// Elements from one product of the weight to the next.
    weight_product: usize,
    /// First vector, and how many.
    vectors: [usize; 2],
    /// First row, and how many.
    rows: [usize; 2],
    /// Room for transformed tiles, `[products][panels][channels][NR]`.
    source: &'a mut [T],
    /// Elements from one product of the source to the next.
    source_product: usize,
    /// Room for sums, `[panels][rows][products][NR]`.
    sums: &'a mut [T],
}

impl<T: Element> Kernel<T> for Job<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(mut self) {
        self.transform::<V>();
        self.multiply::<V>();
        self.finish::<V>();
    }
}

impl<T: Element> Job<'_, '_, T> {
    /// Transforms all channels of the source.
    #[inline(always)]
    fn transform<V: Microkernel<Elem = T>>(&mut self) {
        let [first, vectors] = self.vectors;
        let (lanes, channels) = (Lanes::new(self.conv), self.conv.channels);
        let mut staged = [T::ZERO; PRODUCTS * MAX_LANES];
        for vector in 0..vectors {
            let (panel, slot) = (vector / V::NV, vector % V::NV);
            let tiles = lanes.vector::<V>(first + vector);
            for channel in 0..channels {
                let to = (panel * channels + channel) * V::NR + slot * V::LANES;
                let to = self.source[to..][..(PRODUCTS - 1) * self.source_product + V::LANES]
                    .as_mut_ptr();
                // SAFETY: the channel is the source's.
                let (from, [height, width]) = unsafe { tiles.read::<V>(channel, &mut staged) };
                input_tile(
                    // SAFETY: `read` says where the inputs are.
                    |[h, w]| unsafe { V::load(from.wrapping_add(h * height + w * width)) },
                    // SAFETY: a slice that has room for the vector of each product.
                    |[h, w], x: V| unsafe { x.store(to.add((h * IN + w) * self.source_product)) },
                );
            }
        }
    }

    /// Sums the products over channels.
    #[inline(always)]
    fn multiply<V: Microkernel<Elem = T>>(&mut self) {
        let (channels, [first, rows]) = (self.conv.channels, self.rows);
        let vectors = self.vectors[1];
        for product in 0..PRODUCTS {
            for row in (0..rows).step_by(V::MR) {
                let a = &self.weight[product * self.weight_product + (first + row) * channels..];
                for panel in 0..vectors.div_ceil(V::NV) {
                    let b = product * self.source_product + panel * channels * V::NR;
                    let some = V::NV.min(vectors - panel * V::NV);
                    let tile = Tile {
                        a_layout: PackedA,
                        a: a[..channels * V::MR].as_ptr(),
                        b: self.source[b..][..channels * V::NR].as_ptr(),
                        pairs: &[Pair { a: 0, b: 0 }],
                        depth: channels,
                        b_stride: V::NR,
                        rows: V::MR.min(rows - row),
                        columns: some * V::LANES,
                    };
                    let to = (panel * rows + row) * PRODUCTS + product;
                    let to =
                        &mut self.sums[to * V::NR..][..((tile.rows - 1) * PRODUCTS + 1) * V::NR];
                    let sums = Panel {
                        c: to.as_mut_ptr(),
                        row_stride: PRODUCTS * V::NR,
                        place: Place::Contiguous(0),
                        beta: T::ZERO,
                        bias: None,
                    };
                    // SAFETY: panels of A and B hold `channels` steps, and the slice has room for a
                    // panel of each row.
                    unsafe { V::tile(&tile, &sums) };
                }
            }
        }
    }

    /// Transforms the sums back, into the target.
    #[inline(always)]
    fn finish<V: Microkernel<Elem = T>>(&mut self) {
        let [first, rows] = self.rows;
        let lanes = Lanes::new(self.conv);
        let mut outputs = [T::ZERO; OUT * OUT * MAX_LANES];
        for vector in 0..self.vectors[1] {
            let (panel, slot) = (vector / V::NV, vector % V::NV);
            let tiles = lanes.vector::<V>(self.vectors[0] + vector);
            for row in 0..rows {
                let from = (panel * rows + row) * PRODUCTS * V::NR + slot * V::LANES;
                let from = self.sums[from..][..(PRODUCTS - 1) * V::NR + V::LANES].as_ptr();
                let bias = V::splat(self.conv.bias.map_or(T::ZERO, |bias| bias[first + row]));
                output_tile(
                    // SAFETY: a slice that holds the vector of each product.
                    |[h, w]| unsafe { V::load(from.add((h * IN + w) * V::NR)) },
                    |[h, w], x: V| {
                        x.add(bias).write_to(&mut outputs[(h * OUT + w) * V::LANES..]);
                    },
                );
                // SAFETY: the row is the target's, and these tiles are this job's alone.
                unsafe { tiles.write::<V>(first + row, &mut outputs) };
            }
        }
    }
}
