//! A convolution as a matrix: `M * vec(x) == conv2d(x)`, on every instruction set. Data are small
//! integers, so that both must agree to the bit.

mod common;

use common::{assert_thread_independent, each_isa, noise, to};
use proptest::prelude::*;
use topedge_kernels::conv2d::{self, Conv2dConfig, ConvMatrix, output_shape};
use topedge_kernels::{MatMut, MatRef, TensorMut, TensorRef, gemm::gemm};

fn integers(len: usize, seed: u32) -> Vec<f32> {
    to(&noise(len, seed).iter().map(|x| (3.0 * x).round()).collect::<Vec<_>>())
}

fn axis() -> impl Strategy<Value = [usize; 5]> {
    // size, kernel, stride, padding, dilation
    (1usize..8, 1usize..5, 1usize..4, 0usize..5, 1usize..4)
        .prop_map(|(a, b, c, d, e)| [a, b, c, d, e])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_matrix_times_the_image_is_the_convolution(
        (groups, inputs, outputs) in (1usize..4, 1usize..4, 1usize..4),
        height in axis(),
        width in axis(),
    ) {
        let pair = |i: usize| [height[i], width[i]];
        let config =
            Conv2dConfig { stride: pair(2), padding: pair(3), dilation: pair(4), groups };
        let input = [1, groups * inputs, height[0], width[0]];
        let shape = [groups * outputs, inputs, height[1], width[1]];
        let Ok(output) = output_shape(input, shape, &config) else { return Ok(()) };
        let matrix = ConvMatrix::new([input[1], input[2], input[3]], shape, &config).unwrap();
        prop_assert_eq!(matrix.output_shape(), [output[1], output[2], output[3]]);
        let [rows, columns] = [matrix.rows(), matrix.columns()];
        let (x, weight) = (integers(columns, 1), integers(shape.iter().product(), 2));
        let mut m = vec![9.0; rows * columns];
        matrix.write(&weight, MatMut::row_major(&mut m, rows, columns).unwrap()).unwrap();
        each_isa(|isa| {
            let (mut product, mut y) = (vec![9.0; rows], vec![9.0; rows]);
            let left = MatRef::row_major(&m, rows, columns).unwrap();
            let right = MatRef::row_major(&x, columns, 1).unwrap();
            gemm(1.0, left, right, 0.0, MatMut::row_major(&mut product, rows, 1).unwrap()).unwrap();
            let image = TensorRef::contiguous(&x, input).unwrap();
            let weight = TensorRef::contiguous(&weight, shape).unwrap();
            let to = TensorMut::contiguous(&mut y, output).unwrap();
            conv2d::forward(image, weight, None, &config, to).unwrap();
            assert!(product == y, "{}: {input:?}, {shape:?}, {config:?}", isa.name());
        });
        // An entry that is not zero by structure holds its weight.
        for row in 0..rows {
            for column in 0..columns {
                let entry = matrix.weight_index(row, column).map_or(0.0, |index| weight[index]);
                prop_assert_eq!(m[row * columns + column], entry);
            }
        }
    }
}

/// The matrix of the book: a 2x2 kernel on a 3x3 image.
#[test]
fn zeros_and_ties() {
    let matrix = ConvMatrix::new([1, 3, 3], [1, 1, 2, 2], &Conv2dConfig::default()).unwrap();
    let row = |row| -> String {
        let entry =
            |column| matrix.weight_index(row, column).map_or('0', |w| ['a', 'b', 'c', 'd'][w]);
        (0..9).map(entry).collect()
    };
    assert_eq!([0, 1, 2, 3].map(row), ["ab0cd0000", "0ab0cd000", "000ab0cd0", "0000ab0cd"]);
    assert_eq!(matrix.weight_index(4, 0), None);
    assert_eq!(matrix.weight_index(0, 9), None);
}

#[test]
fn what_does_not_fit_is_refused() {
    let config = Conv2dConfig::default();
    assert!(ConvMatrix::new([2, 3, 3], [1, 1, 2, 2], &config).is_err());
    let huge = ConvMatrix::new([1, 1 << 20, 1 << 20], [1, 1, 2, 2], &config).unwrap_err();
    assert!(huge.to_string().contains("rows times columns"), "{huge}");
    let matrix = ConvMatrix::new([1, 3, 3], [1, 1, 2, 2], &config).unwrap();
    let mut m = [0.0f32; 36];
    let view = MatMut::row_major(&mut m, 4, 9).unwrap();
    let error = matrix.write(&[1.0; 3], view).unwrap_err().to_string();
    assert_eq!(error, "matrix of conv2d: length of weight: expected 4, got 3");
    let view = MatMut::row_major(&mut m, 9, 4).unwrap();
    let error = matrix.write(&[1.0; 4], view).unwrap_err().to_string();
    assert!(error.contains("expected [4, 9], got [9, 4]"), "{error}");
}

#[test]
fn threads_do_not_change_the_bits() {
    let config = Conv2dConfig { padding: [1, 1], ..Default::default() };
    let weight = integers(4 * 3 * 3 * 3, 1);
    let matrix = ConvMatrix::new([3, 12, 13], [4, 3, 3, 3], &config).unwrap();
    let [rows, columns] = [matrix.rows(), matrix.columns()];
    assert_thread_independent(|| {
        let mut m = vec![9.0; rows * columns];
        matrix.write(&weight, MatMut::row_major(&mut m, rows, columns).unwrap()).unwrap();
        m
    });
}
