//! The tests of the public interface.

mod common;
mod digits;
mod folder;
mod idx;
mod loader;
mod mnist;
