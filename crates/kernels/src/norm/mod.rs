//! Batch normalisation (Ioffe and Szegedy, 2015): statistics, the transformation, its gradients.
//!
//! `x` is contiguous, as `[outer][channels][inner]`: NCHW with the batch outside and the image
//! inside, channels-last with `inner` 1, batch-last with `outer` 1, or as many parts as the batch lies in.

mod apply;
mod sums;

use std::ops::Range;

use crate::arch::{MAX_LANES, Vector};
use crate::element::Element;
use crate::error::{Result, ShapeError, check_len};
use crate::parallel;
use apply::{Backward, Scale, Transform, each_channel};
use sums::{Gradient, Moments, Sums};

/// Where the channels of `x` lie: `[outer][channels][inner]`, contiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelLayout {
    /// NCHW: the batch. Channels-last: batch * height * width. Batch-last: parts of the batch.
    pub outer: usize,
    /// Channels.
    pub channels: usize,
    /// NCHW: height * width. Channels-last: 1. Batch-last: height * width * images of a part.
    pub inner: usize,
}

impl ChannelLayout {
    /// Values of each channel.
    fn count(&self) -> usize {
        self.outer * self.inner
    }

    /// With `inner` 1, channels are neighbours. Whole vectors of them then repeat after this many
    /// elements: the least common multiple of channels and lanes.
    fn period(&self) -> usize {
        let common = self.channels.trailing_zeros().min(MAX_LANES.trailing_zeros());
        self.channels * (MAX_LANES >> common)
    }

    /// Checks the lengths of arguments of `[outer][channels][inner]` and of `[channels]`.
    fn check(
        &self,
        op: &'static str,
        whole: &[(&str, usize)],
        of_channels: &[(&str, usize)],
    ) -> Result<()> {
        let Self { outer, channels, inner } = *self;
        let elements = outer.checked_mul(inner).and_then(|count| count.checked_mul(channels));
        let elements = elements.ok_or_else(|| {
            let got = format!("[{outer}][{channels}][{inner}]");
            ShapeError::new(op, "layout", "sizes whose product fits in usize", got)
        })?;
        for &(name, len) in whole {
            check_len(op, name, elements, len)?;
        }
        for &(name, len) in of_channels {
            check_len(op, name, channels, len)?;
        }
        Ok(())
    }
}

/// Values of `x` for each thread whose gradients are taken together, where those of a channel are neighbours: 512 KiB
/// of `f32`, and as much of `dy`. With second caches of 2 MiB a step of simple-cnn-bn with 512 images is 2 % shorter for
/// it, on one thread and on two.
const TOGETHER: usize = 1 << 17;

/// Places in memory where each channel is, up to which some are taken together: parts of a batch. Of many, as of
/// images one by one, there would be as many loops as channels, each over all of these places.
const FEW: usize = 4;

/// Neighbouring values of a channel from which on they are the work of several jobs.
const LONG: usize = 1 << 10;

/// What is normalised: `x`, or what a ReLU makes of it.
#[inline(always)]
fn input<V: Vector, const RELU: bool>(x: V) -> V {
    let zero = V::splat(V::Elem::ZERO);
    if RELU { V::select(x.lt(zero), zero, x) } else { x }
}

/// A normalisation: what is known of each channel.
///
/// ```
/// use topedge_kernels::norm::{BatchNorm, ChannelLayout, batch_stats, normalize};
///
/// // One channel of four values, in training.
/// let layout = ChannelLayout { outer: 1, channels: 1, inner: 4 };
/// let x = [1.0f32, 2.0, 3.0, 4.0];
/// let (mut mean, mut var, mut y) = ([0.0], [0.0], [0.0; 4]);
/// batch_stats(&x, layout, false, &mut mean, &mut var)?;
/// assert_eq!((mean, var), ([2.5], [1.25]));
/// let norm = BatchNorm { layout, mean: &mean, var: &var, gamma: &[1.0], eps: 1e-5, relu: false };
/// normalize(&x, &norm, &[0.0], &mut y)?;
/// assert!((y[3] - 1.3416).abs() < 1e-4);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm<'a, T> {
    /// Where the channels of `x`, and of everything of its size, lie.
    pub layout: ChannelLayout,
    /// The mean of each channel: of the batch in training, the running one in evaluation.
    pub mean: &'a [T],
    /// The variance of each channel: the biased one of the batch, or the running one.
    pub var: &'a [T],
    /// What each normalised channel is multiplied by.
    pub gamma: &'a [T],
    /// Added to the variance.
    pub eps: T,
    /// Whether `x` goes through a ReLU first: what is normalised is then `max(x, 0)`, which is nowhere
    /// kept, and the gradient that of `x` before it.
    pub relu: bool,
}

impl<T: Element> BatchNorm<'_, T> {
    /// `1 / sqrt(var + eps)`
    fn inverse_std(&self, channel: usize) -> f64 {
        1.0 / (self.var[channel].to_f64() + self.eps.to_f64()).sqrt()
    }

    fn check(
        &self,
        op: &'static str,
        whole: &[(&str, usize)],
        of_channels: &[(&str, usize)],
    ) -> Result<()> {
        self.layout.check(op, whole, of_channels)?;
        let own = [("mean", self.mean.len()), ("var", self.var.len()), ("gamma", self.gamma.len())];
        self.layout.check(op, &[], &own)
    }
}

/// The mean and the biased variance of each channel, with `relu` of `max(x, 0)`; NaN if a channel has no
/// values.
///
/// Accurate also where the mean is large beside the standard deviation: each block of some thousand
/// values is passed over twice, in cache, and blocks are combined as in Chan, Golub and LeVeque,
/// "Algorithms for Computing the Sample Variance" (1983).
///
/// # Errors
///
/// If the lengths are others than `layout` says.
pub fn batch_stats<T: Element>(
    x: &[T],
    layout: ChannelLayout,
    relu: bool,
    mean: &mut [T],
    var: &mut [T],
) -> Result<()> {
    let of_channels = [("mean", mean.len()), ("var", var.len())];
    layout.check("batch_stats", &[("x", x.len())], &of_channels)?;
    let each = |channel: usize, [count, sum, squares]: Sums| {
        mean[channel] = T::from_f64(sum / count);
        var[channel] = T::from_f64(squares / count);
    };
    let all = 0..layout.channels;
    if relu {
        sums::reduce(Moments::<true>, [x], layout, all, each);
    } else {
        sums::reduce(Moments::<false>, [x], layout, all, each);
    }
    Ok(())
}

/// `y = (x - mean) / sqrt(var + eps) * gamma + beta`, channel by channel.
///
/// # Errors
///
/// If the lengths are others than the layout says.
pub fn normalize<T: Element>(
    x: &[T],
    norm: &BatchNorm<'_, T>,
    beta: &[T],
    y: &mut [T],
) -> Result<()> {
    norm.check("normalize", &[("x", x.len()), ("y", y.len())], &[("beta", beta.len())])?;
    let numbers = |channel: usize| {
        let scale = norm.gamma[channel].to_f64() * norm.inverse_std(channel);
        [norm.mean[channel], T::from_f64(scale), beta[channel]]
    };
    let all = 0..norm.layout.channels;
    if norm.relu {
        each_channel(norm.layout, all, Transform::<true>, numbers, x, y);
    } else {
        each_channel(norm.layout, all, Transform::<false>, numbers, x, y);
    }
    Ok(())
}

/// Sets the gradients of gamma and beta of some channels, which are the same in training and in evaluation.
fn parameter_gradients<T: Element>(
    x: &[T],
    norm: &BatchNorm<'_, T>,
    some: Range<usize>,
    dy: &[T],
    dgamma: &mut [T],
    dbeta: &mut [T],
) {
    let each = |channel: usize, [_, sum, dot]: Sums| {
        dbeta[channel] = T::from_f64(sum);
        dgamma[channel] = T::from_f64(dot * norm.inverse_std(channel));
    };
    let (mean, layout) = (norm.mean, norm.layout);
    if norm.relu {
        sums::reduce(Gradient::<T, true> { mean }, [x, dy], layout, some, each);
    } else {
        sums::reduce(Gradient::<T, false> { mean }, [x, dy], layout, some, each);
    }
}

/// The gradients of [`normalize`] after [`batch_stats`] of the same `x`, through the statistics:
/// `dbeta = sum(dy)`, `dgamma = sum(dy * xhat)`, and
/// `dx = gamma / sqrt(var + eps) * (dy - dbeta / count - xhat * dgamma / count)`, where `xhat` is the
/// normalised `x` and `count` the number of values of a channel. `dx` takes the place of `dy`: memory of its own would
/// first come to the caches, to be overwritten.
///
/// # Errors
///
/// If the lengths are others than the layout says.
pub fn backward_train<T: Element>(
    x: &[T],
    norm: &BatchNorm<'_, T>,
    dy: &mut [T],
    dgamma: &mut [T],
    dbeta: &mut [T],
) -> Result<()> {
    let whole = [("x", x.len()), ("dy", dy.len())];
    let of_channels = [("dgamma", dgamma.len()), ("dbeta", dbeta.len())];
    norm.check("batch norm backward_train", &whole, &of_channels)?;
    let layout = norm.layout;
    // The second pass over some of the channels finds their values in the cache.
    let together = if layout.inner >= LONG && layout.outer <= FEW {
        let threads = parallel::threads(x.len().saturating_mul(parallel::MOVED));
        (TOGETHER.saturating_mul(threads) / layout.count().max(1)).max(1)
    } else {
        layout.channels.max(1)
    };
    for first in (0..layout.channels).step_by(together) {
        let some = first..layout.channels.min(first + together);
        backward_channels(x, norm, some, dy, dgamma, dbeta);
    }
    Ok(())
}

/// [`backward_train`] for some channels, of arguments that have been checked.
fn backward_channels<T: Element>(
    x: &[T],
    norm: &BatchNorm<'_, T>,
    some: Range<usize>,
    dy: &mut [T],
    dgamma: &mut [T],
    dbeta: &mut [T],
) {
    parameter_gradients(x, norm, some.clone(), dy, dgamma, dbeta);
    let count = norm.layout.count() as f64;
    let (dgamma, dbeta) = (&*dgamma, &*dbeta);
    let numbers = |channel: usize| {
        let inverse_std = norm.inverse_std(channel);
        let scale = norm.gamma[channel].to_f64() * inverse_std;
        let of_x = -scale * inverse_std * dgamma[channel].to_f64() / count;
        let shift = -scale * dbeta[channel].to_f64() / count;
        [norm.mean[channel], T::from_f64(of_x), T::from_f64(scale), T::from_f64(shift)]
    };
    if norm.relu {
        each_channel(norm.layout, some, Backward::<true>, numbers, x, dy);
    } else {
        each_channel(norm.layout, some, Backward::<false>, numbers, x, dy);
    }
}

/// The gradients of [`normalize`] with statistics that do not depend on `x`, as in evaluation:
/// `dbeta = sum(dy)`, `dgamma = sum(dy * xhat)`, `dx = gamma / sqrt(var + eps) * dy`, in the place of `dy`.
///
/// # Errors
///
/// If the lengths are others than the layout says.
pub fn backward_eval<T: Element>(
    x: &[T],
    norm: &BatchNorm<'_, T>,
    dy: &mut [T],
    dgamma: &mut [T],
    dbeta: &mut [T],
) -> Result<()> {
    let whole = [("x", x.len()), ("dy", dy.len())];
    let of_channels = [("dgamma", dgamma.len()), ("dbeta", dbeta.len())];
    norm.check("batch norm backward_eval", &whole, &of_channels)?;
    let all = 0..norm.layout.channels;
    parameter_gradients(x, norm, all.clone(), dy, dgamma, dbeta);
    let numbers =
        |channel: usize| [T::from_f64(norm.gamma[channel].to_f64() * norm.inverse_std(channel))];
    if norm.relu {
        each_channel(norm.layout, all, Scale::<true>, numbers, x, dy);
    } else {
        each_channel(norm.layout, all, Scale::<false>, numbers, x, dy);
    }
    Ok(())
}
