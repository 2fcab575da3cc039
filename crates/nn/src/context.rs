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
/// use topedge_nn::{Context, Module, Observer};
///
/// let mut net: Sequential = Sequential::new().push(Relu).push(Flatten);
/// let mut seen = vec![];
/// let mut cx = Context::eval();
/// cx.observers.push(Observer::all(|layer| {
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
    /// Who is told about the outputs of layers that have no layers inside, one after the other.
    pub observers: Vec<Observer<'a, T>>,
    path: String,
}

type Wants<'a, T> = dyn Fn(&str, &dyn Module<T>) -> bool + Send + Sync + 'a;
type Tell<'a, T> = dyn FnMut(&mut Observed<'_, T>) + Send + 'a;

/// Who is told about the outputs of layers. Layers that nobody wants to be told about may run together with
/// others.
pub struct Observer<'a, T: Float = f32> {
    wants: Box<Wants<'a, T>>,
    tell: Box<Tell<'a, T>>,
}

impl<'a, T: Float> Observer<'a, T> {
    /// Is told about all layers.
    pub fn all(tell: impl FnMut(&mut Observed<'_, T>) + Send + 'a) -> Self {
        Self::of(|_, _| true, tell)
    }

    /// Is told about the layers that it wants, by their path and the layer itself.
    pub fn of(
        wants: impl Fn(&str, &dyn Module<T>) -> bool + Send + Sync + 'a,
        tell: impl FnMut(&mut Observed<'_, T>) + Send + 'a,
    ) -> Self {
        Observer { wants: Box::new(wants), tell: Box::new(tell) }
    }

    /// The same one, told through `by`.
    pub(crate) fn through(self, by: impl Fn(&mut dyn FnMut()) + Send + 'a) -> Self {
        let Observer { wants, mut tell } = self;
        Observer { wants, tell: Box::new(move |layer| by(&mut || tell(layer))) }
    }

    /// Tells it about a layer, if it wants that.
    pub fn tell(&mut self, layer: &mut Observed<'_, T>) {
        if (self.wants)(layer.path, layer.module) {
            (self.tell)(layer);
        }
    }
}

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
        Context { mode, rng: Pcg64::seed_from_u64(seed), observers: vec![], path: String::new() }
    }

    /// Runs `f` in this context, with more observers.
    pub(crate) fn observed_by<'b, R>(
        &'b mut self,
        more: impl IntoIterator<Item = Observer<'b, T>>,
        f: impl FnOnce(&mut Context<'b, T>) -> R,
    ) -> R {
        let Context { mode, rng, observers, .. } = self;
        let observers = observers.iter_mut().map(|Observer { wants, tell }| {
            let (wants, tell) = (Box::new(&*wants), Box::new(tell));
            Observer { wants, tell }
        });
        let observers = observers.chain(more).collect();
        let mut cx = Context { mode: *mode, rng: rng.clone(), observers, path: String::new() };
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
        let start = self.is_observed(module).then(Instant::now);
        let mut result = module.forward(x, self);
        if let (Ok(output), Some(start)) = (&mut result, start) {
            self.tell(module, x, output, start);
        }
        self.path.truncate(parent);
        result.map_err(|error| error.in_layer(name, module, x.shape()))
    }

    /// Runs the ReLU `relu.1` and then `module` at once, which their container knows as `relu.0` and `name`;
    /// `None` if somebody is to be told about the ReLU's output, or the two are better run one after the
    /// other.
    pub(crate) fn call_relu(
        &mut self,
        relu: (&str, &dyn Module<T>),
        name: &str,
        module: &mut dyn Module<T>,
        x: &Tensor<T>,
    ) -> Option<Result<Tensor<T>>> {
        let parent = push(&mut self.path, relu.0);
        let observed = self.is_observed(relu.1);
        self.path.truncate(parent);
        if observed {
            return None;
        }
        push(&mut self.path, name);
        let start = self.is_observed(module).then(Instant::now);
        let mut result = module.forward_relu(x, self);
        if let (Some(Ok(output)), Some(start)) = (&mut result, start) {
            self.tell(module, x, output, start);
        }
        self.path.truncate(parent);
        result.map(|result| result.map_err(|error| error.in_layer(name, module, x.shape())))
    }

    /// Whether somebody is to be told about `module`, which stands at the path that is set.
    fn is_observed(&self, module: &dyn Module<T>) -> bool {
        let path = &*self.path;
        self.observers.iter().any(|observer| (observer.wants)(path, module)) && is_leaf(module)
    }

    fn tell(
        &mut self,
        module: &dyn Module<T>,
        x: &Tensor<T>,
        output: &mut Tensor<T>,
        start: Instant,
    ) {
        let seconds = start.elapsed().as_secs_f64();
        let (path, input_shape) = (&*self.path, x.shape());
        for observer in &mut self.observers {
            observer.tell(&mut Observed { path, module, input_shape, output, seconds });
        }
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
            .field("observers", &self.observers.len())
            .finish_non_exhaustive()
    }
}
