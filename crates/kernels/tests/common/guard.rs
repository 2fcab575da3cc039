//! Buffers beside a page that may not be touched: a stray access ends the process by a signal.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Where the forbidden page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Directly before the first element.
    Before,
    /// Directly behind the last.
    After,
}

/// Numbers in pages of their own, with a forbidden page before and behind those; the numbers touch one
/// of them.
pub(crate) struct Guarded<T> {
    pages: NonNull<libc::c_void>,
    mapped: usize,
    data: NonNull<T>,
    len: usize,
}

// SAFETY: it owns its memory, as a `Vec` does.
unsafe impl<T: Send> Send for Guarded<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Guarded<T> {}

impl<T: Copy> Guarded<T> {
    /// A copy of `values`.
    pub(crate) fn new(values: &[T], side: Side) -> Self {
        // SAFETY: asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let bytes = size_of_val(values);
        let used = bytes.next_multiple_of(page).max(page);
        let mapped = used + 2 * page;
        let (flags, none) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_NONE);
        // SAFETY: new pages, wherever there is room.
        let pages = unsafe { libc::mmap(std::ptr::null_mut(), mapped, none, flags, -1, 0) };
        assert_ne!(pages, libc::MAP_FAILED, "no memory for {mapped} bytes");
        let first = pages.wrapping_byte_add(page);
        // SAFETY: the pages between the first and the last are ours.
        let done = unsafe { libc::mprotect(first, used, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!(done, 0, "no access to {used} bytes");
        let data = match side {
            Side::Before => first,
            Side::After => first.wrapping_byte_add(used - bytes),
        };
        let data = data.cast::<T>();
        // SAFETY: there is room for the values, and sizes of types are multiples of their alignments,
        // so that the end of a page is a place where one may end.
        unsafe { data.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        let not_null = "pages of an address";
        Self {
            pages: NonNull::new(pages).expect(not_null),
            mapped,
            data: NonNull::new(data).expect(not_null),
            len: values.len(),
        }
    }
}

impl<T> Deref for Guarded<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `new` has put as many values there, and they live as long as the pages.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: these pages came from `mmap`, and nothing borrows them any more.
        unsafe { libc::munmap(self.pages.as_ptr(), self.mapped) };
    }
}
