//! Layers one after another.

use topedge_autograd::{Float, Tensor};

use crate::context::Context;
use crate::error::Result;
use crate::inference::Evaluation;
use crate::module::{Item, ItemMut, Module};
use crate::receptive_field::Reach;

/// Layers one after another, named 0, 1, 2, ... Without any, it returns its input.
///
/// ```
/// use topedge_nn::Module;
/// use topedge_nn::layers::{Flatten, Relu, Sequential};
///
/// let net: Sequential = Sequential::new().push(Relu).push(Flatten);
/// assert_eq!(net.output_shape(&[64, 2, 7, 7])?, [64, 98]);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
pub struct Sequential<T: Float = f32> {
    /// Each with its name, so that a walk has no numbers to format.
    layers: Vec<(String, Box<dyn Module<T>>)>,
}

impl<T: Float> Sequential<T> {
    /// No layers yet.
    pub fn new() -> Self {
        Sequential { layers: vec![] }
    }

    /// With `layer` as the last one.
    #[must_use]
    pub fn push(mut self, layer: impl Module<T> + 'static) -> Self {
        let name = self.layers.len().to_string();
        self.layers.push((name, Box::new(layer)));
        self
    }
}

impl<T: Float> Default for Sequential<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Float> std::fmt::Debug for Sequential<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let layers = self.layers.iter();
        f.debug_map()
            .entries(layers.map(|(name, layer)| (name, crate::module::describe(&**layer))))
            .finish()
    }
}

impl<T: Float> Module<T> for Sequential<T> {
    fn kind(&self) -> &'static str {
        "Sequential"
    }

    fn forward(&mut self, x: &Tensor<T>, cx: &mut Context<'_, T>) -> Result<Tensor<T>> {
        let mut x = x.clone();
        let mut layers = self.layers.iter_mut().peekable();
        while let Some((name, layer)) = layers.next() {
            // By its kind, since this is asked in each step and what it computes would have to be made.
            if layer.kind() == "ReLU"
                && let Some((next_name, next)) = layers.peek_mut()
                && let Some(y) = cx.call_relu((name, &**layer), next_name, &mut **next, &x)
            {
                layers.next();
                x = y?;
            } else {
                x = cx.call(name, &mut **layer, &x)?;
            }
        }
        Ok(x)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        let mut shape = input.to_vec();
        for (name, layer) in &self.layers {
            let output = layer.output_shape(&shape);
            shape = output.map_err(|error| error.in_layer(name, &**layer, &shape))?;
        }
        Ok(shape)
    }

    fn reach(&self) -> Reach {
        Reach::Chain
    }

    fn evaluation(&self) -> Evaluation<'_, T> {
        Evaluation::Chain
    }

    fn visit<'a>(&'a self, f: &mut dyn FnMut(&str, Item<'a, T>)) {
        for (name, layer) in &self.layers {
            f(name, Item::Module(&**layer));
        }
    }

    fn visit_mut<'a>(&'a mut self, f: &mut dyn FnMut(&str, ItemMut<'a, T>)) {
        for (name, layer) in &mut self.layers {
            f(name, ItemMut::Module(&mut **layer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Observer;
    use crate::layers::testing::{check_gradients, rng, tensor};
    use crate::layers::{Flatten, Linear, LinearConfig, Relu};
    use crate::{parameter_count, parameters};

    fn net() -> Sequential<f64> {
        let config = LinearConfig::default();
        let inner =
            Sequential::new().push(Linear::new(6, 4, &config, &mut rng()).unwrap()).push(Relu);
        let last = Linear::new(4, 2, &config, &mut rng()).unwrap();
        Sequential::new().push(Flatten).push(inner).push(last)
    }

    #[test]
    fn names_are_pytorchs() {
        let net = net();
        let names: Vec<_> = parameters(&net).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["1.0.weight", "1.0.bias", "2.weight", "2.bias"]);
        assert_eq!(parameter_count(&net), 6 * 4 + 4 + 4 * 2 + 2);
    }

    #[test]
    fn runs_its_layers_in_turn() {
        let mut net = net();
        let x = tensor(&[3, 2, 3, 1]);
        let y = net.forward(&x, &mut Context::eval()).unwrap();
        assert_eq!(y.shape(), [3, 2]);
        check_gradients(&mut net, &x);
    }

    #[test]
    fn an_error_names_the_layer_and_both_shapes() {
        let mut net = net();
        let expected = "layer 1.0, Linear(in_features=6, out_features=4), with input [3, 8]:";
        let error = net.output_shape(&[3, 2, 4, 1]).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        let error = net.forward(&tensor(&[3, 2, 4, 1]), &mut Context::eval());
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(error.contains("linear"), "{error}");
    }

    #[test]
    fn the_observer_sees_leaves_in_order_with_their_paths() {
        let mut seen = vec![];
        let mut cx = Context::eval();
        cx.observers.push(Observer::all(|layer| seen.push(layer.path.to_string())));
        net().forward(&tensor(&[3, 2, 3, 1]), &mut cx).unwrap();
        drop(cx);
        assert_eq!(seen, ["0", "1.0", "1.1", "2"]);
    }

    #[test]
    fn without_layers_it_is_the_identity() {
        let x = tensor(&[2, 3]);
        let y = Sequential::new().forward(&x, &mut Context::eval()).unwrap();
        assert_eq!(y.to_vec(), x.to_vec());
    }
}
