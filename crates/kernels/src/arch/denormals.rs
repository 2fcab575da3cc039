//! Denormals are flushed to zero while kernels run: arithmetic on them takes a hundred times as
//! long on many machines, and training drives dead activations and averages right into them.
//!
//! Rust promises its arithmetic for the default state of these flags alone. What runs meanwhile is the kernels and
//! what a loop's jobs call: for them the compiler may at most have folded a constant that is a denormal, of
//! which there are none, and no memory is reached by what a flag decides.

#[cfg(target_arch = "x86_64")]
mod control {
    use std::arch::asm;

    /// Flush-to-zero (results) and denormals-are-zero (operands) of MXCSR.
    pub(super) const FLUSH: u64 = (1 << 15) | (1 << 6);

    #[inline]
    pub(super) fn read() -> u64 {
        let mut mxcsr = 0u32;
        // SAFETY: stores four bytes at `mxcsr`; SSE is part of x86-64.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut mxcsr, options(nostack, preserves_flags)) };
        u64::from(mxcsr)
    }

    #[inline]
    pub(super) fn write(state: u64) {
        let mxcsr = state as u32;
        // SAFETY: `state` came from `read`, with only the two flush bits changed: all its bits are
        // valid, and exceptions stay masked as they were.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &mxcsr, options(nostack, preserves_flags, readonly))
        };
    }
}

#[cfg(target_arch = "aarch64")]
mod control {
    use std::arch::asm;

    /// Flush-to-zero of FPCR.
    pub(super) const FLUSH: u64 = 1 << 24;

    #[inline]
    pub(super) fn read() -> u64 {
        let fpcr: u64;
        // SAFETY: reads a register that every aarch64 has.
        unsafe { asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack, preserves_flags)) };
        fpcr
    }

    #[inline]
    pub(super) fn write(state: u64) {
        // SAFETY: `state` came from `read`, with only the flush bit changed.
        unsafe { asm!("msr fpcr, {}", in(reg) state, options(nomem, nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod control {
    pub(super) const FLUSH: u64 = 0;

    pub(super) fn read() -> u64 {
        0
    }

    pub(super) fn write(_: u64) {}
}

/// While it lives, denormals are zero on this thread; then the caller's state is back.
pub(crate) struct FlushDenormals {
    caller: u64,
}

impl FlushDenormals {
    #[inline]
    pub(crate) fn enter() -> Self {
        let caller = control::read();
        if caller & control::FLUSH != control::FLUSH {
            control::write(caller | control::FLUSH);
        }
        Self { caller }
    }
}

impl Drop for FlushDenormals {
    #[inline]
    fn drop(&mut self) {
        if self.caller & control::FLUSH != control::FLUSH {
            control::write(self.caller);
        }
    }
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn flushes_and_restores() {
        let tiny = black_box(f32::MIN_POSITIVE);
        let before = control::read();
        {
            let _flush = FlushDenormals::enter();
            assert_eq!(black_box(black_box(tiny) * 0.5), 0.0);
        }
        assert_eq!(control::read(), before);
        assert!(black_box(black_box(tiny) * 0.5) > 0.0);
    }

    #[test]
    fn restores_after_a_panic() {
        let before = control::read();
        let caught = std::panic::catch_unwind(|| {
            let _flush = FlushDenormals::enter();
            panic!("inside");
        });
        assert!(caught.is_err());
        assert_eq!(control::read(), before);
    }
    /// A kernel that panics while denormals are flushed.
    struct Panicking;

    impl crate::arch::Kernel<f32> for Panicking {
        type Output = ();

        #[inline(always)]
        fn run<V: crate::arch::Microkernel<Elem = f32>>(self) {
            assert_ne!(control::read() & control::FLUSH, 0);
            panic!("inside a kernel");
        }
    }

    #[test]
    fn restores_after_a_panic_in_a_kernel() {
        for isa in crate::arch::Isa::available() {
            let before = control::read();
            assert!(std::panic::catch_unwind(|| isa.run_f32(Panicking)).is_err());
            assert_eq!(control::read(), before, "{}", isa.name());
        }
    }
}
