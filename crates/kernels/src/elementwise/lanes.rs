//! The one loop behind every kernel that treats each element alike.

use crate::arch::{Isa, Kernel, MAX_LANES, Microkernel, Vector};
use crate::element::Element;
use crate::error::{Result, check_len};
use crate::parallel::{self, MOVED, SharedMut};

/// What happens to one vector of each operand: a function of `IN` inputs and of the old values of
/// `OUT` outputs (whose loads vanish where it does not look at them).
pub(crate) trait Lanes<T: Element, const IN: usize, const OUT: usize>: Copy + Sync {
    /// Time for an element, relative to moving it.
    const COST: usize = 1;

    /// Implement as `#[inline(always)]`; see [`Kernel`].
    fn apply<V: Vector<Elem = T>>(self, inputs: [V; IN], old: [V; OUT]) -> [V; OUT];
}

/// Elements of a job: all operands of one stay in the second cache.
const CHUNK: usize = 1 << 13;

/// Runs `lanes` over slices of equal length, each with its name for errors of `op`.
pub(crate) fn each<T: Element, L: Lanes<T, IN, OUT>, const IN: usize, const OUT: usize>(
    op: &'static str,
    lanes: L,
    inputs: [(&str, &[T]); IN],
    outputs: [(&str, &mut [T]); OUT],
) -> Result<()> {
    let len = outputs[0].1.len();
    for (name, input) in &inputs {
        check_len(op, name, len, input.len())?;
    }
    for (name, output) in &outputs {
        check_len(op, name, len, output.len())?;
    }
    let isa = Isa::current();
    let inputs = inputs.map(|(_, input)| input);
    let outputs = outputs.map(|(_, output)| SharedMut::new(output.as_mut_ptr()));
    // Chunks of a size, and an even number of them, so that two threads have the same to do.
    let chunks = (len / CHUNK + 1).next_multiple_of(2);
    let chunk = len.div_ceil(chunks).next_multiple_of(MAX_LANES).max(1);
    parallel::for_each(len.div_ceil(chunk), len.saturating_mul(L::COST * MOVED), |job| {
        let start = job * chunk;
        let len = chunk.min(len - start);
        let inputs = inputs.map(|input| &input[start..][..len]);
        // SAFETY: inside the slices, whose lengths are equal; jobs take chunks of their own.
        let outputs = outputs
            .map(|output| unsafe { std::slice::from_raw_parts_mut(output.get().add(start), len) });
        T::run(isa, Chunk { lanes, len, inputs, outputs });
    });
    Ok(())
}

/// Slices of `len` elements.
struct Chunk<'a, T, L, const IN: usize, const OUT: usize> {
    lanes: L,
    len: usize,
    inputs: [&'a [T]; IN],
    outputs: [&'a mut [T]; OUT],
}

impl<T: Element, L: Lanes<T, IN, OUT>, const IN: usize, const OUT: usize> Kernel<T>
    for Chunk<'_, T, L, IN, OUT>
{
    type Output = ();

    #[inline(always)]
    fn run<V: Microkernel<Elem = T>>(self) {
        let Self { lanes, len, inputs, mut outputs } = self;
        let whole = len - len % V::LANES;
        for i in (0..whole).step_by(V::LANES) {
            // SAFETY: `i + LANES <= whole`, within every slice.
            unsafe {
                let x = inputs.each_ref().map(|input| V::load(input.as_ptr().add(i)));
                let old = outputs.each_ref().map(|output| V::load(output.as_ptr().add(i)));
                for (output, new) in outputs.iter_mut().zip(lanes.apply(x, old)) {
                    new.store(output.as_mut_ptr().add(i));
                }
            }
        }
        if whole < len {
            let x = inputs.each_ref().map(|input| V::from_partial(&input[whole..], T::ZERO));
            let old = outputs.each_ref().map(|output| V::from_partial(&output[whole..], T::ZERO));
            for (output, new) in outputs.iter_mut().zip(lanes.apply(x, old)) {
                new.write_partial(&mut output[whole..]);
            }
        }
    }
}

/// The elements of `x`: a whole vector, or fewer and then `fill`.
#[inline(always)]
pub(crate) fn load<V: Vector>(x: &[V::Elem], fill: V::Elem) -> V {
    if x.len() == V::LANES { V::from_slice(x) } else { V::from_partial(x, fill) }
}

/// Writes a whole vector, or as many lanes as `y` has places.
#[inline(always)]
pub(crate) fn store<V: Vector>(x: V, y: &mut [V::Elem]) {
    if y.len() == V::LANES { x.write_to(y) } else { x.write_partial(y) }
}

/// A number in every lane.
#[inline(always)]
pub(crate) fn splat<V: Vector>(x: f64) -> V {
    V::splat(V::Elem::from_f64(x))
}

/// Defines a struct with some numbers of the op, if it has any, that implements [`Lanes`] by a
/// formula. In the formula `V` is the vector type, and the numbers are splat over its lanes.
macro_rules! lanes {
    ($name:ident { $($number:ident),+ }, $($rest:tt)+) => {
        #[derive(Clone, Copy)]
        struct $name<T> {
            $($number: T),+
        }
        lanes!(impl ($name<T>) ($name { $($number),+ }) ($($number)+) $($rest)+);
    };
    ($name:ident, $($rest:tt)+) => {
        #[derive(Clone, Copy)]
        struct $name;
        lanes!(impl ($name) ($name) () $($rest)+);
    };
    (
        impl ($ty:ty) ($pattern:pat) ($($number:ident)*)
        $ins:literal -> $outs:literal, cost $cost:literal, |$x:pat_param, $old:pat_param| $new:expr
    ) => {
        impl<T: Element> Lanes<T, $ins, $outs> for $ty {
            const COST: usize = $cost;

            #[inline(always)]
            fn apply<V: Vector<Elem = T>>(self, $x: [V; $ins], $old: [V; $outs]) -> [V; $outs] {
                let $pattern = self;
                $(let $number = V::splat($number);)*
                $new
            }
        }
    };
}
pub(crate) use lanes;
