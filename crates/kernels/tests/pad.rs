//! Padding and its gradient against the definition, on every instruction set and in every memory
//! format. Data are small integers: sums are exact, so results must agree to the bit.

mod common;

use common::{assert_thread_independent, each_isa, noise, to};
use proptest::prelude::*;
use topedge_kernels::pad::{self, Pad2dConfig, PadMode, output_shape};
use topedge_kernels::{Element, TensorMut, TensorRef, reference};

/// NCHW, channels-last and batch-last, by number; the last with gaps.
fn strides([n, c, h, w]: [usize; 4], format: usize) -> [usize; 4] {
    match format {
        0 => [c * h * w, h * w, w, 1],
        1 => [h * w * c, 1, w * c, c],
        2 => [1, h * w * n, w * n, n],
        _ => [1, h * w * (n + 3), w * (n + 3), n + 3],
    }
    .map(|stride| stride.max(1))
}

fn integers<T: Element>([n, c, h, w]: [usize; 4], seed: u32) -> Vec<T> {
    let values = noise((n + 3) * c * h * w, seed);
    to(&values.iter().map(|x| (4.0 * x).round()).collect::<Vec<_>>())
}

fn check<T: Element>(input: [usize; 4], config: &Pad2dConfig, formats: [usize; 2]) {
    let Ok(output) = output_shape(input, config) else { return };
    let (xs, ys) = (strides(input, formats[0]), strides(output, formats[1]));
    let (x, dy) = (integers::<T>(input, 1), integers::<T>(output, 2));
    let outputs = |naive: bool| {
        let (mut y, mut dx) = (integers::<T>(output, 3), integers::<T>(input, 4));
        let (x, dy) = (TensorRef::new(&x, input, xs), TensorRef::new(&dy, output, ys));
        let (to, back) = (TensorMut::new(&mut y, output, ys), TensorMut::new(&mut dx, input, xs));
        if naive {
            reference::pad::forward(x.unwrap(), config, to.unwrap()).unwrap();
            reference::pad::backward(dy.unwrap(), config, back.unwrap()).unwrap();
        } else {
            pad::forward(x.unwrap(), config, to.unwrap()).unwrap();
            pad::backward(dy.unwrap(), config, back.unwrap()).unwrap();
        }
        [y, dx]
    };
    let expected = outputs(true);
    each_isa(|isa| {
        let same = outputs(false) == expected;
        assert!(same, "{}: {input:?}, {config:?}, formats {formats:?}", isa.name());
    });
}

#[test]
fn every_mode_in_every_format() {
    for mode in PadMode::ALL {
        for from in 0..4 {
            for to in 0..4 {
                let config = Pad2dConfig { before: [1, 3], after: [2, 0], mode };
                check::<f32>([17, 5, 3, 4], &config, [from, to]);
                check::<f64>([1, 2, 4, 5], &config, [from, to]);
                check::<f32>([3, 0, 4, 5], &config, [from, to]);
                check::<f32>([0, 3, 4, 5], &config, [from, to]);
                check::<f32>([2, 3, 4, 0], &Pad2dConfig { mode, ..Default::default() }, [from, to]);
            }
        }
    }
    let config = Pad2dConfig { before: [1, 3], after: [2, 0], mode: PadMode::Zeros };
    check::<f32>([2, 3, 0, 4], &config, [0, 0]);
}

#[test]
fn known_rows() {
    let row = |mode, before, after| {
        let config = Pad2dConfig { before: [0, before], after: [0, after], mode };
        let mut y = vec![9.0f32; 4 + before + after];
        let shape = [1, 1, 1, y.len()];
        let x = [1.0, 2.0, 3.0, 4.0];
        let x = TensorRef::contiguous(&x, [1, 1, 1, 4]).unwrap();
        pad::forward(x, &config, TensorMut::contiguous(&mut y, shape).unwrap()).unwrap();
        y
    };
    assert_eq!(row(PadMode::Zeros, 1, 2), [0.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
    // The edge is not repeated.
    assert_eq!(row(PadMode::Reflect, 3, 1), [4.0, 3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0]);
    assert_eq!(row(PadMode::Replicate, 2, 1), [1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 4.0]);
    assert_eq!(row(PadMode::Circular, 1, 2), [4.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_border(
        input in [1usize..20, 1usize..6, 1usize..7, 1usize..7],
        before in prop::array::uniform2(0usize..7),
        after in prop::array::uniform2(0usize..7),
        mode in prop::sample::select(PadMode::ALL.to_vec()),
        formats in prop::array::uniform2(0usize..4),
    ) {
        check::<f32>(input, &Pad2dConfig { before, after, mode }, formats);
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let input = [64, 9, 20, 20];
    for mode in PadMode::ALL {
        let config = Pad2dConfig { before: [3, 3], after: [2, 4], mode };
        let output = output_shape(input, &config).unwrap();
        for format in 0..3 {
            let (xs, ys) = (strides(input, format), strides(output, format));
            let x: Vec<f32> = to(&noise(input.iter().product(), 1));
            let dy: Vec<f32> = to(&noise(output.iter().product(), 2));
            assert_thread_independent(|| {
                let (mut y, mut dx) = (dy.clone(), x.clone());
                let to = TensorMut::new(&mut y, output, ys).unwrap();
                pad::forward(TensorRef::new(&x, input, xs).unwrap(), &config, to).unwrap();
                let to = TensorMut::new(&mut dx, input, xs).unwrap();
                pad::backward(TensorRef::new(&dy, output, ys).unwrap(), &config, to).unwrap();
                (y, dx)
            });
        }
    }
}

#[test]
fn a_wrong_shape_is_refused() {
    let x = [0.0f32; 12];
    let mut y = [0.0f32; 20];
    let x = TensorRef::contiguous(&x, [1, 1, 3, 4]).unwrap();
    let config = Pad2dConfig { before: [1, 0], ..Default::default() };
    let to = TensorMut::contiguous(&mut y, [1, 1, 4, 5]).unwrap();
    let error = pad::forward(x, &config, to).unwrap_err().to_string();
    assert_eq!(error, "pad2d: shape of the output: expected [1, 1, 4, 4], got [1, 1, 4, 5]");
    let to = TensorMut::contiguous(&mut y, [1, 1, 3, 4]).unwrap();
    let error = pad::backward(x, &config, to).unwrap_err().to_string();
    assert!(error.contains("the output's gradient"), "{error}");
}
