//! Leaves: tensors that keep a gradient.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::float::Float;
use crate::layout::Layout;
use crate::tensor::{Origin, Tensor};

/// Where the gradient of a leaf, and of all its clones, gathers.
pub(crate) struct Leaf<T: Float> {
    /// The leaf's own: its gradient is laid out alike, so that optimisers can walk both in step.
    layout: Layout,
    grad: Mutex<Option<Tensor<T>>>,
}

impl<T: Float> Leaf<T> {
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    fn grad(&self) -> MutexGuard<'_, Option<Tensor<T>>> {
        // A panic elsewhere leaves either the old gradient or the new one here.
        self.grad.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `gradient`, of the leaf's shape, to what has gathered.
    pub(crate) fn accumulate(&self, gradient: Tensor<T>) -> Result<()> {
        let gradient = gradient.in_layout(&self.layout);
        accumulate(&mut self.grad(), gradient)
    }
}

/// Adds `gradient` to `sum`, in place where nobody shares it.
pub(crate) fn accumulate<T: Float>(sum: &mut Option<Tensor<T>>, gradient: Tensor<T>) -> Result<()> {
    *sum = Some(match sum.take() {
        None => gradient,
        Some(mut sum) if !sum.is_shared() => {
            let gradient = gradient.in_layout(&sum.layout().with_shape(sum.layout().shape));
            topedge_kernels::elementwise::add_assign(sum.make_mut(), gradient.dense())?;
            sum
        }
        Some(sum) => sum.add(&gradient)?,
    });
    Ok(())
}

/// Gradients of leaves.
impl<T: Float> Tensor<T> {
    /// A leaf with these values: [`Tape::backward`](crate::Tape::backward) adds to its gradient.
    ///
    /// Clones of a leaf are the same leaf.
    ///
    /// ```
    /// use topedge_autograd::{Tape, Tensor};
    ///
    /// let x = Tensor::scalar(3.0f32).requires_grad();
    /// let tape = Tape::new();
    /// tape.backward(&x.mul(&x)?)?;
    /// assert_eq!(x.grad().unwrap().item()?, 6.0);
    /// # Ok::<(), topedge_autograd::Error>(())
    /// ```
    pub fn requires_grad(self) -> Self {
        let values = self.without_gaps();
        let leaf = Leaf { layout: *values.layout(), grad: Mutex::new(None) };
        values.with_origin(Origin::Leaf(Arc::new(leaf)))
    }

    /// Whether this is a leaf, which keeps a gradient.
    pub fn is_leaf(&self) -> bool {
        matches!(self.origin(), Origin::Leaf(_))
    }

    /// The gradient that has gathered, laid out in memory as the leaf; `None` before the first
    /// backward, and for what is not a leaf.
    pub fn grad(&self) -> Option<Self> {
        match self.origin() {
            Origin::Leaf(leaf) => leaf.grad().clone(),
            _ => None,
        }
    }

    /// The gradient that has gathered, leaving none.
    pub fn take_grad(&self) -> Option<Self> {
        match self.origin() {
            Origin::Leaf(leaf) => leaf.grad().take(),
            _ => None,
        }
    }

    /// Forgets the gradient that has gathered.
    pub fn zero_grad(&self) {
        self.take_grad();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::Tape;
    use crate::testing::random;

    #[test]
    fn a_gradient_lies_as_its_leaf() {
        let x = random(1, &[3, 4]).transpose(0, 1).unwrap().requires_grad();
        assert_eq!(x.strides(), [1, 4]);
        let tape = Tape::new();
        tape.backward_with(&x.contiguous(), &random(2, &[4, 3])).unwrap();
        assert_eq!(x.grad().unwrap().strides(), [1, 4]);
        assert_eq!(x.grad().unwrap().to_vec(), random(2, &[4, 3]).to_vec());
    }

    #[test]
    fn a_changed_leaf_keeps_its_gradient() {
        let mut x = Tensor::scalar(2.0f32).requires_grad();
        let before = x.clone();
        let tape = Tape::new();
        let y = x.mul(&x).unwrap();
        x.make_mut()[0] = 100.0;
        tape.backward(&y).unwrap();
        assert!(x.is_leaf());
        assert_eq!((x.item(), before.item()), (Ok(100.0), Ok(2.0)));
        assert_eq!(x.grad().unwrap().item(), Ok(4.0));
        assert_eq!(before.take_grad().unwrap().item(), Ok(4.0));
        assert!(x.grad().is_none());
    }

    #[test]
    fn what_is_no_leaf_has_no_gradient() {
        let x = Tensor::scalar(2.0f32);
        x.zero_grad();
        assert!(x.grad().is_none() && !x.is_leaf());
        let leaf = x.requires_grad();
        assert!(!leaf.detach().is_leaf());
        let other = leaf.clone().requires_grad();
        let tape = Tape::new();
        tape.backward(&other.add_scalar(1.0)).unwrap();
        assert!(leaf.grad().is_none() && other.grad().is_some());
    }
}
