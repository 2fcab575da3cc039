//! Which tiles are the lanes of a vector, and how they are read and written.
//!
//! On images that lie batch-last they are neighbouring images at one place: mostly, the inputs are
//! vectors where they lie. On images of contiguous rows they are neighbouring tiles, which go on in
//! the next row of tiles and in the next image: so small images fill the lanes, too. Runs of tiles in
//! one row are then pulled apart to lanes, and put together again.

use super::super::taps::TapConv;
use super::transform::{IN, OUT, PRODUCTS};
use crate::arch::{MAX_LANES, Vector};
use crate::element::Element;

/// The tiles of a sum, in the order in which they fill vectors.
pub(super) struct Lanes<'a, 'b, T> {
    conv: &'a TapConv<'b, T>,
    /// Tiles along the axes of the grid.
    tiles: [usize; 2],
    batch_last: bool,
}

/// Neighbouring tiles in one row of one image; on batch-last images, one tile of neighbouring images.
#[derive(Clone, Copy, Default)]
struct Run {
    /// The first tile's lane.
    lane: usize,
    len: usize,
    image: usize,
    /// The first tile's first place in the grid.
    place: [usize; 2],
}

/// The tiles of one vector.
pub(super) struct TileVector<'a, 'b, T> {
    conv: &'a TapConv<'b, T>,
    batch_last: bool,
    runs: [Run; MAX_LANES],
    len: usize,
}

impl<'a, 'b, T: Element> Lanes<'a, 'b, T> {
    pub(super) fn new(conv: &'a TapConv<'b, T>) -> Self {
        let tiles = conv.grid.map(|size| size.div_ceil(OUT));
        let batch_last = conv.source.strides[0] == 1 && conv.target.strides[0] == 1;
        Self { conv, tiles, batch_last }
    }

    /// How many vectors there are.
    pub(super) fn vectors<V: Vector>(&self) -> usize {
        let (places, batch) = (self.tiles[0] * self.tiles[1], self.conv.batch);
        if self.batch_last {
            places * batch.div_ceil(V::LANES)
        } else {
            (places * batch).div_ceil(V::LANES)
        }
    }

    #[inline(always)]
    pub(super) fn vector<V: Vector>(&self, index: usize) -> TileVector<'a, 'b, T> {
        let batch = self.conv.batch;
        let [height, width] = self.tiles;
        let place = |index: usize| [index / width * OUT, index % width * OUT];
        let mut runs = [Run::default(); MAX_LANES];
        let mut len = 0;
        if self.batch_last {
            let blocks = batch.div_ceil(V::LANES);
            let image = index % blocks * V::LANES;
            let some = V::LANES.min(batch - image);
            runs[0] = Run { lane: 0, len: some, image, place: place(index / blocks) };
            len = 1;
        } else {
            let (first, places) = (index * V::LANES, height * width);
            let end = (first + V::LANES).min(batch * places);
            let mut tile = first;
            while tile < end {
                let some = (width - tile % width).min(end - tile);
                let (image, place) = (tile / places, place(tile % places));
                runs[len] = Run { lane: tile - first, len: some, image, place };
                len += 1;
                tile += some;
            }
        }
        TileVector { conv: self.conv, batch_last: self.batch_last, runs, len }
    }
}

impl<T: Element> TileVector<'_, '_, T> {
    /// Where the inputs of these tiles are, as vectors: the first, and the elements from one to the
    /// next on each axis. They are in the source or in `staged`; in lanes without a tile is anything.
    ///
    /// # Safety
    ///
    /// The channel must be the source's.
    #[inline(always)]
    pub(super) unsafe fn read<V: Vector<Elem = T>>(
        &self,
        channel: usize,
        staged: &mut [T; PRODUCTS * MAX_LANES],
    ) -> (*const T, [usize; 2]) {
        let source = &self.conv.source;
        let from = source.pointer.wrapping_add(channel * source.strides[1]);
        if !self.batch_last {
            for run in &self.runs[..self.len] {
                // SAFETY: the channel is the source's.
                unsafe { self.stage_row::<V>(run, from, staged) };
            }
            return (staged.as_ptr(), [IN * V::LANES, V::LANES]);
        }
        let [_, _, height, width] = source.strides;
        let (run, origin) = (&self.runs[0], super::origin(self.conv));
        let from = from.wrapping_add(run.image);
        let at = [0, 1].map(|axis| run.place[axis] as isize + origin[axis]);
        let inside =
            (0..2).all(|axis| at[axis] >= 0 && at[axis] as usize + IN <= source.size[axis]);
        if inside && run.len == V::LANES {
            let [h, w] = at.map(|at| at as usize);
            return (from.wrapping_add(h * height + w * width), [height, width]);
        }
        for (h, row) in staged.chunks_exact_mut(IN * V::LANES).take(IN).enumerate() {
            for (w, to) in row.chunks_exact_mut(V::LANES).enumerate() {
                let (h, w) = (at[0] + h as isize, at[1] + w as isize);
                let x = if h >= 0
                    && (h as usize) < source.size[0]
                    && w >= 0
                    && (w as usize) < source.size[1]
                {
                    let offset = h as usize * height + w as usize * width;
                    // SAFETY: inside the source, and so are the images of the run.
                    unsafe { V::load_first(from.wrapping_add(offset), run.len) }
                } else {
                    V::splat(T::ZERO)
                };
                x.write_to(to);
            }
        }
        (staged.as_ptr(), [IN * V::LANES, V::LANES])
    }

    /// Pulls the inputs of a run apart: each tile's to its lane.
    ///
    /// # Safety
    ///
    /// A channel of the source must be at `from`.
    #[inline(always)]
    unsafe fn stage_row<V: Vector<Elem = T>>(
        &self,
        run: &Run,
        from: *const T,
        staged: &mut [T; PRODUCTS * MAX_LANES],
    ) {
        let (source, origin) = (&self.conv.source, super::origin(self.conv));
        let at = [0, 1].map(|axis| run.place[axis] as isize + origin[axis]);
        for h in 0..IN {
            let y = at[0] + h as isize;
            let row = (y >= 0 && (y as usize) < source.size[0]).then(|| {
                let offset = run.image * source.strides[0] + y as usize * source.strides[2];
                from.wrapping_add(offset)
            });
            let width = source.size[1];
            // SAFETY: a row of the source is at `row`.
            let ([a, b, c, d], [e, f, ..]) = unsafe {
                (
                    every_fourth::<V>(row, at[1], width),
                    every_fourth::<V>(row, at[1] + OUT as isize, width),
                )
            };
            for (w, x) in [a, b, c, d, e, f].into_iter().enumerate() {
                let to = &mut staged[(h * IN + w) * V::LANES + run.lane..][..run.len];
                // SAFETY: the slice has room.
                unsafe { x.store_first(to.as_mut_ptr(), run.len) };
            }
        }
    }

    /// Writes the outputs of these tiles, `[OUT][OUT][LANES]`, where they are inside the grid.
    ///
    /// # Safety
    ///
    /// The row must be the target's, and its places in these tiles nobody else's.
    #[inline(always)]
    pub(super) unsafe fn write<V: Vector<Elem = T>>(
        &self,
        row: usize,
        outputs: &mut [T; OUT * OUT * MAX_LANES],
    ) {
        let conv = self.conv;
        let [batch, rows, height, width] = conv.target.strides;
        let to = conv.target.pointer.wrapping_add(row * rows);
        if self.batch_last {
            let run = &self.runs[0];
            let to = to.wrapping_add(run.image);
            for (h, y) in (run.place[0]..conv.grid[0]).take(OUT).enumerate() {
                for (w, x) in (run.place[1]..conv.grid[1]).take(OUT).enumerate() {
                    let outputs = V::from_slice(&outputs[(h * OUT + w) * V::LANES..]);
                    let to = to.wrapping_add(y * height + x * width);
                    // SAFETY: the place and the images of the run are the target's.
                    unsafe { outputs.store_first(to, run.len) };
                }
            }
            return;
        }
        for line in outputs.chunks_exact_mut(OUT * V::LANES).take(OUT) {
            let mut vectors = [V::splat(T::ZERO); OUT];
            for (vector, lanes) in vectors.iter_mut().zip(line.chunks_exact(V::LANES)) {
                *vector = V::from_slice(lanes);
            }
            for (vector, lanes) in
                V::interleave(vectors).into_iter().zip(line.chunks_exact_mut(V::LANES))
            {
                vector.write_to(lanes);
            }
        }
        for run in &self.runs[..self.len] {
            let to = to.wrapping_add(run.image * batch + run.place[1]);
            let columns = (run.len * OUT).min(conv.grid[1] - run.place[1]);
            for (h, y) in (run.place[0]..conv.grid[0]).take(OUT).enumerate() {
                let line = &outputs[(h * V::LANES + run.lane) * OUT..][..columns];
                let to = to.wrapping_add(y * height);
                for (k, lanes) in line.chunks(V::LANES).enumerate() {
                    // SAFETY: the columns are the target's, one behind the other.
                    unsafe {
                        let x = V::load_first(lanes.as_ptr(), lanes.len());
                        x.store_first(to.wrapping_add(k * V::LANES), lanes.len());
                    }
                }
            }
        }
    }
}

/// Every fourth number of a row from `first` on, from `first + 1` on, and so forth, with zeros for what
/// is outside.
///
/// # Safety
///
/// If there is a row it must be valid for reading `width` numbers.
#[inline(always)]
unsafe fn every_fourth<V: Vector>(
    row: Option<*const V::Elem>,
    first: isize,
    width: usize,
) -> [V; OUT] {
    let mut vectors = [V::splat(V::Elem::ZERO); OUT];
    if let Some(row) = row {
        for (k, vector) in vectors.iter_mut().enumerate() {
            let x = first + (k * V::LANES) as isize;
            let start = (-x).clamp(0, V::LANES as isize) as usize;
            let end = (width as isize - x).clamp(0, V::LANES as isize) as usize;
            // SAFETY: these lanes are inside the row.
            *vector = unsafe { V::load_range(row.wrapping_offset(x), start..end) };
        }
    }
    V::deinterleave(vectors)
}
