//! GEMM of every instruction set against the naive loops.

mod common;

use common::{assert_thread_independent, each_isa};
use proptest::prelude::*;
use topedge_kernels::{MatMut, MatRef, gemm::gemm, reference};

/// Small integers: products and sums are exact in `f32`, so results must agree to the bit.
fn integers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((state >> 28) as i8 - 8)
        })
        .collect()
}

/// A matrix in memory: strides, and how many elements they need.
fn layout([rows, columns]: [usize; 2], transposed: bool, gap: usize) -> ([usize; 2], usize) {
    let (strides, last) = if transposed {
        ([1 + gap, rows * (1 + gap) + gap], columns)
    } else {
        ([columns * (1 + gap) + gap, 1 + gap], rows)
    };
    (strides, strides[0].max(strides[1]) * last.max(1) + rows.max(columns) * (1 + gap))
}

#[derive(Debug, Clone)]
struct Case {
    size: [usize; 3],
    transposed: [bool; 3],
    gap: [usize; 3],
    alpha: f32,
    beta: f32,
}

fn check(case: &Case) {
    let [m, n, k] = case.size;
    let operand = |shape, which: usize, seed| {
        let (strides, len) = layout(shape, case.transposed[which], case.gap[which]);
        (integers(len, seed), strides)
    };
    let (a, a_strides) = operand([m, k], 0, 1);
    let (b, b_strides) = operand([k, n], 1, 2);
    let (c, c_strides) = operand([m, n], 2, 3);
    let a = MatRef::new(&a, [m, k], a_strides).unwrap();
    let b = MatRef::new(&b, [k, n], b_strides).unwrap();
    let mut expected = c.clone();
    let view = MatMut::new(&mut expected, [m, n], c_strides).unwrap();
    reference::gemm::gemm(case.alpha, a, b, case.beta, view).unwrap();
    each_isa(|isa| {
        let mut got = c.clone();
        let view = MatMut::new(&mut got, [m, n], c_strides).unwrap();
        gemm(case.alpha, a, b, case.beta, view).unwrap();
        // The whole slice: what lies between the strides must not be touched.
        assert!(got == expected, "{} differs from the reference in {case:?}", isa.name());
    });
}

const SIZES: [usize; 14] = [0, 1, 2, 3, 5, 7, 8, 9, 16, 17, 31, 48, 49, 100];

#[test]
fn every_edge_of_a_tile() {
    for m in SIZES {
        for n in SIZES {
            for k in [0, 1, 2, 9] {
                let (transposed, gap) = ([false; 3], [0; 3]);
                check(&Case { size: [m, n, k], transposed, gap, alpha: 1.0, beta: 0.0 });
            }
        }
    }
}

#[test]
fn every_block_edge() {
    // Rows, columns and steps that are packed at once, and more of them.
    for size in [
        [129, 385, 257],
        [2049, 3, 5],
        [3, 3073, 5],
        [17, 100, 600],
        [8, 2000, 25],
        [17, 300, 1025],
        [33, 385, 2100],
        [2049, 30, 1100],
    ] {
        for transposed in [[false; 3], [true, true, false], [false, true, true]] {
            check(&Case { size, transposed, gap: [0, 1, 0], alpha: 1.0, beta: 1.0 });
        }
    }
}

#[test]
fn halved_rows_and_panels_of_unequal_widths() {
    // On four threads columns of a job of the second, of vectors of 16: 80 or 64, in panels of 3 and 2, or of 2.
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for size in [[128, 128, 128], [200, 576, 100], [150, 201, 100]] {
            for (a, b) in [(false, false), (false, true), (true, false), (true, true)] {
                for gap in [[0; 3], [0, 1, 0]] {
                    let transposed = [a, b, false];
                    let case = Case { size, transposed, gap, alpha: 1.0, beta: 1.0 };
                    pool.install(|| check(&case));
                }
            }
        }
    }
}

#[test]
fn strides_of_one_row_may_be_anything() {
    each_isa(|_| {
        let (a, b, mut c) = ([2.0f32; 3], [1.5f32; 16], [0.0f32; 48]);
        let a = MatRef::new(&a, [3, 1], [1, usize::MAX]).unwrap();
        let b = MatRef::new(&b, [1, 16], [usize::MAX, 1]).unwrap();
        gemm(1.0, a, b, 0.0, MatMut::row_major(&mut c, 3, 16).unwrap()).unwrap();
        assert_eq!(c, [3.0; 48]);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_layout(
        size in prop::array::uniform3(0usize..70),
        transposed in prop::array::uniform3(any::<bool>()),
        gap in prop::array::uniform3(0usize..3),
        alpha in prop::sample::select(vec![0.0f32, 1.0, -2.0]),
        beta in prop::sample::select(vec![0.0f32, 1.0, -3.0]),
    ) {
        check(&Case { size, transposed, gap, alpha, beta });
    }
}

#[test]
fn beta_zero_does_not_read_the_output() {
    each_isa(|_| {
        for [m, n, k] in [[9, 50, 3], [1, 1, 0]] {
            let (a, b) = (vec![1.0f32; m * k], vec![1.0f32; k * n]);
            let mut c = vec![f32::NAN; m * n];
            let a = MatRef::row_major(&a, m, k).unwrap();
            let b = MatRef::row_major(&b, k, n).unwrap();
            gemm(1.0, a, b, 0.0, MatMut::row_major(&mut c, m, n).unwrap()).unwrap();
            assert!(c.iter().all(|&x| x == k as f32));
        }
    });
}

#[test]
fn nan_propagates() {
    each_isa(|_| {
        let mut a = vec![0.0f32; 9 * 7];
        a[4 * 7 + 3] = f32::NAN;
        let b = vec![0.0f32; 7 * 50];
        let mut c = vec![0.0f32; 9 * 50];
        let a = MatRef::row_major(&a, 9, 7).unwrap();
        let b = MatRef::row_major(&b, 7, 50).unwrap();
        gemm(1.0, a, b, 0.0, MatMut::row_major(&mut c, 9, 50).unwrap()).unwrap();
        for (i, row) in c.chunks(50).enumerate() {
            assert!(row.iter().all(|x| x.is_nan() == (i == 4)));
        }
    });
}

#[test]
fn f64_is_the_same_product() {
    let a: Vec<f64> = integers(63, 1).into_iter().map(f64::from).collect();
    let b: Vec<f64> = integers(77, 2).into_iter().map(f64::from).collect();
    let a = MatRef::new(&a, [9, 7], [1, 9]).unwrap();
    let b = MatRef::row_major(&b, 7, 11).unwrap();
    let (mut got, mut expected) = (vec![1.0; 99], vec![1.0; 99]);
    gemm(2.0, a, b, 3.0, MatMut::row_major(&mut got, 9, 11).unwrap()).unwrap();
    let view = MatMut::row_major(&mut expected, 9, 11).unwrap();
    reference::gemm::gemm(2.0, a, b, 3.0, view).unwrap();
    assert_eq!(got, expected);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let a = [0.0f32; 6];
    let mut c = [0.0f32; 6];
    let a = MatRef::row_major(&a, 2, 3).unwrap();
    let error = gemm(1.0, a, a, 0.0, MatMut::row_major(&mut c, 2, 3).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "gemm: shape of b for a of shape [2, 3]: expected [3, 3], got [2, 3]"
    );
    assert!(MatRef::new(&[0.0f32; 5], [2, 3], [3, 1]).is_err());
    assert!(MatRef::new(&[0.0f32; 5], [usize::MAX, 3], [usize::MAX, 1]).is_err());
    assert!(MatMut::new(&mut [0.0f32; 5], [2, 2], [0, 1]).is_err());
}

#[test]
fn threads_do_not_change_the_bits() {
    // Of the second the rows are cut, too. Of the third the last column is alone in a panel on some numbers of
    // threads, and not on others.
    for (size, gap, beta) in
        [([150, 700, 1100], 0, 0.0), ([150, 200, 300], 0, 0.0), ([128, 49, 512], 1, 0.3)]
    {
        let [m, n, k] = size;
        let noise = |len, seed| -> Vec<f32> {
            integers(len, seed).iter().map(|x| (x * 0.37 + 0.011).sin()).collect()
        };
        let (a, b) = (noise(m * k, 1), noise(k * n, 2));
        let (strides, len) = layout([m, n], false, gap);
        let old = noise(len, 3);
        assert_thread_independent(|| {
            let mut c = old.clone();
            let a = MatRef::row_major(&a, m, k).unwrap();
            let b = MatRef::row_major(&b, k, n).unwrap();
            gemm(1.0, a, b, beta, MatMut::new(&mut c, [m, n], strides).unwrap()).unwrap();
            c
        });
    }
}
