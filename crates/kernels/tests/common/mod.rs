//! What the tests share.

use topedge_kernels::Isa;

/// Calls `test` once on each instruction set that this machine has, forced.
pub fn each_isa(test: impl Fn(Isa)) {
    for isa in Isa::available() {
        isa.with(|| {
            assert_eq!(Isa::current(), isa, "the forced instruction set did not take");
            test(isa);
        });
    }
}
