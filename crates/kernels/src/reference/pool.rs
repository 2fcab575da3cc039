//! Pooling by its definition.

use super::conv2d::for_each_index;
use crate::element::Element;
use crate::pool::Pool2dConfig;
use crate::view::{TensorMut, TensorRef};

/// The windows along one axis: the places of each, which may lie outside, and what an average
/// counts.
#[derive(Debug, Clone)]
pub struct Windows(Vec<(Vec<isize>, usize)>);

impl Windows {
    /// Those of `config` along `axis`, 0 or 1, of this size, of which there are `out`.
    pub fn sliding(config: &Pool2dConfig, axis: usize, size: usize, out: usize) -> Self {
        let [kernel, stride, padding, dilation] =
            [config.kernel, config.stride, config.padding, config.dilation].map(|both| both[axis]);
        let window = |o: usize| {
            let place = |tap: usize| (o * stride + tap * dilation) as isize - padding as isize;
            let places: Vec<isize> = (0..kernel).map(place).collect();
            let limit = if config.count_include_pad { padding as isize } else { 0 };
            let counted = -limit..size as isize + limit;
            let count = places.iter().filter(|place| counted.contains(place)).count();
            (places, count)
        };
        Self((0..out).map(window).collect())
    }

    /// `out` windows that share an axis of `size` as evenly as can be.
    pub fn adaptive(size: usize, out: usize) -> Self {
        let window = |o: usize| {
            let places = (o * size / out)..((o + 1) * size).div_ceil(out);
            (places.clone().map(|place| place as isize).collect(), places.len())
        };
        Self((0..out).map(window).collect())
    }
}

/// Calls `each(output, places, counted)` for every window: its index, the indices of its places in
/// the image in row-major order, and how many places an average counts.
fn for_each_window(
    input: [usize; 4],
    [rows, columns]: &[Windows; 2],
    mut each: impl FnMut([usize; 4], &[[usize; 4]], usize),
) {
    let inside = |places: &[isize], size: usize| -> Vec<usize> {
        let range = 0..size as isize;
        places.iter().filter(|place| range.contains(place)).map(|&place| place as usize).collect()
    };
    let [batch, channels, height, width] = input;
    for n in 0..batch {
        for c in 0..channels {
            for (oh, (h_places, h_counted)) in rows.0.iter().enumerate() {
                for (ow, (w_places, w_counted)) in columns.0.iter().enumerate() {
                    let mut places = vec![];
                    for &h in &inside(h_places, height) {
                        for &w in &inside(w_places, width) {
                            places.push([n, c, h, w]);
                        }
                    }
                    each([n, c, oh, ow], &places, h_counted * w_counted);
                }
            }
        }
    }
}

/// As [`crate::pool::max_forward`] and [`crate::pool::adaptive_max_forward`].
///
/// # Panics
///
/// If the windows do not fit the shapes.
pub fn max_forward<T: Element>(
    x: TensorRef<'_, T>,
    windows: &[Windows; 2],
    mut y: TensorMut<'_, T>,
    mut indices: TensorMut<'_, u32>,
) {
    for_each_window(x.shape(), windows, |at, places, _| {
        let mut best = places[0];
        for &place in places {
            let (old, new) = (x.get(best).to_f64(), x.get(place).to_f64());
            if !old.is_nan() && (new > old || new.is_nan()) {
                best = place;
            }
        }
        y.set(at, x.get(best));
        indices.set(at, (best[2] * x.shape()[3] + best[3]) as u32);
    });
}

/// As [`crate::pool::avg_forward`] and [`crate::pool::adaptive_avg_forward`].
///
/// # Panics
///
/// If the windows do not fit the shapes.
pub fn avg_forward<T: Element>(
    x: TensorRef<'_, T>,
    windows: &[Windows; 2],
    mut y: TensorMut<'_, T>,
) {
    for_each_window(x.shape(), windows, |at, places, counted| {
        let sum: T = places.iter().map(|&place| x.get(place)).sum();
        y.set(at, sum / T::from_f64(counted as f64));
    });
}

/// As [`crate::pool::avg_backward`] and [`crate::pool::adaptive_avg_backward`].
///
/// # Panics
///
/// If the windows do not fit the shapes.
pub fn avg_backward<T: Element>(
    dy: TensorRef<'_, T>,
    windows: &[Windows; 2],
    mut dx: TensorMut<'_, T>,
) {
    for_each_index(dx.shape(), |at| dx.set(at, T::ZERO));
    for_each_window(dx.shape(), windows, |at, places, counted| {
        let share = dy.get(at) / T::from_f64(counted as f64);
        for &place in places {
            let sum = dx.get(place) + share;
            dx.set(place, sum);
        }
    });
}

/// As [`crate::pool::max_backward`].
///
/// # Panics
///
/// If an index lies outside the image.
pub fn max_backward<T: Element>(
    dy: TensorRef<'_, T>,
    indices: TensorRef<'_, u32>,
    mut dx: TensorMut<'_, T>,
) {
    let width = dx.shape()[3];
    for_each_index(dx.shape(), |at| dx.set(at, T::ZERO));
    for_each_index(dy.shape(), |[n, c, h, w]| {
        let index = indices.get([n, c, h, w]) as usize;
        let place = [n, c, index / width, index % width];
        let sum = dx.get(place) + dy.get([n, c, h, w]);
        dx.set(place, sum);
    });
}
