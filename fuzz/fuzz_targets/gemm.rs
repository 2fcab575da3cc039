//! The product of any matrices, on every instruction set, is that of the naive loops; what lies
//! between the elements of the result stays as it was.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use topedge_fuzz::{integers, most_work, small};
use topedge_kernels::gemm::gemm;
use topedge_kernels::{Element, Isa, MatMut, MatRef, reference};

#[derive(Debug, Arbitrary)]
struct Case {
    size: [u8; 3],
    strides: [Strides; 3],
    alpha: i8,
    beta: i8,
    double: bool,
    /// Which size is made smaller where there is too much to do.
    smaller: u8,
}

/// The sizes, each past the edge of a tile of each instruction set, and not all large at once.
fn sizes(case: &Case) -> [usize; 3] {
    let [m, n, k] = case.size;
    let most = most_work(&[m, n, k, case.smaller, case.alpha as u8, case.beta as u8]);
    let mut sizes = case.size.map(|size| small(size, 80));
    let axis = usize::from(case.smaller) % 3;
    let rest: usize = (0..3).filter(|&i| i != axis).map(|i| sizes[i].max(1)).product();
    sizes[axis] = sizes[axis].min((most / rest).max(1));
    sizes
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Strides {
    RowMajor(u8),
    ColumnMajor(u8),
    /// Of the operands these may overlap; of the result the view refuses it.
    Any([u8; 2]),
}

impl Strides {
    /// Strides, and how many elements they need.
    fn layout(self, [rows, columns]: [usize; 2]) -> ([usize; 2], usize) {
        let strides = match self {
            Strides::RowMajor(gap) => [columns + small(gap, 4), 1],
            Strides::ColumnMajor(gap) => [1, rows + small(gap, 4)],
            Strides::Any(strides) => strides.map(usize::from),
        };
        (strides, rows * strides[0] + columns * strides[1] + 1)
    }
}

fn check<T: Element>(case: &Case) {
    let [m, n, k] = sizes(case);
    let [a_layout, b_layout, c_layout] =
        [(0, [m, k]), (1, [k, n]), (2, [m, n])].map(|(i, shape)| case.strides[i].layout(shape));
    let (a, b, c) =
        (integers::<T>(a_layout.1, 1), integers(b_layout.1, 2), integers(c_layout.1, 3));
    let a = MatRef::new(&a, [m, k], a_layout.0).unwrap();
    let b = MatRef::new(&b, [k, n], b_layout.0).unwrap();
    let [alpha, beta] = [case.alpha, case.beta].map(|x| T::from_f64(f64::from(x % 4)));
    let mut expected = c.clone();
    let Ok(view) = MatMut::new(&mut expected, [m, n], c_layout.0) else {
        return;
    };
    reference::gemm::gemm(alpha, a, b, beta, view).unwrap();
    for isa in Isa::available() {
        let mut got = c.clone();
        let view = MatMut::new(&mut got, [m, n], c_layout.0).unwrap();
        isa.with(|| gemm(alpha, a, b, beta, view)).unwrap();
        assert!(got == expected, "{} differs from the reference", isa.name());
    }
}

fuzz_target!(|case: Case| if case.double { check::<f64>(&case) } else { check::<f32>(&case) });
