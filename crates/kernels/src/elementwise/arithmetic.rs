//! Arithmetic, powers and logarithms.

use super::lanes::{Lanes, each, lanes};
use crate::arch::{MAX_LANES, Vector};
use crate::element::Element;
use crate::error::Result;

lanes!(Add, 2 -> 1, cost 1, |[a, b], _| [a.add(b)]);

/// `y = a + b`.
///
/// # Errors
///
/// If the lengths differ.
pub fn add<T: Element>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    each("add", Add, [("a", a), ("b", b)], [("y", y)])
}

lanes!(Sub, 2 -> 1, cost 1, |[a, b], _| [a.sub(b)]);

/// `y = a - b`.
///
/// # Errors
///
/// If the lengths differ.
pub fn sub<T: Element>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    each("sub", Sub, [("a", a), ("b", b)], [("y", y)])
}

lanes!(Mul, 2 -> 1, cost 1, |[a, b], _| [a.mul(b)]);

/// `y = a * b`.
///
/// # Errors
///
/// If the lengths differ.
pub fn mul<T: Element>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    each("mul", Mul, [("a", a), ("b", b)], [("y", y)])
}

lanes!(Div, 2 -> 1, cost 1, |[a, b], _| [a.div(b)]);

/// `y = a / b`.
///
/// # Errors
///
/// If the lengths differ.
pub fn div<T: Element>(a: &[T], b: &[T], y: &mut [T]) -> Result<()> {
    each("div", Div, [("a", a), ("b", b)], [("y", y)])
}

lanes!(AddAssign, 1 -> 1, cost 1, |[x], [y]| [y.add(x)]);

/// `y += x`.
///
/// # Errors
///
/// If the lengths differ.
pub fn add_assign<T: Element>(y: &mut [T], x: &[T]) -> Result<()> {
    each("add_assign", AddAssign, [("x", x)], [("y", y)])
}

lanes!(Axpy { alpha }, 1 -> 1, cost 1, |[x], [y]| [alpha.mul_add(x, y)]);

/// `y += alpha * x`.
///
/// # Errors
///
/// If the lengths differ.
pub fn axpy<T: Element>(alpha: T, x: &[T], y: &mut [T]) -> Result<()> {
    each("axpy", Axpy { alpha }, [("x", x)], [("y", y)])
}

lanes!(Scale { alpha }, 1 -> 1, cost 1, |[x], _| [x.mul(alpha)]);

/// `y = alpha * x`.
///
/// # Errors
///
/// If the lengths differ.
pub fn scale<T: Element>(x: &[T], alpha: T, y: &mut [T]) -> Result<()> {
    each("scale", Scale { alpha }, [("x", x)], [("y", y)])
}

lanes!(AddScalar { s }, 1 -> 1, cost 1, |[x], _| [x.add(s)]);

/// `y = x + s`.
///
/// # Errors
///
/// If the lengths differ.
pub fn add_scalar<T: Element>(x: &[T], s: T, y: &mut [T]) -> Result<()> {
    each("add_scalar", AddScalar { s }, [("x", x)], [("y", y)])
}

lanes!(Sqrt, 1 -> 1, cost 1, |[x], _| [x.sqrt()]);

/// The square root of each element.
///
/// # Errors
///
/// If the lengths differ.
pub fn sqrt<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    each("sqrt", Sqrt, [("x", x)], [("y", y)])
}

lanes!(Exp, 1 -> 1, cost 4, |[x], _| [x.exp()]);

/// `y = e^x`.
///
/// # Errors
///
/// If the lengths differ.
pub fn exp<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    each("exp", Exp, [("x", x)], [("y", y)])
}

/// Applies `f` to each lane on its own, in double precision.
#[inline(always)]
pub(crate) fn lane_by_lane<V: Vector>(x: V, f: impl Fn(f64) -> f64) -> V {
    let mut lanes = [V::Elem::ZERO; MAX_LANES];
    x.write_to(&mut lanes);
    for lane in &mut lanes[..V::LANES] {
        *lane = V::Elem::from_f64(f(lane.to_f64()));
    }
    V::from_slice(&lanes)
}

lanes!(Ln, 1 -> 1, cost 16, |[x], _| [lane_by_lane(x, f64::ln)]);

/// The natural logarithm of each element.
///
/// # Errors
///
/// If the lengths differ.
pub fn ln<T: Element>(x: &[T], y: &mut [T]) -> Result<()> {
    each("ln", Ln, [("x", x)], [("y", y)])
}

#[derive(Clone, Copy)]
struct Powf(f64);

impl<T: Element> Lanes<T, 1, 1> for Powf {
    const COST: usize = 16;

    #[inline(always)]
    fn apply<V: Vector<Elem = T>>(self, [x]: [V; 1], _: [V; 1]) -> [V; 1] {
        [lane_by_lane(x, |x| x.powf(self.0))]
    }
}

/// `y = x^p`: a square is one multiplication, any other power a call of `powf`.
///
/// # Errors
///
/// If the lengths differ.
pub fn powf<T: Element>(x: &[T], p: T, y: &mut [T]) -> Result<()> {
    if p == T::from_f64(2.0) {
        each("powf", Mul, [("x", x), ("x", x)], [("y", y)])
    } else {
        each("powf", Powf(p.to_f64()), [("x", x)], [("y", y)])
    }
}
