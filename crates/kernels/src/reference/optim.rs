//! One step of an optimiser for one parameter, in double precision.

use crate::optim::{Adam, Sgd};

/// As [`crate::optim::adam`]: the parameter and both averages after the step.
pub fn adam(config: &Adam<f64>, p: f64, g: f64, avg: f64, sqr_avg: f64) -> [f64; 3] {
    let (p, g) = if config.decoupled {
        (p * (1.0 - config.lr * config.weight_decay), g)
    } else {
        (p, g + config.weight_decay * p)
    };
    let avg = config.momentum * avg + (1.0 - config.momentum) * g;
    let sqr_avg = config.sqr_momentum * sqr_avg + (1.0 - config.sqr_momentum) * g * g;
    let step = config.step as f64;
    let mean = avg / (1.0 - config.momentum.powf(step));
    let sqr_mean = sqr_avg / (1.0 - config.sqr_momentum.powf(step));
    [p - config.lr * mean / (sqr_mean.sqrt() + config.eps), avg, sqr_avg]
}

/// As [`crate::optim::sgd`]: the parameter and the average after the step.
pub fn sgd(config: &Sgd<f64>, p: f64, g: f64, avg: f64) -> [f64; 2] {
    let (p, g) = if config.decoupled {
        (p * (1.0 - config.lr * config.weight_decay), g)
    } else {
        (p, g + config.weight_decay * p)
    };
    let avg = config.momentum * avg + g;
    [p - config.lr * avg, avg]
}
