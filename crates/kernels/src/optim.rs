//! The update rules of optimisers: one pass over memory, in place.

use crate::arch::Vector;
use crate::element::Element;
use crate::elementwise::lanes::{Lanes, each, lanes};
use crate::error::{Result, ShapeError};

/// One step of Adam (Kingma and Ba, 2015) or, decoupled, AdamW (Loshchilov and Hutter, 2019).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam<T> {
    /// Learning rate.
    pub lr: T,
    /// The share of the old average of gradients that is kept: beta 1.
    pub momentum: T,
    /// The share of the old average of squared gradients that is kept: beta 2.
    pub sqr_momentum: T,
    /// Added to the denominator, outside its square root.
    pub eps: T,
    /// Weight decay.
    pub weight_decay: T,
    /// Whether weights decay by themselves (`p *= 1 - lr * weight_decay`, before the step), or by
    /// an L2 penalty in the gradient (`g += weight_decay * p`).
    pub decoupled: bool,
    /// The number of this step, from 1, for debiasing both averages.
    pub step: u64,
}

lanes!(
    AdamStep { keep, l2, momentum, fresh, sqr_momentum, sqr_fresh, size, sqr_debias, eps },
    1 -> 3, cost 4,
    |[g], [p, avg, sqr_avg]| {
        let g = l2.mul_add(p, g);
        let avg = momentum.mul_add(avg, fresh.mul(g));
        let sqr_avg = sqr_momentum.mul_add(sqr_avg, sqr_fresh.mul(g).mul(g));
        let denominator = sqr_avg.mul(sqr_debias).sqrt().add(eps);
        [p.mul(keep).sub(avg.mul(size).div(denominator)), avg, sqr_avg]
    }
);

/// Moves the parameters `p` by one step of Adam against their gradient `g`, and updates the running
/// averages, which start as zeros:
///
/// `avg = momentum * avg + (1 - momentum) * g`,
/// `sqr_avg = sqr_momentum * sqr_avg + (1 - sqr_momentum) * g^2`,
/// `p -= lr * debiased(avg) / (sqrt(debiased(sqr_avg)) + eps)`,
/// each average debiased by division by `1 - momentum^step`.
///
/// # Errors
///
/// If the lengths differ, or `step` is 0.
///
/// ```
/// use topedge_kernels::optim::{Adam, adam};
///
/// let config = Adam {
///     lr: 0.1,
///     momentum: 0.9,
///     sqr_momentum: 0.99,
///     eps: 1e-5,
///     weight_decay: 0.01,
///     decoupled: true,
///     step: 1,
/// };
/// let (mut p, mut avg, mut sqr_avg) = ([1.0f64], [0.0], [0.0]);
/// adam(&config, &mut p, &[0.1], &mut avg, &mut sqr_avg)?;
/// // The first step is of the size of the learning rate, after the decay by 0.1 %.
/// assert!((p[0] - 0.89901).abs() < 1e-6);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn adam<T: Element>(
    config: &Adam<T>,
    p: &mut [T],
    g: &[T],
    avg: &mut [T],
    sqr_avg: &mut [T],
) -> Result<()> {
    if config.step == 0 {
        return Err(ShapeError::new("adam", "step", "at least 1", 0));
    }
    // In double precision: 1 - 0.999 has only four good digits in `f32`.
    let debias = |momentum: f64| 1.0 / (1.0 - momentum.powf(config.step as f64));
    let [lr, momentum, sqr_momentum, decay] =
        [config.lr, config.momentum, config.sqr_momentum, config.weight_decay].map(T::to_f64);
    let (keep, l2) = if config.decoupled { (1.0 - lr * decay, 0.0) } else { (1.0, decay) };
    let lanes = AdamStep {
        keep: T::from_f64(keep),
        l2: T::from_f64(l2),
        momentum: config.momentum,
        fresh: T::from_f64(1.0 - momentum),
        sqr_momentum: config.sqr_momentum,
        sqr_fresh: T::from_f64(1.0 - sqr_momentum),
        size: T::from_f64(lr * debias(momentum)),
        sqr_debias: T::from_f64(debias(sqr_momentum)),
        eps: config.eps,
    };
    each("adam", lanes, [("g", g)], [("p", p), ("avg", avg), ("sqr_avg", sqr_avg)])
}

/// One step of stochastic gradient descent with momentum, undamped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd<T> {
    /// Learning rate.
    pub lr: T,
    /// The share of the old average that is kept; 0 for plain descent.
    pub momentum: T,
    /// Weight decay.
    pub weight_decay: T,
    /// As [`Adam::decoupled`].
    pub decoupled: bool,
}

lanes!(Plain { keep, l2, lr }, 1 -> 1, cost 1, |[g], [p]| {
    [p.mul(keep).sub(lr.mul(l2.mul_add(p, g)))]
});

lanes!(Momentum { keep, l2, lr, momentum }, 1 -> 2, cost 2, |[g], [p, avg]| {
    let avg = momentum.mul_add(avg, l2.mul_add(p, g));
    [p.mul(keep).sub(lr.mul(avg)), avg]
});

/// Moves the parameters `p` against their gradient `g`: `avg = momentum * avg + g`,
/// `p -= lr * avg`. Without momentum, `avg` is not used and may be empty.
///
/// # Errors
///
/// If the lengths differ.
pub fn sgd<T: Element>(config: &Sgd<T>, p: &mut [T], g: &[T], avg: &mut [T]) -> Result<()> {
    let Sgd { lr, momentum, weight_decay, decoupled } = *config;
    let (keep, l2) = if decoupled {
        (T::from_f64(1.0 - lr.to_f64() * weight_decay.to_f64()), T::ZERO)
    } else {
        (T::ONE, weight_decay)
    };
    if momentum == T::ZERO {
        each("sgd", Plain { keep, l2, lr }, [("g", g)], [("p", p)])
    } else {
        let lanes = Momentum { keep, l2, lr, momentum };
        each("sgd", lanes, [("g", g)], [("p", p), ("avg", avg)])
    }
}
