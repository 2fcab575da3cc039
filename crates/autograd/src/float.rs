//! The number types that tensors hold.

use topedge_kernels::Element;

use crate::pool::Pooled;
use crate::tape::Recorded;

/// `f32`, in which networks are trained, or `f64`, in which gradients are checked. Sealed.
pub trait Float: Element + Pooled + Recorded {}

impl Float for f32 {}
impl Float for f64 {}
