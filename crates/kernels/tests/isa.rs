//! The instruction set is the one that was asked for, or the best that there is.

use topedge_kernels::Isa;

#[test]
fn the_environment_is_obeyed() {
    let current = Isa::current();
    match std::env::var("TOPEDGE_ISA") {
        Ok(forced) => assert_eq!(current.name(), forced),
        Err(_) => assert_eq!(Some(current), Isa::available().next()),
    }
}

#[test]
fn the_portable_one_is_everywhere() {
    assert_eq!(Isa::available().last().map(Isa::name), Some("portable"));
}
