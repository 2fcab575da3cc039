//! The matrices of F(4x4, 3x3), each written out on vectors.
//!
//! In one dimension: `y = output(kernel(g) * input(d))`, with the product taken number by number,
//! are the four outputs of three taps `g` on six inputs `d`; in two dimensions each transform runs
//! down the columns and then along the rows (Lavin and Gray, "Fast Algorithms for Convolutional
//! Neural Networks", 2015). This is linear in `g`, so the gradient of the taps is
//! `kernel_gradient(output_gradient(dy) * input(d))`, with the transposed matrices.
//!
//! The method evaluates polynomials at 0, ±A, ±B and infinity. On random numbers the error with the
//! points 1 and 2 of the paper is twice that with these on average, and three to four times at its
//! largest. All constants but those of [`kernel`] are exact in `f32`.

use crate::arch::Vector;
use crate::element::Element;

/// Outputs of a tile along an axis.
pub(in super::super) const OUT: usize = 4;
/// Inputs that a tile sees along an axis, and products.
pub(in super::super) const IN: usize = 6;
/// Taps along an axis.
pub(in super::super) const TAPS: usize = 3;
/// Products of a tile.
pub(in super::super) const PRODUCTS: usize = IN * IN;

const A: f64 = 0.625;
const B: f64 = 1.5;

#[inline(always)]
fn constant<V: Vector>(x: f64) -> V {
    V::splat(V::Elem::from_f64(x))
}

#[inline(always)]
fn input<V: Vector>(d: [V; IN]) -> [V; IN] {
    let (a, b) = (constant::<V>(A), constant::<V>(B));
    let (minus_a2, minus_b2) = (constant::<V>(-A * A), constant::<V>(-B * B));
    let (product, minus_sum) = (constant::<V>(A * A * B * B), constant::<V>(-(A * A + B * B)));
    let (even_a, odd_a) = (minus_b2.mul_add(d[2], d[4]), minus_b2.mul_add(d[1], d[3]).mul(a));
    let (even_b, odd_b) = (minus_a2.mul_add(d[2], d[4]), minus_a2.mul_add(d[1], d[3]).mul(b));
    [
        product.mul_add(d[0], minus_sum.mul_add(d[2], d[4])),
        even_a.add(odd_a),
        even_a.sub(odd_a),
        even_b.add(odd_b),
        even_b.sub(odd_b),
        product.mul_add(d[1], minus_sum.mul_add(d[3], d[5])),
    ]
}

#[inline(always)]
fn output<V: Vector>(m: [V; IN]) -> [V; OUT] {
    let (even_a, odd_a) = (m[1].add(m[2]), m[1].sub(m[2]));
    let (even_b, odd_b) = (m[3].add(m[4]), m[3].sub(m[4]));
    let sum = |power: i32, a: V, b: V| {
        constant::<V>(A.powi(power)).mul_add(a, constant::<V>(B.powi(power)).mul(b))
    };
    [
        m[0].add(even_a).add(even_b),
        sum(1, odd_a, odd_b),
        sum(2, even_a, even_b),
        sum(3, odd_a, odd_b).add(m[5]),
    ]
}

#[inline(always)]
fn kernel<V: Vector>(g: [V; TAPS]) -> [V; IN] {
    let (a2, b2) = (A * A, B * B);
    let at = |scale: f64, point: f64| {
        let even =
            constant::<V>(scale * point * point).mul_add(g[2], constant::<V>(scale).mul(g[0]));
        let odd = constant::<V>(scale * point).mul(g[1]);
        [even.add(odd), even.sub(odd)]
    };
    let [plus_a, minus_a] = at(1.0 / (2.0 * a2 * (a2 - b2)), A);
    let [plus_b, minus_b] = at(1.0 / (2.0 * b2 * (b2 - a2)), B);
    [constant::<V>(1.0 / (a2 * b2)).mul(g[0]), plus_a, minus_a, plus_b, minus_b, g[2]]
}

/// The transpose of [`output`].
#[inline(always)]
fn output_gradient<V: Vector>(y: [V; OUT]) -> [V; IN] {
    let at = |point: f64| {
        let even = constant::<V>(point * point).mul_add(y[2], y[0]);
        let cube = constant::<V>(point.powi(3));
        let odd = cube.mul_add(y[3], constant::<V>(point).mul(y[1]));
        [even.add(odd), even.sub(odd)]
    };
    let ([plus_a, minus_a], [plus_b, minus_b]) = (at(A), at(B));
    [y[0], plus_a, minus_a, plus_b, minus_b, y[3]]
}

/// The transpose of [`kernel`].
#[inline(always)]
fn kernel_gradient<V: Vector>(u: [V; IN]) -> [V; TAPS] {
    let (a2, b2) = (A * A, B * B);
    let [scale_a, scale_b] = [1.0 / (2.0 * a2 * (a2 - b2)), 1.0 / (2.0 * b2 * (b2 - a2))];
    let (even_a, odd_a) = (u[1].add(u[2]), u[1].sub(u[2]));
    let (even_b, odd_b) = (u[3].add(u[4]), u[3].sub(u[4]));
    let sum = |power: i32, a: V, b: V, more: V| {
        let b = constant::<V>(scale_b * B.powi(power)).mul_add(b, more);
        constant::<V>(scale_a * A.powi(power)).mul_add(a, b)
    };
    let zero = V::splat(V::Elem::ZERO);
    [
        sum(0, even_a, even_b, constant::<V>(1.0 / (a2 * b2)).mul(u[0])),
        sum(1, odd_a, odd_b, zero),
        sum(2, even_a, even_b, u[5]),
    ]
}

/// Defines a transform in two dimensions by the one in one.
macro_rules! both_axes {
    ($(#[$doc:meta])* $name:ident, $axis:ident, $from:ident to $to:ident) => {
        $(#[$doc])*
        #[inline(always)]
        pub(in super::super) fn $name<V: Vector>(
            get: impl Fn([usize; 2]) -> V,
            mut put: impl FnMut([usize; 2], V),
        ) {
            let mut columns = [[V::splat(V::Elem::ZERO); $from]; $to];
            for w in 0..$from {
                let mut column = [V::splat(V::Elem::ZERO); $from];
                for h in 0..$from {
                    column[h] = get([h, w]);
                }
                for (row, x) in columns.iter_mut().zip($axis(column)) {
                    row[w] = x;
                }
            }
            for (h, row) in columns.into_iter().enumerate() {
                for (w, x) in $axis(row).into_iter().enumerate() {
                    put([h, w], x);
                }
            }
        }
    };
}

both_axes! {
    /// From the inputs of tiles to what is multiplied.
    input_tile, input, IN to IN
}
both_axes! {
    /// From sums of products to outputs.
    output_tile, output, IN to OUT
}
both_axes! {
    /// From taps to what is multiplied.
    kernel_tile, kernel, TAPS to IN
}
both_axes! {
    /// From the gradients of outputs to what is multiplied for the gradient of the kernel.
    output_gradient_tile, output_gradient, OUT to IN
}
both_axes! {
    /// From sums of products to the gradients of taps.
    kernel_gradient_tile, kernel_gradient, IN to TAPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_axis_is_the_sum_over_taps() {
        let (g, d) = ([0.3, -1.7, 0.9], [1.1, -0.4, 2.3, 0.8, -1.9, 0.6]);
        let (u, v) = (kernel::<f64>(g), input::<f64>(d));
        let y = output::<f64>(std::array::from_fn(|i| u[i] * v[i]));
        for (i, y) in y.into_iter().enumerate() {
            let sum: f64 = (0..TAPS).map(|tap| g[tap] * d[i + tap]).sum();
            assert!((y - sum).abs() < 1e-14, "{y} instead of {sum}");
        }
    }

    #[test]
    fn one_axis_of_the_gradient_is_the_sum_over_places() {
        let (dy, d) = ([0.3, -1.7, 0.9, 1.3], [1.1, -0.4, 2.3, 0.8, -1.9, 0.6]);
        let (u, v) = (output_gradient::<f64>(dy), input::<f64>(d));
        let dg = kernel_gradient::<f64>(std::array::from_fn(|i| u[i] * v[i]));
        for (tap, dg) in dg.into_iter().enumerate() {
            let sum: f64 = (0..OUT).map(|i| dy[i] * d[i + tap]).sum();
            assert!((dg - sum).abs() < 1e-14, "{dg} instead of {sum}");
        }
    }
}
