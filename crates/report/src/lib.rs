//! Plots of topedge training runs.

#![forbid(unsafe_code)]
