//! Working memory of the kernels: kept by each thread from call to call, so that a call in a steady
//! state allocates nothing.

use std::cell::RefCell;

use crate::element::Element;

/// A cache line: what vectors and pages of packed panels are aligned to.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// The product of some sizes, as a length to ask for. Shapes are bounded where they are checked, so that
/// it fits; were one forgotten, a panic is better than memory that is too short for what a kernel writes.
pub(crate) fn product<const N: usize>(sizes: [usize; N]) -> usize {
    let product = sizes.into_iter().try_fold(1usize, usize::checked_mul);
    product.expect("sizes were bounded")
}

/// Calls `f` with `len` elements, 64-byte aligned and holding anything.
///
/// Nested calls get memory of their own. A thread that helps with other work while it waits inside
/// `f` does so too.
pub(crate) fn with<T: Element, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    let mut lines = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    let needed = len.checked_mul(size_of::<T>()).expect("sizes were bounded").div_ceil(64);
    if lines.len() < needed {
        lines.resize(needed, Line([0; 64]));
    }
    // SAFETY: the lines hold at least `len` elements, are aligned for them, were initialised when
    // they were allocated, and any bits are a value of a floating-point number.
    let slice = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<T>(), len) };
    let result = f(slice);
    FREE.with_borrow_mut(|free| free.push(lines));
    result
}
