//! Windows that reach far, tap by tap.
//!
//! The places from where a tap hits the image, and what they see there, are a convolution of their own:
//! of one tap and unit stride, without padding. So neither memory nor time goes with what lies between
//! the taps, between the windows or around the image.

use std::ops::Range;

use super::super::geometry::{Conv2dConfig, Geometry, MOST_SPANNED, reach_far};
use crate::element::Element;
use crate::parallel;
use crate::view::{TensorMut, TensorRef};

/// Whether what the windows span is much larger than the image, or is much for a single row of them.
pub(in super::super) fn must_run(geometry: &Geometry) -> bool {
    let span = |axis: usize, out: usize| {
        let last = geometry.input_at(axis, out - 1, geometry.kernel[axis] - 1);
        geometry.input_at(axis, 0, 0).abs_diff(last) + 1
    };
    let [height, width] = geometry.out_size;
    let row = parallel::operations([span(0, 1), span(1, width), geometry.group_inputs()]);
    let far = [height, width]
        .iter()
        .enumerate()
        .any(|(axis, &out)| reach_far(span(axis, out), geometry.in_size[axis]));
    far || row > MOST_SPANNED && (geometry.taps() > 1 || geometry.config.stride != [1, 1])
}

/// Calls `run` with the convolution of each tap that hits the image, on some other path.
pub(in super::super) fn run<T: Element>(
    geometry: &Geometry,
    x: &TensorRef<'_, T>,
    dy: &TensorRef<'_, T>,
    dw: &mut TensorMut<'_, T>,
    run: impl Fn(&Geometry, &TensorRef<'_, T>, &TensorRef<'_, T>, &mut TensorMut<'_, T>),
) {
    let Geometry { kernel, config: Conv2dConfig { stride, groups, .. }, .. } = *geometry;
    let config = Conv2dConfig { groups, ..Default::default() };
    for tap in 0..geometry.taps() {
        let tap = [tap / kernel[1], tap % kernel[1]];
        let mut dw = dw.place(tap);
        let outs = [0, 1].map(|axis| geometry.hits(axis, tap[axis]));
        if outs.iter().any(Range::is_empty) {
            dw.fill(T::ZERO);
            continue;
        }
        let (mut x, mut dy) = (*x, *dy);
        for (axis, outs) in outs.into_iter().enumerate() {
            let seen = geometry.input_at(axis, outs.start, tap[axis]) as usize;
            x = x.every(2 + axis, seen, outs.len(), stride[axis]);
            dy = dy.every(2 + axis, outs.start, outs.len(), 1);
        }
        let one = Geometry::new("conv2d", x.shape(), dw.shape(), &config);
        run(&one.expect("a part of what was checked"), &x, &dy, &mut dw);
    }
}
