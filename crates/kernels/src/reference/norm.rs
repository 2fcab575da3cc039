//! Batch normalisation by its definition, in double precision.

use crate::norm::{BatchNorm, ChannelLayout};

/// The places of the values of a channel.
fn places(layout: ChannelLayout, channel: usize) -> impl Iterator<Item = usize> + Clone {
    let ChannelLayout { outer, channels, inner } = layout;
    (0..outer).flat_map(move |o| (0..inner).map(move |i| (o * channels + channel) * inner + i))
}

/// As [`crate::norm::batch_stats`]: the means and the biased variances.
pub fn batch_stats(x: &[f64], layout: ChannelLayout) -> (Vec<f64>, Vec<f64>) {
    (0..layout.channels)
        .map(|channel| {
            let values = places(layout, channel).map(|place| x[place]);
            let count = (layout.outer * layout.inner) as f64;
            let mean = values.clone().sum::<f64>() / count;
            (mean, values.map(|x| (x - mean) * (x - mean)).sum::<f64>() / count)
        })
        .unzip()
}

/// As [`crate::norm::normalize`].
pub fn normalize(x: &[f64], norm: &BatchNorm<'_, f64>, beta: &[f64]) -> Vec<f64> {
    let mut y = x.to_vec();
    for channel in 0..norm.layout.channels {
        for place in places(norm.layout, channel) {
            let std = (norm.var[channel] + norm.eps).sqrt();
            y[place] = (x[place] - norm.mean[channel]) / std * norm.gamma[channel] + beta[channel];
        }
    }
    y
}

/// The gradients to `x`, gamma and beta.
pub type Gradients = (Vec<f64>, Vec<f64>, Vec<f64>);

/// As [`crate::norm::backward_eval`], which puts the first of them in the place of `dy`.
pub fn backward_eval(x: &[f64], dy: &[f64], norm: &BatchNorm<'_, f64>) -> Gradients {
    let channels = norm.layout.channels;
    let (mut dx, mut dgamma, mut dbeta) = (dy.to_vec(), vec![0.0; channels], vec![0.0; channels]);
    for channel in 0..channels {
        let std = (norm.var[channel] + norm.eps).sqrt();
        for place in places(norm.layout, channel) {
            dbeta[channel] += dy[place];
            dgamma[channel] += dy[place] * (x[place] - norm.mean[channel]) / std;
            dx[place] = dy[place] * norm.gamma[channel] / std;
        }
    }
    (dx, dgamma, dbeta)
}

/// As [`crate::norm::backward_train`], likewise.
pub fn backward_train(x: &[f64], dy: &[f64], norm: &BatchNorm<'_, f64>) -> Gradients {
    let (mut dx, dgamma, dbeta) = backward_eval(x, dy, norm);
    let count = (norm.layout.outer * norm.layout.inner) as f64;
    for channel in 0..norm.layout.channels {
        let std = (norm.var[channel] + norm.eps).sqrt();
        for place in places(norm.layout, channel) {
            let normalized = (x[place] - norm.mean[channel]) / std;
            let through_stats = dbeta[channel] + normalized * dgamma[channel];
            dx[place] -= norm.gamma[channel] / std * through_stats / count;
        }
    }
    (dx, dgamma, dbeta)
}
