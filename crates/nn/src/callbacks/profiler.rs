//! What each layer takes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use topedge_autograd::{Backward, Grads, Tensor, record};

use crate::context::{Observed, Observer};
use crate::learner::{Callback, Flow, State};
use crate::saved_state::SavedState;

/// Measures the forward and backward time of each layer over all training batches of a fit, or over some of
/// them; from anew in each. [`Learner::summary`](crate::Learner::summary) shows what it found.
///
/// A layer's backward time lasts from the arrival of its output's gradient until the gradient of a
/// layer before it arrives: of operations between layers, too.
#[derive(Debug)]
pub struct Profiler {
    /// The layers, in the order in which they ran.
    pub layers: Vec<LayerTimes>,
    every: usize,
    measuring: bool,
    /// When the gradient of which layer's output arrived.
    arrivals: Arc<Mutex<Vec<(usize, Instant)>>>,
}

/// The time that a layer took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerTimes {
    /// Where the layer stands in the network, as in `0.2`.
    pub path: String,
    /// Seconds in the forward passes of all batches.
    pub forward_seconds: f64,
    /// Seconds in the backward passes of all batches; 0 if no gradient goes through it.
    pub backward_seconds: f64,
    /// The images of all batches.
    pub images: usize,
}

/// Passes a gradient on, and notes when.
struct Stamp {
    layer: usize,
    arrivals: Arc<Mutex<Vec<(usize, Instant)>>>,
}

impl Backward<f32> for Stamp {
    fn backward(&self, dy: Tensor, grads: &mut Grads<'_>) -> topedge_autograd::Result<()> {
        lock(&self.arrivals).push((self.layer, Instant::now()));
        grads.add(0, || Ok(dy))
    }
}

/// A panic elsewhere cannot have left the list half-changed.
fn lock<T>(list: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Profiler {
    fn default() -> Self {
        Profiler::every(1)
    }
}

impl Profiler {
    /// Measures one training batch of so many, the second first: by then buffers have been made. The others
    /// are as fast as without it.
    pub fn every(batches: usize) -> Self {
        let (layers, arrivals) = Default::default();
        Profiler { layers, every: batches.max(1), measuring: false, arrivals }
    }

    /// Takes the time of a layer, and has its output tell when its gradient arrives.
    fn take(&mut self, layer: &mut Observed<'_>) {
        let known = self.layers.iter().position(|known| known.path == layer.path);
        let place = known.unwrap_or_else(|| {
            let path = layer.path.to_string();
            let (forward_seconds, backward_seconds, images) = (0.0, 0.0, 0);
            self.layers.push(LayerTimes { path, forward_seconds, backward_seconds, images });
            self.layers.len() - 1
        });
        let times = &mut self.layers[place];
        times.forward_seconds += layer.seconds;
        times.images += layer.input_shape.first().copied().unwrap_or(0);
        let arrivals = Arc::clone(&self.arrivals);
        let output = layer.output.clone();
        *layer.output = record(output, &[&*layer.output], |_| Stamp { layer: place, arrivals });
    }
}

impl Callback for Profiler {
    fn name(&self) -> &'static str {
        "profiler"
    }

    fn config(&self) -> String {
        format!("every={}", self.every)
    }

    fn saved_state(&mut self) -> SavedState<'_> {
        SavedState::of(&mut self.layers)
    }

    fn before_fit(&mut self, _: &mut State) -> Flow {
        self.layers.clear();
        Ok(())
    }

    fn before_batch(&mut self, state: &mut State) -> Flow {
        self.measuring = state.is_training() && state.step % self.every == 1 % self.every;
        Ok(())
    }

    fn layer_observer(&mut self) -> Option<Observer<'_>> {
        self.measuring.then(|| Observer::all(|layer| self.take(layer)))
    }

    fn before_backward(&mut self, _: &mut State) -> Flow {
        lock(&self.arrivals).clear();
        Ok(())
    }

    fn after_backward(&mut self, _: &mut State) -> Flow {
        let end = Instant::now();
        let mut arrivals = lock(&self.arrivals);
        let next = arrivals.iter().skip(1).map(|&(_, at)| at).chain([end]);
        for (&(layer, start), end) in arrivals.iter().zip(next) {
            self.layers[layer].backward_seconds += (end - start).as_secs_f64();
        }
        arrivals.clear();
        Ok(())
    }
}
