//! What a layer is, and how to go through the parameters of a network.

use topedge_autograd::{Float, Tensor};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::inference::Evaluation;
use crate::receptive_field::Reach;
use crate::trace::Precedents;

/// A layer, or a network of them.
///
/// What it owns it shows in [`visit`](Module::visit) and [`visit_mut`](Module::visit_mut), under
/// PyTorch's names: optimisers, state dicts and summaries all go through these two.
///
/// ```
/// use topedge_autograd::Tensor;
/// use topedge_nn::{Context, Item, ItemMut, Module, Parameter, ParameterKind, Result};
///
/// /// `y = scale * x`, with one scale for everything.
/// struct Scale {
///     scale: Parameter,
/// }
///
/// impl Module for Scale {
///     fn kind(&self) -> &'static str {
///         "Scale"
///     }
///     fn forward(&mut self, x: &Tensor, _: &mut Context<'_>) -> Result<Tensor> {
///         Ok(x.mul(&self.scale.value)?)
///     }
///     fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
///         Ok(input.to_vec())
///     }
///     fn visit<'a>(&'a self, f: &mut dyn FnMut(&str, Item<'a>)) {
///         f("scale", Item::Parameter(&self.scale));
///     }
///     fn visit_mut<'a>(&'a mut self, f: &mut dyn FnMut(&str, ItemMut<'a>)) {
///         f("scale", ItemMut::Parameter(&mut self.scale));
///     }
/// }
///
/// let mut layer = Scale { scale: Parameter::new(Tensor::ones(&[1])?, ParameterKind::Weight) };
/// let y = layer.forward(&Tensor::ones(&[2, 3])?, &mut Context::eval())?;
/// assert_eq!(y.shape(), [2, 3]);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
pub trait Module<T: Float = f32>: Send {
    /// The name of the layer's type, as PyTorch has it: `Conv2d`.
    fn kind(&self) -> &'static str;

    /// The layer's configuration in words, as PyTorch prints it between the brackets.
    fn config(&self) -> String {
        String::new()
    }

    /// The output for `x`. Containers call their layers through [`Context::call`].
    ///
    /// # Errors
    ///
    /// When `x` has a shape that the layer cannot take.
    fn forward(&mut self, x: &Tensor<T>, cx: &mut Context<'_, T>) -> Result<Tensor<T>>;

    /// The output for `max(x, 0)`, to the bit what [`forward`](Self::forward) makes of a ReLU's output; or
    /// `None` where doing both at once saves nothing. [`Sequential`](crate::layers::Sequential) asks where
    /// this layer follows a ReLU and nobody looks at what is between.
    fn forward_relu(
        &mut self,
        _x: &Tensor<T>,
        _cx: &mut Context<'_, T>,
    ) -> Option<Result<Tensor<T>>> {
        None
    }

    /// The shape of the output for an input of shape `input`.
    ///
    /// # Errors
    ///
    /// When the layer cannot take such an input.
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>>;

    /// Which part of the input one position of the output depends on. All of it, if the layer does
    /// not say.
    fn reach(&self) -> Reach {
        Reach::All
    }

    /// What the layer computes in evaluation, for a [`Predictor`](crate::Predictor). One that does not
    /// say cannot be part of such.
    fn evaluation(&self) -> Evaluation<'_, T> {
        Evaluation::Other
    }

    /// What the activation `at` (`[channel, row, column]`, or `[feature]`) of the output was made of in
    /// evaluation, for the first input of the batch `x`.
    ///
    /// # Errors
    ///
    /// When there is no such activation, or the layer does not say what it makes them of.
    fn precedents(&self, x: &Tensor<T>, at: &[usize]) -> Result<Precedents> {
        let _ = (x, at);
        let layer = format!("{}({})", self.kind(), self.config());
        Err(Error::setting("layer to trace", layer, "one that implements Module::precedents"))
    }

    /// Calls `f` with the name of each thing that the layer owns directly: its parameters, then
    /// its buffers, then its sublayers.
    fn visit<'a>(&'a self, f: &mut dyn FnMut(&str, Item<'a, T>)) {
        let _ = f;
    }

    /// As [`visit`](Module::visit), in the same order, to change them.
    fn visit_mut<'a>(&'a mut self, f: &mut dyn FnMut(&str, ItemMut<'a, T>)) {
        let _ = f;
    }
}

/// Something that a layer owns.
pub enum Item<'a, T: Float = f32> {
    /// What training changes.
    Parameter(&'a Parameter<T>),
    /// Values that belong to the layer's state but are not trained: running statistics.
    Buffer(&'a [T]),
    /// A count that belongs to the layer's state.
    Counter(u64),
    /// A layer inside this one.
    Module(&'a dyn Module<T>),
}

/// Something that a layer owns, to be changed.
pub enum ItemMut<'a, T: Float = f32> {
    /// What training changes.
    Parameter(&'a mut Parameter<T>),
    /// Values that belong to the layer's state but are not trained: running statistics.
    Buffer(&'a mut [T]),
    /// A count that belongs to the layer's state.
    Counter(&'a mut u64),
    /// A layer inside this one.
    Module(&'a mut dyn Module<T>),
}

/// A tensor that is trained: a leaf of the tape, which collects its gradient.
#[derive(Clone, Debug)]
pub struct Parameter<T: Float = f32> {
    /// The values, and the gradient with them.
    pub value: Tensor<T>,
    /// What the parameter is for.
    pub kind: ParameterKind,
    /// What the optimiser's learning rate is multiplied with for this parameter. 1 at first.
    pub lr_scale: f64,
}

impl<T: Float> Parameter<T> {
    /// A parameter that starts as `value`.
    pub fn new(value: Tensor<T>, kind: ParameterKind) -> Self {
        Parameter { value: value.requires_grad(), kind, lr_scale: 1.0 }
    }

    /// Whether training changes it: it is not frozen.
    pub fn is_trainable(&self) -> bool {
        self.value.is_leaf()
    }

    /// Keeps it as it is: no gradient is computed for it, or for what only it depends on.
    pub fn freeze(&mut self) {
        self.value = self.value.detach();
    }

    /// Lets training change it again.
    pub fn unfreeze(&mut self) {
        if !self.is_trainable() {
            self.value = self.value.clone().requires_grad();
        }
    }

    /// Puts `value` in its place. What is frozen stays frozen.
    pub fn set(&mut self, value: Tensor<T>) {
        self.value = if self.is_trainable() { value.requires_grad() } else { value.detach() };
    }
}

/// What a parameter is for. Weight decay is for weights alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// A weight, which multiplies inputs.
    Weight,
    /// A bias, which is added.
    Bias,
    /// Scale or shift of a normalisation.
    Norm,
}

/// Kind and configuration of a layer, as in `Dropout(p=0.5)`.
pub fn describe<T: Float>(module: &dyn Module<T>) -> String {
    format!("{}({})", module.kind(), module.config())
}

/// Calls `f` with everything in `module`, sublayers before what they hold, each with its path:
/// names joined by dots, as in PyTorch's `state_dict`.
pub fn walk<'a, T: Float>(module: &'a dyn Module<T>, f: &mut dyn FnMut(&str, Item<'a, T>)) {
    fn step<'a, T: Float>(
        module: &'a dyn Module<T>,
        path: &mut String,
        f: &mut dyn FnMut(&str, Item<'a, T>),
    ) {
        module.visit(&mut |name, item| {
            let parent = push(path, name);
            match item {
                Item::Module(child) => {
                    f(path, Item::Module(child));
                    step(child, path, f);
                }
                item => f(path, item),
            }
            path.truncate(parent);
        });
    }
    step(module, &mut String::new(), f);
}

/// Calls `f` with everything in `module` that can be changed, each with its path, in the order of
/// [`walk`].
pub fn walk_mut<'a, T: Float>(
    module: &'a mut dyn Module<T>,
    f: &mut dyn FnMut(&str, ItemMut<'a, T>),
) {
    fn step<'a, T: Float>(
        module: &'a mut dyn Module<T>,
        path: &mut String,
        f: &mut dyn FnMut(&str, ItemMut<'a, T>),
    ) {
        module.visit_mut(&mut |name, item| {
            let parent = push(path, name);
            match item {
                ItemMut::Module(child) => step(child, path, f),
                item => f(path, item),
            }
            path.truncate(parent);
        });
    }
    step(module, &mut String::new(), f);
}

/// Appends a step to a path; returns the length to truncate it to afterwards.
pub(crate) fn push(path: &mut String, name: &str) -> usize {
    let parent = path.len();
    if parent > 0 {
        path.push('.');
    }
    path.push_str(name);
    parent
}

/// The parameters of `module` with their paths.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_nn::layers::{Linear, LinearConfig, Sequential};
///
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
/// let net: Sequential = Sequential::new().push(Linear::new(3, 2, &LinearConfig::default(), &mut rng)?);
/// let names: Vec<_> = topedge_nn::parameters(&net).into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["0.weight", "0.bias"]);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
pub fn parameters<T: Float>(module: &dyn Module<T>) -> Vec<(String, &Parameter<T>)> {
    let mut found = vec![];
    walk(module, &mut |path, item| {
        if let Item::Parameter(parameter) = item {
            found.push((path.to_string(), parameter));
        }
    });
    found
}

/// The number of trained values in `module`.
pub fn parameter_count<T: Float>(module: &dyn Module<T>) -> usize {
    let mut count = 0;
    walk(module, &mut |_, item| {
        if let Item::Parameter(parameter) = item {
            count += parameter.value.len();
        }
    });
    count
}

/// Calls `f` with each parameter of `module`, in the order of [`parameters`], up to the first
/// error.
///
/// # Errors
///
/// The first error of `f`.
pub fn for_each_parameter_mut<T: Float>(
    module: &mut dyn Module<T>,
    mut f: impl FnMut(&mut Parameter<T>) -> Result<()>,
) -> Result<()> {
    fn step<T: Float>(
        module: &mut dyn Module<T>,
        f: &mut dyn FnMut(&mut Parameter<T>) -> Result<()>,
        outcome: &mut Result<()>,
    ) {
        module.visit_mut(&mut |_, item| match item {
            _ if outcome.is_err() => {}
            ItemMut::Parameter(parameter) => *outcome = f(parameter),
            ItemMut::Module(child) => step(child, f, outcome),
            ItemMut::Buffer(_) | ItemMut::Counter(_) => {}
        });
    }
    let mut outcome = Ok(());
    step(module, &mut f, &mut outcome);
    outcome
}

/// Forgets the gradients of all parameters.
pub fn zero_grad<T: Float>(module: &mut dyn Module<T>) {
    let forget = |parameter: &mut Parameter<T>| {
        parameter.value.zero_grad();
        Ok(())
    };
    for_each_parameter_mut(module, forget).expect("forgetting cannot fail");
}
