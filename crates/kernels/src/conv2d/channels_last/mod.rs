//! The path for images that lie channels-last: the image is read where it lies.
//!
//! A tile is some places of the grid by some channels of the target. The channels of the source are
//! neighbours in memory, so a row of the microkernel's A, what a place sees through a tap, is the
//! source itself; B is the weight, packed once. Where taps are neighbours, too, what a place sees
//! through a whole row of them is one piece. This is how oneDNN convolves (Georganas et al.,
//! "Harnessing Deep Learning via a Single Building Block", IPDPS 2020).
//!
//! Where windows hang over the border, a band of the source is copied first, with zeros around, so
//! that all places are alike.

mod band;
mod pack;
mod plan;
mod tiles;

use super::taps::TapConv;
use crate::arch::Isa;
use crate::element::Element;
use crate::parallel;
use crate::scratch;
pub(super) use band::{band_fits, copy_band};
use pack::pack;
pub(super) use pack::{PanelColumns, Panels};
use plan::Plan;
use tiles::Tiles;

/// Whether this path can run `conv`.
pub(super) fn can_run<T>(conv: &TapConv<'_, T>) -> bool {
    conv.source.strides[1] == 1 && conv.target.strides[1] == 1 && band_fits(conv)
}

/// Runs `conv`, for which [`can_run`] holds.
///
/// # Safety
///
/// The source, the weight and the target must be valid for the sizes of `conv`, and the target's
/// places distinct and nobody else's.
pub(super) unsafe fn run<T: Element>(isa: Isa, conv: &TapConv<'_, T>) {
    debug_assert_eq!(conv.parts, 1);
    let panels = Panels::new::<T>(isa, conv.rows);
    scratch::with(panels.packed_len(conv.depth()), |weight: &mut [T]| {
        // SAFETY: the caller's duty, passed on.
        unsafe {
            pack(isa, conv, &panels, weight);
            run_packed(isa, conv, &panels, weight);
        }
    });
}

/// Runs `conv` on its weight as [`pack`] has packed it.
///
/// # Safety
///
/// As [`run`].
unsafe fn run_packed<T: Element>(isa: Isa, conv: &TapConv<'_, T>, panels: &Panels, weight: &[T]) {
    let plan = Plan::new(conv, panels.count());
    let operations = parallel::operations([conv.rows, conv.depth(), conv.positions(), conv.batch]);
    parallel::for_each(plan.jobs(), operations, |index| {
        let job = plan.job(index);
        scratch::with(plan.band_len(), |band: &mut [T]| {
            // SAFETY: the caller's duty, passed on; jobs share no place and channel of the target.
            let seen = unsafe { plan.seen(conv, &job, band) };
            T::run(isa, Tiles { conv, plan: &plan, panels, weight, job, seen });
        });
    });
}
