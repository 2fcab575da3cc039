//! The transcendental functions, on vectors of `f32`.

use crate::arch::Vector;

/// e^x.
#[inline(always)]
pub(crate) fn exp<V: Vector<Elem = f32>>(x: V) -> V {
    x
}

/// Hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<V: Vector<Elem = f32>>(x: V) -> V {
    x
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid<V: Vector<Elem = f32>>(x: V) -> V {
    x
}

/// The error function.
#[inline(always)]
pub(crate) fn erf<V: Vector<Elem = f32>>(x: V) -> V {
    x
}
