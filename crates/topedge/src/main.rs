//! The `topedge` command line.

#![forbid(unsafe_code)]

fn main() {}
