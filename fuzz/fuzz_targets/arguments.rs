//! Kernels with any arguments at all: sizes of zero and of nearly all that a number holds, strides that repeat,
//! overlap or leave the slice, geometries that cannot be. Each call is refused with an error, or gives
//! what the naive loops give; none panics, hangs or touches what is not its own.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use topedge_fuzz::integers;
use topedge_kernels::conv2d::{self, Conv2dConfig};
use topedge_kernels::gemm::gemm;
use topedge_kernels::pad::{self, Pad2dConfig, PadMode};
use topedge_kernels::pool::{self, Pool2dConfig};
use topedge_kernels::reference::{self, conv2d as naive};
use topedge_kernels::{Isa, MatMut, MatRef, Result, TensorMut, TensorRef};

/// A size, stride or step: mostly a small one.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Number {
    Small(u8),
    Medium(u16),
    /// `2^power` and its neighbours.
    NearPower(u8, i8),
    /// Nearly all that fits.
    FromTheTop(u8),
}

impl Number {
    fn get(self) -> usize {
        match self {
            Number::Small(n) => usize::from(n % 10),
            Number::Medium(n) => usize::from(n),
            Number::NearPower(power, by) => {
                (1_usize << (power % 64)).wrapping_add_signed(isize::from(by % 4))
            }
            Number::FromTheTop(n) => usize::MAX - usize::from(n),
        }
    }
}

#[derive(Debug, Arbitrary)]
struct View {
    shape: [Number; 4],
    strides: [Number; 4],
    /// Whether the strides are those of a contiguous tensor, instead.
    contiguous: bool,
    len: u16,
}

impl View {
    fn shape(&self) -> [usize; 4] {
        self.shape.map(Number::get)
    }

    fn data(&self, seed: u8) -> Vec<f32> {
        integers(usize::from(self.len % 4096), seed)
    }

    fn view<'a>(&self, data: &'a [f32], shape: [usize; 4]) -> Result<TensorRef<'a, f32>> {
        if self.contiguous {
            return TensorRef::contiguous(data, shape);
        }
        TensorRef::new(data, shape, self.strides.map(Number::get))
    }

    fn view_mut<'a>(&self, data: &'a mut [f32], shape: [usize; 4]) -> Result<TensorMut<'a, f32>> {
        if self.contiguous {
            return TensorMut::contiguous(data, shape);
        }
        TensorMut::new(data, shape, self.strides.map(Number::get))
    }

    fn matrix<'a>(&self, data: &'a [f32]) -> Result<MatRef<'a, f32>> {
        let [rows, columns, ..] = self.shape();
        MatRef::new(data, [rows, columns], [self.strides[0].get(), self.strides[1].get()])
    }
}

#[derive(Debug, Arbitrary)]
struct Case {
    views: [View; 3],
    /// Whether the result has the shape that follows from the others, instead of any.
    fits: bool,
    stride: [Number; 2],
    padding: [Number; 2],
    dilation: [Number; 2],
    groups: Number,
    kernel: [Number; 2],
    flags: [bool; 2],
    kind: u8,
}

/// Products that a call may take here. A view that repeats its elements may ask for any number of them.
const MOST: u128 = 1 << 16;

fn work(factors: &[&[usize]]) -> u128 {
    let factors = factors.iter().copied().flatten();
    factors.fold(1, |product, &n| product.saturating_mul(n as u128))
}

/// Runs a kernel and the naive loops on copies of `start`: both refuse it, or both give the same.
fn compare(
    start: &[f32],
    kernel: impl Fn(&mut [f32]) -> Result<()>,
    naive: impl FnOnce(&mut [f32]) -> Result<()>,
) {
    let mut expected = start.to_vec();
    let outcome = naive(&mut expected);
    for isa in Isa::available() {
        let mut got = start.to_vec();
        assert_eq!(isa.with(|| kernel(&mut got)).is_ok(), outcome.is_ok(), "{}", isa.name());
        assert!(outcome.is_err() || got == expected, "differs on {}", isa.name());
    }
}

fn convolution(case: &Case) -> Result<()> {
    let [a, b, c] = &case.views;
    let config = Conv2dConfig {
        stride: case.stride.map(Number::get),
        padding: case.padding.map(Number::get),
        dilation: case.dilation.map(Number::get),
        groups: case.groups.get(),
    };
    let (input, weight) = (a.shape(), b.shape());
    let output = if case.fits { conv2d::output_shape(input, weight, &config)? } else { c.shape() };
    let (x, w, y) = (a.data(1), b.data(2), c.data(3));
    if work(&[&output, &weight[1..]]) > MOST || work(&[&input]) > MOST || work(&[&weight]) > MOST {
        return Ok(());
    }
    let (x_view, w_view) = (a.view(&x, input)?, b.view(&w, weight)?);
    let y_view = c.view(&y, output)?;
    compare(
        &y,
        |y| conv2d::forward(x_view, w_view, None, &config, c.view_mut(y, output)?),
        |y| naive::forward(x_view, w_view, None, &config, c.view_mut(y, output)?),
    );
    compare(
        &x,
        |x| conv2d::backward_input(y_view, w_view, &config, a.view_mut(x, input)?),
        |x| naive::backward_input(y_view, w_view, &config, a.view_mut(x, input)?),
    );
    compare(
        &w,
        |w| conv2d::backward_weight(x_view, y_view, &config, b.view_mut(w, weight)?),
        |w| naive::backward_weight(x_view, y_view, &config, b.view_mut(w, weight)?),
    );
    Ok(())
}

fn product(case: &Case) -> Result<()> {
    let [a, b, c] = &case.views;
    let (x, y, z) = (a.data(1), b.data(2), c.data(3));
    let (a, b) = (a.matrix(&x)?, b.matrix(&y)?);
    let shape = if case.fits { [a.shape()[0], b.shape()[1]] } else { [0, 1].map(|i| c.shape()[i]) };
    if work(&[&a.shape(), &shape[1..]]) > MOST || work(&[&b.shape()]) > MOST {
        return Ok(());
    }
    let strides = [c.strides[0].get(), c.strides[1].get()];
    compare(
        &z,
        |z| gemm(2.0, a, b, 1.0, MatMut::new(z, shape, strides)?),
        |z| reference::gemm::gemm(2.0, a, b, 1.0, MatMut::new(z, shape, strides)?),
    );
    Ok(())
}

fn pooling(case: &Case) -> Result<()> {
    let [a, c, _] = &case.views;
    let config = Pool2dConfig {
        kernel: case.kernel.map(Number::get),
        stride: case.stride.map(Number::get),
        padding: case.padding.map(Number::get),
        dilation: if case.flags[0] { [1, 1] } else { case.dilation.map(Number::get) },
        ceil_mode: case.flags[1],
        count_include_pad: case.flags[0],
    };
    let input = a.shape();
    let output = if case.fits { pool::output_shape(input, &config)? } else { c.shape() };
    if [work(&[&output]), work(&[&output, &config.kernel]), work(&[&input])]
        .iter()
        .any(|&n| n > MOST)
    {
        return Ok(());
    }
    let (x, mut y, mut dx) = (a.data(1), c.data(2), a.data(3));
    let mut indices = vec![0; work(&[&output]) as usize];
    let x = a.view(&x, input)?;
    // Refused or not: what is there to be seen is that nothing else happens.
    let _ = pool::avg_forward(x, &config, c.view_mut(&mut y, output)?);
    let places = TensorMut::contiguous(&mut indices, output)?;
    let _ = pool::max_forward(x, &config, c.view_mut(&mut y, output)?, places);
    let dy = c.view(&y, output)?;
    let _ = pool::avg_backward(dy, &config, a.view_mut(&mut dx, input)?);
    let places = TensorRef::contiguous(&indices, output)?;
    let _ = pool::max_backward(dy, places, a.view_mut(&mut dx, input)?);
    Ok(())
}

fn padding(case: &Case) -> Result<()> {
    let [a, c, _] = &case.views;
    let config = Pad2dConfig {
        before: case.padding.map(Number::get),
        after: case.stride.map(Number::get),
        mode: PadMode::ALL[usize::from(case.kind / 4) % 4],
    };
    let input = a.shape();
    let output = if case.fits { pad::output_shape(input, &config)? } else { c.shape() };
    if work(&[&output]) > MOST || work(&[&input]) > MOST {
        return Ok(());
    }
    let (x, mut y, mut dx) = (a.data(1), c.data(2), a.data(3));
    let _ = pad::forward(a.view(&x, input)?, &config, c.view_mut(&mut y, output)?);
    let _ = pad::backward(c.view(&y, output)?, &config, a.view_mut(&mut dx, input)?);
    Ok(())
}

fuzz_target!(|case: Case| {
    // A view that is refused is an answer, too.
    let _ = match case.kind % 4 {
        0 => convolution(&case),
        1 => product(&case),
        2 => pooling(&case),
        _ => padding(&case),
    };
});
