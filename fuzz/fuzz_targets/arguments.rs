//! Kernels on images and matrices with any arguments at all: sizes of zero and of nearly all that a number
//! holds, strides that repeat, overlap or leave the slice, geometries that cannot be. Each call is refused
//! with an error, or gives what the naive loops give; none panics, hangs or touches what is not its own.
//! Of kernels on plain slices the target `lengths` says the same.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use topedge_fuzz::any::{MOST, Number, View, compare, too_much, work};
use topedge_fuzz::integers;
use topedge_kernels::conv_transpose2d::{self, ConvTranspose2dConfig};
use topedge_kernels::conv2d::{self, ChannelNorm, Conv2dConfig, ConvMatrix, Epilogue, FusedConv2d};
use topedge_kernels::gemm::gemm;
use topedge_kernels::pad::{self, Pad2dConfig, PadMode};
use topedge_kernels::pool::{self, Pool2dConfig};
use topedge_kernels::reference::{self, conv_transpose2d as naive_transposed, conv2d as naive};
use topedge_kernels::{Isa, MatMut, Result, TensorMut, TensorRef};

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

impl Case {
    fn config(&self) -> Conv2dConfig {
        Conv2dConfig {
            stride: self.stride.map(Number::get),
            padding: self.padding.map(Number::get),
            dilation: self.dilation.map(Number::get),
            groups: self.groups.get(),
        }
    }
}

fn convolution(case: &Case) -> Result<()> {
    let [a, b, c] = &case.views;
    let config = case.config();
    let (input, weight) = (a.shape(), b.shape());
    let expected = conv2d::output_shape(input, weight, &config);
    let output = if case.fits { expected.clone()? } else { c.shape() };
    let (x, w, y) = (a.data(1), b.data(2), c.data(3));
    let products = work(&[&output, &weight[1..]]);
    let sizes = [&input, &weight, &output].map(|shape| work(&[shape]));
    if expected == Ok(output) && (too_much(&[products]) || too_much(&sizes)) {
        return Ok(());
    }
    let (x_view, w_view) = (a.view(&x, input)?, b.view(&w, weight)?);
    let y_view = c.view(&y, output)?;
    let bias = match case.flags {
        [false, _] => x.get(..weight[0]),
        [true, any] => any.then_some(&x[..]),
    };
    compare(
        &y,
        |y| conv2d::forward(x_view, w_view, bias, &config, c.view_mut(y, output)?),
        |y| naive::forward(x_view, w_view, bias, &config, c.view_mut(y, output)?),
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
    let db = integers(output[1].min(MOST as usize), 4);
    if expected != Ok(output) || db.len() != output[1] {
        assert!(
            conv2d::backward_parameters(
                x_view,
                y_view,
                &config,
                b.view_mut(&mut w.clone(), weight)?,
                &mut db.clone()
            )
            .is_err()
        );
        return Ok(());
    }
    compare(&db, |db| conv2d::backward_bias(y_view, db), |db| naive::backward_bias(y_view, db));
    compare(
        &w,
        |w| {
            let dw = b.view_mut(w, weight)?;
            conv2d::backward_parameters(x_view, y_view, &config, dw, &mut db.clone())
        },
        |w| naive::backward_weight(x_view, y_view, &config, b.view_mut(w, weight)?),
    );
    Ok(())
}

/// As [`convolution`], of batches in parts.
fn convolution_in_parts(case: &Case) -> Result<()> {
    let [a, b, c] = &case.views;
    let config = case.config();
    let (mut input, weight) = (a.shape(), b.shape());
    let [parts, others] = case.kernel.map(Number::get);
    let others = if case.fits { parts } else { others };
    if case.fits {
        input[0] = input[0].saturating_mul(parts);
    }
    let expected = conv2d::output_shape(input, weight, &config);
    let output = if case.fits { expected.clone()? } else { c.shape() };
    let products = work(&[&output, &weight[1..]]);
    let sizes = [&input, &weight, &output].map(|shape| work(&[shape]));
    if expected == Ok(output) && (too_much(&[products]) || too_much(&sizes)) {
        return Ok(());
    }
    let even = |mut data: Vec<f32>, parts: usize| {
        data.truncate(data.len() - data.len() % parts.max(1));
        data
    };
    let (x, w, y) = (even(a.data(1), parts), b.data(2), even(c.data(3), others));
    let (x_batch, w_view) = (a.batch(&x, input, parts)?, b.view(&w, weight)?);
    let y_batch = c.batch(&y, output, others)?;
    let (mut dw, mut db) = (w.clone(), integers(output[1].min(MOST as usize), 4));
    let dw = b.view_mut(&mut dw, weight)?;
    let _ = conv2d::backward_parameters(x_batch, y_batch, &config, dw, &mut db);
    let _ = conv2d::backward_bias(y_batch, &mut db);
    let (mut got_y, mut got_dx) = (y.clone(), x.clone());
    let to = c.batch_mut(&mut got_y, output, others)?;
    let forward = conv2d::forward(x_batch, w_view, None, &config, to);
    let to = a.batch_mut(&mut got_dx, input, parts)?;
    let backward = conv2d::backward_input(y_batch, w_view, &config, to);
    if forward.is_err() || backward.is_err() || [input, output].iter().any(|of| of.contains(&0)) {
        return Ok(());
    }
    // What the naive loops give on each part.
    let (mut want_y, mut want_dx) = (y.clone(), x.clone());
    for index in 0..parts {
        let part = y_batch.part(index).shape();
        let (from, len) = (index * (y.len() / parts), y.len() / parts);
        let to = TensorMut::new(&mut want_y[from..][..len], part, c.strides())?;
        naive::forward(x_batch.part(index), w_view, None, &config, to)?;
        let part = x_batch.part(index).shape();
        let (from, len) = (index * (x.len() / parts), x.len() / parts);
        let to = TensorMut::new(&mut want_dx[from..][..len], part, a.strides())?;
        naive::backward_input(y_batch.part(index), w_view, &config, to)?;
    }
    assert_eq!((got_y, got_dx), (want_y, want_dx));
    Ok(())
}

fn transposed(case: &Case) -> Result<()> {
    let [a, b, c] = &case.views;
    let Conv2dConfig { stride, padding, dilation, groups } = case.config();
    let output_padding = case.kernel.map(|n| if case.flags[0] { n.get() } else { 0 });
    let config = ConvTranspose2dConfig { stride, padding, output_padding, dilation, groups };
    let (input, weight) = (a.shape(), b.shape());
    let expected = conv_transpose2d::output_shape(input, weight, &config);
    let output = if case.fits { expected.clone()? } else { c.shape() };
    let fits = expected == Ok(output);
    let products = work(&[&input, &weight[1..]]);
    let sizes = [&input, &weight, &output].map(|shape| work(&[shape]));
    if fits && (too_much(&[products]) || too_much(&sizes)) {
        return Ok(());
    }
    let (x, w, y) = (a.data(1), b.data(2), c.data(3));
    let (x_view, w_view) = (a.view(&x, input)?, b.view(&w, weight)?);
    let y_view = c.view(&y, output)?;
    // The naive loops take only what fits.
    type Run<'a> = &'a dyn Fn(&mut [f32]) -> Result<()>;
    let same = |start: &[f32], kernel: Run<'_>, naive: Run<'_>| {
        if fits {
            compare(start, kernel, naive);
        } else {
            assert!(kernel(&mut start.to_vec()).is_err());
        }
    };
    let bias = if case.flags[1] { None } else { x.get(..output[1]) };
    same(
        &y,
        &|y| conv_transpose2d::forward(x_view, w_view, bias, &config, c.view_mut(y, output)?),
        &|y| naive_transposed::forward(x_view, w_view, bias, &config, c.view_mut(y, output)?),
    );
    same(
        &x,
        &|x| conv_transpose2d::backward_input(y_view, w_view, &config, a.view_mut(x, input)?),
        &|x| naive_transposed::backward_input(y_view, w_view, &config, a.view_mut(x, input)?),
    );
    same(
        &w,
        &|w| conv_transpose2d::backward_weight(x_view, y_view, &config, b.view_mut(w, weight)?),
        &|w| naive_transposed::backward_weight(x_view, y_view, &config, b.view_mut(w, weight)?),
    );
    Ok(())
}

fn product(case: &Case) -> Result<()> {
    let [a, b, c] = &case.views;
    let (x, y, z) = (a.data(1), b.data(2), c.data(3));
    let pair = |view: &View| [0, 1].map(|i| view.shape()[i]);
    let (m_k, k_n) = (pair(a), pair(b));
    let (a, b) = (a.matrix(&x, m_k)?, b.matrix(&y, k_n)?);
    let expected = [m_k[0], k_n[1]];
    let shape = if case.fits { expected } else { pair(c) };
    let agree = m_k[1] == k_n[0] && shape == expected;
    if agree && too_much(&[work(&[&m_k, &shape[1..]]), work(&[&k_n])]) {
        return Ok(());
    }
    compare(
        &z,
        |z| gemm(2.0, a, b, 1.0, c.matrix_mut(z, shape)?),
        |z| reference::gemm::gemm(2.0, a, b, 1.0, c.matrix_mut(z, shape)?),
    );
    Ok(())
}

/// A convolution as a matrix, and its images as columns.
fn matrices(case: &Case) -> Result<()> {
    let [a, b, c] = &case.views;
    let config = case.config();
    let (input, weight) = (a.shape(), b.shape());
    let sized = |shape: &[usize], other: usize| -> Vec<f32> {
        let len = work(&[shape]);
        integers(if case.fits && len <= MOST { len as usize } else { other }, 2)
    };
    if let Ok(matrix) = ConvMatrix::new([1, 2, 3].map(|axis| input[axis]), weight, &config) {
        let [row, column] = case.kernel.map(Number::get);
        let w = sized(&weight, b.length());
        let index = matrix.weight_index(row, column);
        assert!(index.is_none_or(|index| (index as u128) < work(&[&weight])));
        let shape = [matrix.rows(), matrix.columns()];
        let mut m = sized(&shape, c.length());
        let shape = if case.flags[0] { shape } else { [0, 1].map(|i| c.shape()[i]) };
        let _ = MatMut::row_major(&mut m, shape[0], shape[1]).map(|to| matrix.write(&w, to));
    }

    let config = Conv2dConfig { groups: if case.flags[1] { 1 } else { config.groups }, ..config };
    let kernel = case.kernel.map(Number::get);
    let expected = conv2d::output_shape(input, [1, input[1], kernel[0], kernel[1]], &config).map(
        |[batch, _, height, width]| {
            [work(&[&[input[1]], &kernel]), work(&[&[batch, height, width]])].map(|n| n as usize)
        },
    );
    let shape = if case.fits { expected.clone()? } else { [0, 1].map(|i| c.shape()[i]) };
    if expected == Ok(shape) && too_much(&[work(&[&shape]), work(&[&input])]) {
        return Ok(());
    }
    let (mut x, mut columns) = (a.data(1), c.data(2));
    let _ = conv2d::im2col(a.view(&x, input)?, kernel, &config, c.matrix_mut(&mut columns, shape)?);
    let columns = c.matrix(&columns, shape)?;
    let _ = conv2d::col2im(columns, kernel, &config, a.view_mut(&mut x, input)?);
    Ok(())
}

/// The convolution of inference is that of its framed image, without padding.
fn fused(case: &Case) -> Result<()> {
    let [a, b, c] = &case.views;
    let config =
        Conv2dConfig { groups: if case.fits { 1 } else { case.groups.get() }, ..case.config() };
    let weight = b.shape();
    let (w, numbers) = (b.data(2), c.data(3));
    let w_view = b.view(&w, weight)?;
    let [_, _, height, width] = a.shape();
    let (input, frame) = ([1, weight[1], height, width], case.kernel.map(Number::get));
    let expected = conv2d::output_shape(input, weight, &config);
    if let Ok(output) = expected
        && too_much(&[work(&[&output, &weight[1..]]), work(&[&output]), work(&[&weight])])
    {
        return Ok(());
    }
    // Neither norm nor ReLU changes these sums, if they are of the right length.
    let len = if case.fits { weight[0].min(MOST as usize) } else { c.length() };
    let (zeros, ones) = (vec![0.0; len], vec![1.0; len]);
    let norm = ChannelNorm { mean: &zeros, scale: &ones, shift: &zeros };
    let epilogue = Epilogue {
        bias: if case.flags[0] { None } else { numbers.get(..len) },
        norm: case.flags[1].then_some(norm),
        ..Default::default()
    };
    let conv = FusedConv2d::new(w_view, [height, width], &config, &epilogue, frame)?;
    let output = expected?;
    let lens = [conv.input_len(), conv.output_len()];
    let _ = conv.forward(&numbers, &mut a.data(1));
    if too_much(&lens.map(|len| work(&[&[len]]))) {
        return Ok(());
    }
    let (x, y) = (integers(lens[0], 1), integers(lens[1], 2));
    // Both lie channels-last, in a frame.
    let framed = |shape: [usize; 4], frame: [usize; 2]| {
        let [_, channels, height, width] = shape;
        let row = (width + 2 * frame[1]) * channels;
        let shape = [1, channels, height + 2 * frame[0], width + 2 * frame[1]];
        (shape, [lens[0].max(lens[1]), 1, row, channels], frame[0] * row + frame[1] * channels)
    };
    let (in_shape, in_strides, _) = framed(input, config.padding);
    let (_, out_strides, origin) = framed(output, frame);
    let plain = Conv2dConfig { padding: [0, 0], ..config };
    compare(
        &y,
        |y| conv.forward(&x, y),
        |y| {
            let x = TensorRef::new(&x, in_shape, in_strides)?;
            let y = TensorMut::new(&mut y[origin..], output, out_strides)?;
            naive::forward(x, w_view, epilogue.bias, &plain, y)
        },
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
    // A window has no more places than the image.
    let window = [0, 1].map(|axis| config.kernel[axis].min(input[2 + axis]));
    if too_much(&[work(&[&output]), work(&[&output, &window]), work(&[&input])]) {
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

fn adaptive_pooling(case: &Case) -> Result<()> {
    let [a, c, _] = &case.views;
    let (input, output) = (a.shape(), c.shape());
    let output = if case.fits { [input[0], input[1], output[2], output[3]] } else { output };
    // The windows of an axis share a place at most with their neighbours.
    let windows = [2, 3].map(|axis| input[axis].saturating_add(output[axis]));
    if too_much(&[work(&[&output[..2], &windows]), work(&[&output]), work(&[&input])]) {
        return Ok(());
    }
    let (x, mut y, mut dx) = (a.data(1), c.data(2), a.data(3));
    let mut indices = vec![0; work(&[&output]) as usize];
    let x = a.view(&x, input)?;
    let _ = pool::adaptive_avg_forward(x, c.view_mut(&mut y, output)?);
    let places = TensorMut::contiguous(&mut indices, output)?;
    let _ = pool::adaptive_max_forward(x, c.view_mut(&mut y, output)?, places);
    let dy = c.view(&y, output)?;
    let _ = pool::adaptive_avg_backward(dy, a.view_mut(&mut dx, input)?);
    let places = TensorRef::contiguous(&indices, output)?;
    let _ = pool::max_backward(dy, places, a.view_mut(&mut dx, input)?);
    Ok(())
}

fn padding(case: &Case) -> Result<()> {
    let [a, c, _] = &case.views;
    let config = Pad2dConfig {
        before: case.padding.map(Number::get),
        after: case.stride.map(Number::get),
        mode: PadMode::ALL[usize::from(case.kind / 9) % 4],
    };
    let input = a.shape();
    let expected = pad::output_shape(input, &config);
    let output = if case.fits { expected.clone()? } else { c.shape() };
    let [size, at] = case.dilation.map(Number::get);
    assert!(config.mode.source(size, at as isize).is_none_or(|source| source < size));
    if expected == Ok(output) && too_much(&[work(&[&output]), work(&[&input])]) {
        return Ok(());
    }
    let (x, mut y, mut dx) = (a.data(1), c.data(2), a.data(3));
    let _ = pad::forward(a.view(&x, input)?, &config, c.view_mut(&mut y, output)?);
    let _ = pad::backward(c.view(&y, output)?, &config, a.view_mut(&mut dx, input)?);
    Ok(())
}

fuzz_target!(|case: Case| {
    let on_each_isa =
        |run: fn(&Case) -> Result<()>| Isa::available().try_for_each(|isa| isa.with(|| run(&case)));
    // A view that is refused is an answer, too.
    let _ = match case.kind % 9 {
        0 => convolution(&case),
        1 => product(&case),
        2 => on_each_isa(pooling),
        3 => padding(&case),
        4 => transposed(&case),
        5 => matrices(&case),
        6 => fused(&case),
        7 => on_each_isa(convolution_in_parts),
        _ => on_each_isa(adaptive_pooling),
    };
});
