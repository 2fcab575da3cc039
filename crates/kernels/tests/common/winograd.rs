//! What Winograd's method may be wrong by.

/// In `f32`, then in `f64`, the error at the most of an output, a gradient of the input and one of the weight,
/// relative to the terms of its sum if each were the largest that there may be. A gradient of the weight that is
/// a sum of one place reaches 1.2e-6 and 1.9e-15; the others do half of it.
pub(crate) const BOUNDS: [[f64; 3]; 2] = [[1e-6, 1e-6, 2e-6], [2e-15, 2e-15, 4e-15]];
