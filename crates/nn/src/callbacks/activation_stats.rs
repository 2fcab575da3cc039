//! What the layers put out, batch by batch.

use serde::{Deserialize, Serialize};
use topedge_kernels::distribution::{Distribution, distribution};

use super::Histograms;
use crate::context::{Observed, Observer};
use crate::learner::{Callback, Flow, State};
use crate::module::{Item, Module};
use crate::saved_state::SavedState;

/// Records mean, standard deviation and the part near zero of each layer's outputs in each training
/// batch, as fastai's callback of this name; from anew in each fit. Of layers that have parameters,
/// unless told otherwise: of a convolution before its ReLU.
///
/// Its batches are those of the [`Recorder`](super::Recorder).
///
/// ```
/// # use rand::SeedableRng;
/// # use topedge_data::digits::{self, Digits};
/// # use topedge_data::{DataLoaders, LoadersConfig};
/// # use topedge_nn::losses::CrossEntropy;
/// # use topedge_nn::{Learner, Net, NetConfig};
/// use topedge_nn::callbacks::ActivationStats;
///
/// # let splits = digits::generate(&Digits { train: 256, valid: 64, ..Default::default() })?;
/// # let data = DataLoaders::new(&splits, &LoadersConfig::default())?;
/// # let mut rng = rand_pcg::Pcg64::seed_from_u64(42);
/// # let model = Net::SimpleCnn.build(&NetConfig::default(), &mut rng)?;
/// let stats = ActivationStats::default().with_histograms();
/// let mut learner = Learner::new(data, model, CrossEntropy::default()).callback(stats);
/// learner.fit(1, 0.06)?;
/// let stats = learner.find::<ActivationStats>().unwrap();
/// let last_but_one = stats.layer_stats(-2).unwrap();
/// println!("{}: {:?} near zero", last_but_one.layer, last_but_one.near_zero);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
pub struct ActivationStats {
    /// The layers, in the order in which they ran.
    pub layers: Vec<LayerStats>,
    histograms: bool,
    filter: Filter,
    /// Of the batch that is running: the layer's place, and what was seen.
    batch: Vec<(usize, Distribution)>,
    training: bool,
}

/// Which layers are looked at, by their path and the layer itself.
type Filter = Box<dyn Fn(&str, &dyn Module) -> bool + Send + Sync>;

/// What one layer put out in each training batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerStats {
    /// Where the layer stands in the network, as in `0.2`.
    pub path: String,
    /// Its type: `Conv2d`.
    pub layer: String,
    /// The mean of the outputs.
    pub mean: Vec<f64>,
    /// Their standard deviation, unbiased.
    pub std: Vec<f64>,
    /// The part of them that are at most .05, negative ones too.
    pub near_zero: Vec<f64>,
    /// How many lie in each of 40 bins of width .25 from 0 to 10; 10 itself in the last. Empty
    /// unless asked for.
    pub histograms: Histograms,
}

impl Default for ActivationStats {
    fn default() -> Self {
        Self::of(has_parameters)
    }
}

fn has_parameters(_: &str, layer: &dyn Module) -> bool {
    let mut found = false;
    layer.visit(&mut |_, item| found |= matches!(item, Item::Parameter(_)));
    found
}

impl ActivationStats {
    /// Of the layers that `filter` chooses by their path and themselves, among those that have no layers
    /// inside.
    pub fn of(filter: impl Fn(&str, &dyn Module) -> bool + Send + Sync + 'static) -> Self {
        ActivationStats {
            layers: vec![],
            histograms: false,
            filter: Box::new(filter),
            batch: vec![],
            training: false,
        }
    }

    /// With histograms too.
    #[must_use]
    pub fn with_histograms(mut self) -> Self {
        self.histograms = true;
        self
    }

    /// The layer number `i` of those looked at; negative numbers count from the last, -1.
    pub fn layer_stats(&self, i: isize) -> Option<&LayerStats> {
        let place = if i < 0 { self.layers.len().checked_add_signed(i)? } else { i as usize };
        self.layers.get(place)
    }
}

impl std::fmt::Debug for ActivationStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActivationStats").field("layers", &self.layers).finish_non_exhaustive()
    }
}

/// Takes the statistics of what a layer put out, and finds its place among those looked at.
fn take(
    layers: &mut Vec<LayerStats>,
    layer: &Observed<'_>,
    histograms: bool,
) -> (usize, Distribution) {
    let known = layers.iter().position(|known| known.path == layer.path);
    let place = known.unwrap_or_else(|| {
        layers.push(LayerStats {
            path: layer.path.to_string(),
            layer: layer.module.kind().to_string(),
            ..Default::default()
        });
        layers.len() - 1
    });
    let seen = match layer.output.dense_slice() {
        Ok(values) => distribution(values, histograms),
        Err(_) => distribution(&layer.output.to_vec(), histograms),
    };
    (place, seen)
}

impl Callback for ActivationStats {
    fn name(&self) -> &'static str {
        "activation_stats"
    }

    fn config(&self) -> String {
        format!("histograms={}", self.histograms)
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::of(&mut self.layers)
    }

    fn before_fit(&mut self, _: &mut State) -> Flow {
        self.layers.clear();
        Ok(())
    }

    fn before_batch(&mut self, state: &mut State) -> Flow {
        self.training = state.is_training();
        self.batch.clear();
        Ok(())
    }

    fn layer_observer(&mut self) -> Option<Observer<'_>> {
        let ActivationStats { layers, histograms, filter, batch, training } = self;
        training
            .then(|| Observer::of(&*filter, |layer| batch.push(take(layers, layer, *histograms))))
    }

    fn after_batch(&mut self, state: &mut State) -> Flow {
        // A batch that was cancelled early is not on the record either.
        if !self.training || state.loss.is_none() {
            return Ok(());
        }
        for (place, seen) in self.batch.drain(..) {
            let layer = &mut self.layers[place];
            layer.mean.push(seen.mean);
            layer.std.push(seen.std);
            layer.near_zero.push(seen.near_zero);
            if let Some(histogram) = &seen.histogram {
                layer.histograms.push(histogram);
            }
        }
        Ok(())
    }
}
