//! A sweep over random shapes: forward and both gradients, on every instruction set, in every memory
//! format, as chosen and by each path that can run the shape, against the naive loops; and on several
//! numbers of threads against one.
//!
//! Data of the first are small whole numbers: every sum is exact, so results must be equal to the last bit. Of
//! Winograd's method, whose constants round, the error must be within the bounds that
//! `tests/common/winograd.rs` states.
//!
//! Every buffer touches a page that may not be touched: of even shapes the one behind it, of odd ones
//! the one before.
//!
//! Shape `i` is made from `SEED` and `i` alone. The long sweep, of 20,000 shapes:
//! `cargo test -p topedge-kernels --lib -- --ignored --nocapture sweep`.

#[path = "../../tests/common/guard.rs"]
mod guard;
#[path = "../../tests/common/winograd.rs"]
mod winograd_error;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use self::guard::{Guarded, Side};
use super::taps::{self, TapConv};
use super::{
    Conv2dConfig, Geometry, backward_weight, channels_last, direct, packed, planar, winograd,
};
use crate::arch::Isa;
use crate::element::Element;
use crate::reference::conv2d as naive;
use crate::settings::Winograd;
use crate::view::{TensorMut, TensorRef};

const SEED: u64 = 20_261_125;

/// Products of a shape at most: the naive loops take a nanosecond or two for each.
const PRODUCTS: usize = 200_000;

/// Steele, Lea and Flood's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`.
    fn within(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low + 1) as u64) as usize
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    /// Whole numbers from -4 to 3.
    fn integers<T: Element>(&mut self, len: usize) -> Vec<T> {
        (0..len).map(|_| T::from_f64((self.next() % 8) as f64 - 4.0)).collect()
    }

    /// Numbers from -0.5 to 0.5.
    fn noise(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32 - 0.5).collect()
    }

    /// Strides of NCHW, channels-last or batch-last, by `format`, sometimes with gaps or the axes in
    /// any order; and how many elements they need.
    fn layout(&mut self, shape: [usize; 4], format: usize) -> ([usize; 4], usize) {
        let mut order = [[0, 1, 2, 3], [0, 2, 3, 1], [1, 2, 3, 0]][format];
        if self.one_in(12) {
            for i in (1..4).rev() {
                order.swap(i, self.within(0, i));
            }
        }
        let gaps = self.one_in(3);
        let mut strides = [0; 4];
        let mut next = if self.one_in(16) { 2 } else { 1 };
        for axis in order.into_iter().rev() {
            strides[axis] = next;
            next = next * shape[axis].max(1) + if gaps { self.within(0, 3) } else { 0 };
        }
        let last: usize = strides.iter().zip(shape).map(|(s, size)| s * size.max(1) - s).sum();
        (strides, if shape.contains(&0) { 0 } else { last + 1 })
    }
}

#[derive(Debug)]
struct Case {
    index: usize,
    input: [usize; 4],
    weight: [usize; 4],
    config: Conv2dConfig,
    /// Of the input, the weight and the output: strides, and how many elements they need.
    layouts: [([usize; 4], usize); 3],
    bias: bool,
}

impl Case {
    fn output(&self) -> [usize; 4] {
        Geometry::new("sweep", self.input, self.weight, &self.config)
            .expect("checked before")
            .output()
    }

    /// The `index`th case, whose sizes fit together.
    fn new(index: usize) -> (Self, Random) {
        let mut random = Random(SEED ^ (index as u64).wrapping_mul(0xA076_1D64_78BD_642F));
        loop {
            let r = &mut random;
            // Some are of the kind that Winograd's method takes, some have one tap.
            let kind = r.within(0, 7);
            let axis = |r: &mut Random| {
                let size = r.within(0, 16);
                match kind {
                    0..=2 => [size, 3, 1, r.within(0, 6), 1],
                    3 | 4 => [size, 1, r.within(1, 4), 0, 1],
                    _ => [size, r.within(1, 5), r.within(1, 4), r.within(0, 6), r.within(1, 3)],
                }
            };
            let (height, width) = (axis(r), axis(r));
            let (groups, many) = (if r.one_in(3) { r.within(2, 4) } else { 1 }, r.one_in(4));
            let most = if many { 80 } else { 12 };
            let (inputs, outputs) = (r.within(0, most).max(1), r.within(0, most).max(1));
            let zero = |r: &mut Random, size: usize| if r.one_in(100) { 0 } else { size };
            let batch = if r.one_in(2) { r.within(1, 6) } else { r.within(7, 80) };
            let (batch, inputs, outputs) = (zero(r, batch), zero(r, inputs), zero(r, outputs));
            let input = [batch, groups * inputs, height[0], width[0]];
            let weight = [groups * outputs, inputs, height[1], width[1]];
            let config = Conv2dConfig {
                stride: [height[2], width[2]],
                padding: [height[3], width[3]],
                dilation: [height[4], width[4]],
                groups,
            };
            let Ok(geometry) = Geometry::new("sweep", input, weight, &config) else { continue };
            let output = geometry.output();
            let products = output.iter().product::<usize>() * inputs * geometry.taps();
            if products > PRODUCTS {
                continue;
            }
            // Paths for one format want it on both sides.
            let format = r.within(0, 2);
            let other = if r.one_in(3) { r.within(0, 2) } else { format };
            let weights = if r.one_in(3) { format } else { 0 };
            let layouts =
                [r.layout(input, format), r.layout(weight, weights), r.layout(output, other)];
            let bias = r.one_in(2);
            return (Self { index, input, weight, config, layouts, bias }, random);
        }
    }
}

/// Some sums over taps by one path, or `false` if that cannot run all of them.
type TapsPath<T> = fn(Isa, &[TapConv<'_, T>]) -> bool;
/// The same for the gradient of the weight.
type WeightPath<T> =
    fn(Isa, &Geometry, &TensorRef<'_, T>, &TensorRef<'_, T>, &mut TensorMut<'_, T>) -> bool;

macro_rules! path {
    ($path:ident) => {
        |isa, convs| {
            let can = convs.iter().all($path::can_run);
            for conv in convs.iter().take_while(|_| can) {
                // SAFETY: `conv` is of views, by the geometry that they were checked against.
                unsafe { $path::run(isa, conv) }
            }
            can
        }
    };
}

fn taps_paths<T: Element>() -> [(&'static str, TapsPath<T>); 6] {
    [
        ("chosen", |isa, convs| {
            // SAFETY: the `convs` are of views, by the geometry that they were checked against.
            unsafe { T::taps(isa, Winograd::Off, convs) };
            true
        }),
        ("direct", |isa, convs| {
            let can = convs.iter().all(direct::can_run);
            if can {
                // SAFETY: as above.
                unsafe { direct::run(isa, convs) };
            }
            can
        }),
        ("channels-last", path!(channels_last)),
        ("planar", path!(planar)),
        ("packed", |isa, convs| {
            for conv in convs {
                // SAFETY: as above.
                unsafe { packed::run(isa, conv) };
            }
            true
        }),
        ("winograd", path!(winograd)),
    ]
}

fn weight_paths<T: Element>() -> [(&'static str, WeightPath<T>); 8] {
    [
        ("weight, chosen", |isa, geometry, x, dy, dw| {
            T::backward_weight(isa, Winograd::Off, geometry, &(*x).into(), &(*dy).into(), dw, None);
            true
        }),
        ("weight, direct", |isa, geometry, x, dy, dw| {
            let can = backward_weight::direct::can_run(x, dy);
            if can {
                backward_weight::direct::run(isa, geometry, &(*x).into(), &(*dy).into(), dw, None);
            }
            can
        }),
        ("weight, channels-last", |isa, geometry, x, dy, dw| {
            let can = backward_weight::channels_last::can_run(x, dy);
            if can {
                backward_weight::channels_last::run(isa, geometry, x, dy, dw);
            }
            can
        }),
        ("weight, pointwise", |isa, geometry, x, dy, dw| {
            let can = backward_weight::pointwise::can_run(geometry, x, dy);
            if can {
                backward_weight::pointwise::run(isa, geometry, false, x, dy, dw);
            }
            can
        }),
        ("weight, pointwise, transposed", |isa, geometry, x, dy, dw| {
            let can = backward_weight::pointwise::can_run(geometry, x, dy);
            if can {
                backward_weight::pointwise::run(isa, geometry, true, x, dy, dw);
            }
            can
        }),
        ("weight, packed", |isa, geometry, x, dy, dw| {
            backward_weight::packed::run(isa, geometry, x, dy, dw);
            true
        }),
        ("weight, tap by tap", |isa, geometry, x, dy, dw| {
            backward_weight::taps::run(geometry, x, dy, dw, |geometry, x, dy, dw| {
                T::backward_weight(
                    isa,
                    Winograd::Off,
                    geometry,
                    &(*x).into(),
                    &(*dy).into(),
                    dw,
                    None,
                );
            });
            true
        }),
        ("weight, winograd", |isa, geometry, x, dy, dw| {
            let can = backward_weight::winograd::can_run(geometry);
            if can {
                backward_weight::winograd::run(isa, geometry, x, dy, dw);
            }
            can
        }),
    ]
}

/// How often each path ran.
type Runs = BTreeMap<&'static str, usize>;

/// What a path computes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Output,
    InputGradient,
    WeightGradient,
    BiasGradient,
}

/// What the paths of a case read, and what their results start as.
struct Buffers<T> {
    x: Guarded<T>,
    w: Guarded<T>,
    dy: Guarded<T>,
    dx: Guarded<T>,
    dw: Guarded<T>,
    y: Guarded<T>,
    bias: Option<Guarded<T>>,
    side: Side,
}

impl<T: Element> Buffers<T> {
    fn new(case: &Case, mut numbers: impl FnMut(usize) -> Vec<T>) -> Self {
        let [(_, x_len), (_, w_len), (_, y_len)] = case.layouts;
        let side = if case.index.is_multiple_of(2) { Side::After } else { Side::Before };
        let mut numbers = |len| Guarded::new(&numbers(len), side);
        let (x, w, dy) = (numbers(x_len), numbers(w_len), numbers(y_len));
        let (dx, dw, y) = (numbers(x_len), numbers(w_len), numbers(y_len));
        let bias = case.bias.then(|| numbers(case.weight[0]));
        Self { x, w, dy, dx, dw, y, bias, side }
    }

    fn copy(&self, values: &[T]) -> Guarded<T> {
        Guarded::new(values, self.side)
    }

    /// Input, weight and gradient of the output.
    fn views(&self, case: &Case) -> [TensorRef<'_, T>; 3] {
        let [(xs, _), (ws, _), (ys, _)] = case.layouts;
        let view = |values, shape, strides| TensorRef::new(values, shape, strides).expect("inside");
        [
            view(&self.x, case.input, xs),
            view(&self.w, case.weight, ws),
            view(&self.dy, case.output(), ys),
        ]
    }
}

/// Runs each path that can run the case, and calls `each` with its name and each of its results.
fn run_paths<T: Element>(
    case: &Case,
    buffers: &Buffers<T>,
    isa: Isa,
    runs: &mut Runs,
    mut each: impl FnMut(&'static str, Outcome, &[T]),
) {
    let Case { input, weight, config, layouts: [(xs, _), (ws, _), (ys, _)], .. } = *case;
    let geometry = Geometry::new("sweep", input, weight, &config).expect("checked before");
    let output = geometry.output();
    let [x, w, dy] = buffers.views(case);
    let bias = buffers.bias.as_deref();
    for (path, run) in taps_paths::<T>() {
        // Groups and phases that this path cannot run are left to the general one.
        let ran = AtomicBool::new(false);
        let sums = |convs: &[TapConv<'_, T>]| {
            if run(isa, convs) {
                ran.store(true, Ordering::Relaxed);
            } else {
                // SAFETY: the `convs` are of views, by the geometry that they were checked against.
                unsafe { T::taps(isa, Winograd::Off, convs) };
            }
        };
        // Without any place there is nothing that a path may be given.
        if !output.contains(&0) {
            let mut got = buffers.copy(&buffers.y);
            let view = TensorMut::new(&mut got, output, ys).expect("inside");
            taps::forward(&geometry, &x.into(), &w, bias, &mut view.into(), sums);
            each(path, Outcome::Output, &got);
        }
        if !input.contains(&0) {
            let mut got = buffers.copy(&buffers.dx);
            let view = TensorMut::new(&mut got, input, xs).expect("inside");
            taps::backward_input(&geometry, &dy.into(), &w, &mut view.into(), sums);
            each(path, Outcome::InputGradient, &got);
        }
        *runs.entry(path).or_default() += usize::from(ran.into_inner());
    }
    for (path, run) in weight_paths::<T>() {
        if !weight.contains(&0) {
            let mut got = buffers.copy(&buffers.dw);
            let mut view = TensorMut::new(&mut got, weight, ws).expect("inside");
            let ran = run(isa, &geometry, &x, &dy, &mut view);
            if ran {
                each(path, Outcome::WeightGradient, &got);
            }
            *runs.entry(path).or_default() += usize::from(ran);
        }
    }
    // With the gradient of the bias, which the direct path sums on its way.
    let (mut dw, mut db) = (buffers.copy(&buffers.dw), buffers.copy(&vec![T::ONE; output[1]]));
    let mut view = TensorMut::new(&mut dw, weight, ws).expect("inside");
    let (x, dy) = (x.into(), dy.into());
    T::backward_weight(isa, Winograd::Off, &geometry, &x, &dy, &mut view, Some(&mut db));
    each("weight, chosen", Outcome::BiasGradient, &db);
    if !weight.contains(&0) {
        each("weight, chosen", Outcome::WeightGradient, &dw);
    }
    if !weight.contains(&0) && backward_weight::direct::can_run(&x.part(0), &dy.part(0)) {
        db.fill(T::ONE);
        let mut view = TensorMut::new(&mut dw, weight, ws).expect("inside");
        backward_weight::direct::run(isa, &geometry, &x, &dy, &mut view, Some(&mut db));
        each("weight, direct", Outcome::BiasGradient, &db);
        each("weight, direct", Outcome::WeightGradient, &dw);
    }
}

fn check<T: Element>(index: usize, isas: &[Isa], runs: &mut Runs) {
    let (case, mut random) = Case::new(index);
    let Case { input, weight, config, layouts: [(xs, _), (ws, _), (ys, _)], .. } = case;
    let output = case.output();
    let buffers = Buffers::new(&case, |len| random.integers::<T>(len));
    let [x, w, dy] = buffers.views(&case);
    // Results start as something else, and what lies between their elements must not change.
    let copy = |values: &[T]| buffers.copy(values);
    let (mut want_y, mut want_dx, mut want_dw) =
        (copy(&buffers.y), copy(&buffers.dx), copy(&buffers.dw));
    let view = TensorMut::new(&mut want_y, output, ys).expect("inside");
    naive::forward(x, w, buffers.bias.as_deref(), &config, view).expect("checked before");
    let view = TensorMut::new(&mut want_dx, input, xs).expect("inside");
    naive::backward_input(dy, w, &config, view).expect("checked before");
    let view = TensorMut::new(&mut want_dw, weight, ws).expect("inside");
    naive::backward_weight(x, dy, &config, view).expect("checked before");
    let mut want_db = copy(&vec![T::ZERO; output[1]]);
    naive::backward_bias(dy, &mut want_db).expect("checked before");

    let terms = |channels: usize| (16 * 9 * channels.max(1)) as f64;
    let places = (16 * output[0] * output[2] * output[3]) as f64;
    let [of_y, of_dx, of_dw] = winograd_error::BOUNDS[usize::from(size_of::<T>() == 8)];
    for &isa in isas {
        run_paths(&case, &buffers, isa, runs, |path, what, got| {
            let (want, bound) = match what {
                Outcome::Output => (&want_y, of_y * terms(weight[1])),
                Outcome::InputGradient => (&want_dx, of_dx * terms(weight[0] / config.groups)),
                Outcome::WeightGradient => (&want_dw, of_dw * places),
                Outcome::BiasGradient => (&want_db, 0.0),
            };
            // A bound of 0 is equality.
            let bound = if path.ends_with("winograd") { bound } else { 0.0 };
            let same = |(&got, &want): (&T, &T)| {
                got == want || (got.to_f64() - want.to_f64()).abs() <= bound
            };
            let wrong = got.iter().zip(&**want).position(|pair| !same(pair));
            let (name, index) = (isa.name(), case.index);
            assert!(
                wrong.is_none(),
                "shape {index}, {what:?} by {path} on {name}: {wrong:?} {case:?}"
            );
        });
    }
}

fn sweep(shapes: usize) {
    println!("seed {SEED}, {shapes} shapes");
    let isas: Vec<Isa> = Isa::available().collect();
    let mut runs = Runs::new();
    for index in 0..shapes {
        check::<f32>(index, &isas, &mut runs);
        if index.is_multiple_of(8) {
            check::<f64>(index, &isas[..1], &mut runs);
        }
    }
    assert_all_ran(&runs, shapes * isas.len());
}

/// Fails unless each path ran in some of so many calls of [`run_paths`].
fn assert_all_ran(runs: &Runs, calls: usize) {
    println!("{runs:?}");
    for (path, &runs) in runs {
        assert!(runs >= calls / 24, "{path} ran only {runs} times");
    }
}

/// On numbers whose sums round, so that another order of adding them up would show.
#[test]
fn no_path_depends_on_the_number_of_threads() {
    const SHAPES: usize = 500;
    let isas: Vec<Isa> = Isa::available().collect();
    let pools = [1, 2, 3, 4, 8].map(|threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
    });
    let mut runs = Runs::new();
    for index in 0..SHAPES {
        let (case, mut random) = Case::new(index);
        let buffers = Buffers::new(&case, |len| random.noise(len));
        for &isa in &isas {
            let mut one: Vec<(&str, Outcome, Vec<u32>)> = vec![];
            for pool in &pools {
                let mut all = vec![];
                pool.install(|| {
                    run_paths(&case, &buffers, isa, &mut runs, |path, what, got| {
                        let bits = got.iter().map(|number| number.to_bits());
                        all.push((path, what, bits.collect()));
                    });
                });
                if one.is_empty() {
                    one = all;
                    continue;
                }
                assert_eq!(one.len(), all.len());
                for ((path, what, one), (.., several)) in one.iter().zip(&all) {
                    let (name, threads) = (isa.name(), pool.current_num_threads());
                    assert!(
                        one == several,
                        "{what:?} by {path} on {name} and {threads} threads: {case:?}"
                    );
                }
            }
        }
    }
    assert_all_ran(&runs, SHAPES * isas.len() * pools.len());
}

#[test]
fn sweep_of_500_shapes() {
    sweep(500);
}

#[test]
#[ignore = "minutes: the long sweep"]
fn sweep_of_20_000_shapes() {
    sweep(20_000);
}
