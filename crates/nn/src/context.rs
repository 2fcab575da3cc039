//! What a forward pass needs besides its input.

use std::time::Instant;

use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_autograd::{Float, Mode, Tensor};

use crate::error::Result;
use crate::module::{Item, Module, push};

/// What one forward pass needs besides its input: the mode, random numbers, and whoever looks on.
///
/// ```
/// use topedge_autograd::Tensor;
/// use topedge_nn::layers::{Flatten, Relu, Sequential};
/// use topedge_nn::{Context, Module};
///
/// let mut net: Sequential = Sequential::new().push(Relu).push(Flatten);
/// let mut seen = vec![];
/// let mut cx = Context::eval();
/// cx.observer = Some(Box::new(|layer| {
///     seen.push(format!("{} {} {:?}", layer.path, layer.module.kind(), layer.output.shape()));
/// }));
/// net.forward(&Tensor::ones(&[2, 1, 3, 3])?, &mut cx)?;
/// drop(cx);
/// assert_eq!(seen, ["0 ReLU [2, 1, 3, 3]", "1 Flatten [2, 9]"]);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
pub struct Context<'a, T: Float = f32> {
    /// Whether layers behave as in training or as in evaluation.
    pub mode: Mode,
    /// Where dropout takes its random numbers. A clone of it repeats them.
    pub rng: Pcg64,
    /// Who is told about the output of each layer that has no layers inside.
    pub observer: Option<Observer<'a, T>>,
    path: String,
}

/// Who is told about the outputs of layers.
pub type Observer<'a, T = f32> = Box<dyn FnMut(&mut Observed<'_, T>) + Send + 'a>;

/// A layer that has just run.
pub struct Observed<'a, T: Float = f32> {
    /// Where the layer stands in the network, as in `0.2`.
    pub path: &'a str,
    /// The layer.
    pub module: &'a dyn Module<T>,
    /// The shape of what it was given.
    pub input_shape: &'a [usize],
    /// What it returned. An observer may put another tensor in its place.
    pub output: &'a mut Tensor<T>,
    /// What it took, in seconds.
    pub seconds: f64,
}

impl<'a, T: Float> Context<'a, T> {
    /// A context to train in: batch norm takes the statistics of the batch, dropout draws from a
    /// generator with this seed.
    pub fn train(seed: u64) -> Self {
        Self::new(Mode::Train, seed)
    }

    /// A context to evaluate in, where nothing is random.
    pub fn eval() -> Self {
        Self::new(Mode::Eval, 0)
    }

    fn new(mode: Mode, seed: u64) -> Self {
        Context { mode, rng: Pcg64::seed_from_u64(seed), observer: None, path: String::new() }
    }

    /// Runs `f` in this context, with `observer` looking on after the one that is there already.
    pub(crate) fn observed_by<'b, R>(
        &'b mut self,
        mut observer: Observer<'b, T>,
        f: impl FnOnce(&mut Context<'b, T>) -> R,
    ) -> R {
        let Context { mode, rng, observer: outer, .. } = self;
        let both: Observer<'b, T> = match outer {
            None => observer,
            Some(outer) => Box::new(move |layer| {
                outer(layer);
                observer(layer);
            }),
        };
        let path = String::new();
        let mut cx = Context { mode: *mode, rng: rng.clone(), observer: Some(both), path };
        let result = f(&mut cx);
        *rng = cx.rng;
        result
    }

    /// Runs `module`, which its container knows as `name`.
    ///
    /// # Errors
    ///
    /// What goes wrong in it, with its path, kind and input shape.
    pub fn call(
        &mut self,
        name: &str,
        module: &mut dyn Module<T>,
        x: &Tensor<T>,
    ) -> Result<Tensor<T>> {
        let parent = push(&mut self.path, name);
        let start = self.observer.is_some().then(Instant::now);
        let mut result = module.forward(x, self);
        if let (Ok(output), Some(observer), Some(start)) = (&mut result, &mut self.observer, start)
            && is_leaf(module)
        {
            let seconds = start.elapsed().as_secs_f64();
            let (path, input_shape) = (&*self.path, x.shape());
            observer(&mut Observed { path, module, input_shape, output, seconds });
        }
        self.path.truncate(parent);
        result.map_err(|error| error.in_layer(name, module, x.shape()))
    }

    /// Runs a ReLU and then `module`, which its container knows as `name`, at once; `None` if somebody is to
    /// be told about the ReLU's output, or the two are better run one after the other.
    pub(crate) fn call_relu(
        &mut self,
        name: &str,
        module: &mut dyn Module<T>,
        x: &Tensor<T>,
    ) -> Option<Result<Tensor<T>>> {
        if self.observer.is_some() {
            return None;
        }
        let parent = push(&mut self.path, name);
        let result = module.forward_relu(x, self);
        self.path.truncate(parent);
        result.map(|result| result.map_err(|error| error.in_layer(name, module, x.shape())))
    }
}

fn is_leaf<T: Float>(module: &dyn Module<T>) -> bool {
    let mut leaf = true;
    module.visit(&mut |_, item| leaf &= !matches!(item, Item::Module(_)));
    leaf
}

impl<T: Float> std::fmt::Debug for Context<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("mode", &self.mode)
            .field("path", &self.path)
            .field("observed", &self.observer.is_some())
            .finish_non_exhaustive()
    }
}
