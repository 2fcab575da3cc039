//! Which path a convolution takes: the one place where that is decided, by shape alone. Of a batch in parts that
//! is the shape of a part.
//!
//! Figures are GFLOP/s, where nothing else is said of one core.
//!
//! Images that lie channels-last take their own path, which at a peak of 272 is 1.3 to 4.5 times as fast
//! as the general one forward and backward to the input, on every layer of `crates/topedge/src/bench/conv2d.txt`
//! (ResNet-50's 3x3 layer of 64 channels: 246 against 146; its first one: 220 against 112).

use std::slice::from_ref;

use super::geometry::Geometry;
use super::taps::TapConv;
use super::{backward_weight, bias, channels_last, direct, packed, planar, winograd};
use crate::arch::{Isa, MAX_LANES};
use crate::element::Element;
use crate::parallel;
use crate::scratch;
use crate::settings::Winograd;
use crate::view::{BatchRef, TensorMut, TensorRef};

/// Places of a row up to which the direct gradient of the weight is the faster one, whatever else: the general
/// path sums row by row. On one core with a peak of 272, batch-last: 128 images with 256 channels of source and
/// target on 8x8 places 239 against 219, with 512 on 4x4 253 against 194 and on 2x2 271 against 111.
const DIRECT_SHORT: usize = 8;
/// Weights of a group up to which it is that, too: 8192 by one tap on 32x32 places of 64 images 104 against 50,
/// 16,384 on 28x28 108 against 72, 9216 by 3x3 taps on 16x16 of 512 164 against 113.
const DIRECT_WEIGHTS: usize = 1 << 14;
/// Beyond both, values that a row of places sees and writes, of all images, up to which it is: then they stay in
/// the second cache while each panel of the weight passes them. With 128 channels on 14x14 places of 64 images
/// (459,000 values) 240 against 201, with 64 by 128 on every second place of 32x32 (524,000) 170 against 144; but
/// with 256 channels on 14x14 (917,000) 201 against 221, with 256 by 512 on every second place of 28x28 52 against
/// 121.
const DIRECT_ROW: usize = 1 << 19;
/// Places of a row from which on it no longer is: with 64 channels on 28x28 places of 64 images 144 against 162, on
/// 56x56 of 32 131 against 168, but on 20x20 of 64 186 against 164.
const DIRECT_WIDE: usize = 28;

/// Channels of the source up to which copying bands is faster than packing, for NCHW images and several taps
/// whose places fill three quarters of their vectors. On one core with a peak of 272: ResNet-50's first layer
/// backward to its 3 channels 38 against 95, the same with 64 channels on 32x32 places 31 against 76, and
/// forward 116 against 177; 64 by 64 channels on 32x32 places (without Winograd's method) 193 against 239, on
/// 56x56 203 against 205; but 128 by 128 on 16x16 places 212 against 190, 256 by 256 on 14x14 224 against 167,
/// and 64 channels of 56x56 places by one tap 195 against 168.
const PLANAR_CHANNELS: usize = 64;

/// Channels of source and target from which on Winograd's method is the faster one. On a core with a
/// peak of 272, batch-last and contiguous: with 16 of each it is 1.8 and 2.1 times as fast as the other paths,
/// with 64 on 32x32 places 2.0 times (209 to 411 GFLOP/s of the plain sum), with 256 on 8x8 places 2.3 times
/// (294 to 669). With 8 it is so as well where it was measured (1.2 and 2.6), but by so little batch-last that
/// there the exacter sum is kept.
const WINOGRAD_CHANNELS: usize = 16;
/// Tiles, likewise: fewer do not make good for the transform of the weight. With 512 channels 4 tiles
/// are half as fast as the general path, and 32 are 1.5 times as fast.
const WINOGRAD_TILES: usize = 16;
/// The same for the gradient of the weight, times the part of the tiles that is inside the grid: tiles that
/// hang over are no matter where there are many channels. On two such cores, channels-last, 128 images:
/// with 64 channels on 32x32 places it is 1.6 times as fast as the other paths (405 to 670), on 7x7 places
/// 1.4 times, and on 5x5 places slower (248 to 202); with 256 channels it is 2.9 times as fast on 3x3
/// places (198 to 571) and twice on 2x2; with 32 channels on 16x16 it is slower (419 to 310). It is the
/// faster one on a single image, too: with 512 channels on 7x7 places 4 times.
const WINOGRAD_GRADIENT_CHANNELS: usize = 48;
/// Places of a row below which the general path is the faster one for the gradient of the weight of
/// images that lie channels-last, too, if there are enough channels to fill its vectors and several taps
/// to share what it packs: 238 against 214, for 3x3 taps of 256 channels on rows of 14. Elsewhere it is
/// slower: 124 against 167 for ResNet-50's first layer, 137 against 182 for its strided 1x1 layer.
const SHORT_CHANNELS_LAST: usize = 16;
const MANY_CHANNELS: usize = 32;

/// Elements between the places that a kernel of one tap sees, from which on packing both operands of its
/// gradient is faster than reading the image where it lies: few sets of the first cache hold what is a
/// page apart. On two cores with a peak of 272 each, 8 images: 1024 channels by 256 on 14x14 places 448
/// against 358, 512 by 1024 on every second place of 28x28 411 against 272, 1024 by 32 322 against 273; but
/// 512 by 64 on 28x28 347 against 387, and 256 by 512 on every second place of 56x56 the same.
const POINTWISE_APART: usize = 1024;
/// The same for weights over places, whatever lies between those: 512 by 512 on 14x14 places of 8 images,
/// 167 weights a place, 439 against 394, 256 by 512 on 28x28 places of 2 (84) 392 against 362, of 4 (42)
/// 358 against 423.
const POINTWISE_WEIGHTS: usize = 64;
/// Up to as many weights a place, and where the target has more channels than the source, the transposed
/// product is the faster one: its jobs cut the many channels, and share the few, which are packed once. Then it
/// pays from this distance on: 256 by 512 on every second place of 56x56 347 against 295 on the image itself and 297
/// not transposed. With more weights the transposing costs more: 1024 by 2048 on every second place of
/// 14x14 347 against 455.
const TRANSPOSED_APART: usize = 512;

/// Runs some sums over taps, side by side.
///
/// # Safety
///
/// The sources, the weights and the targets must be valid for the sizes of the `convs`, which are in as many parts, in
/// each of these, and the targets' places distinct and nobody else's.
unsafe fn taps<T: Element>(isa: Isa, setting: Winograd, convs: &[TapConv<'_, T>]) {
    let by_tiles = |conv: &TapConv<'_, T>| {
        let pays = match setting {
            Winograd::Auto => size_of::<T>() == size_of::<f32>() && winograd_pays(conv),
            Winograd::Off => false,
            Winograd::Always => true,
        };
        pays && winograd::can_run(conv)
    };
    let directly = |conv: &TapConv<'_, T>| {
        !by_tiles(conv) && direct::can_run(conv) && fills_vectors(conv.batch)
    };
    if convs.iter().all(directly) {
        // SAFETY: the caller's duty, passed on.
        unsafe { direct::run(isa, convs) };
        return;
    }
    let parts = convs.first().map_or(0, |conv| conv.parts);
    let operations = convs.iter().map(TapConv::operations).fold(0, usize::saturating_add);
    let of_part = operations / parts.max(1);
    parallel::for_each_whole(parts, of_part, |part| {
        parallel::for_each(convs.len(), of_part, |index| {
            let conv = &convs[index].part(part);
            // SAFETY: the caller's duty, passed on.
            unsafe {
                if by_tiles(conv) {
                    winograd::run(isa, conv);
                } else if directly(conv) {
                    direct::run(isa, from_ref(conv));
                } else if channels_last::can_run(conv) {
                    channels_last::run(isa, conv);
                } else if planar::can_run(conv) && planar_pays(conv) {
                    planar::run(isa, conv);
                } else {
                    packed::run(isa, conv);
                }
            }
        });
    });
}

/// The paths of a number type: compiled once, in this crate, and not by each that calls a convolution.
pub trait Paths: Sized {
    /// Runs some sums over taps, side by side.
    ///
    /// # Safety
    ///
    /// The sources, the weights and the targets must be valid for the sizes of the `convs`, which are in as many
    /// parts, in each of these, and the targets' places distinct and nobody else's.
    #[doc(hidden)]
    #[allow(private_interfaces)] // Called in this crate alone.
    unsafe fn taps(isa: Isa, setting: Winograd, convs: &[TapConv<'_, Self>]);

    /// Computes the gradient of the weight and, if it is wanted, of the bias. The geometry is that of a part of the
    /// batch.
    #[doc(hidden)]
    #[allow(private_interfaces)] // Called in this crate alone.
    fn backward_weight(
        isa: Isa,
        setting: Winograd,
        geometry: &Geometry,
        x: &BatchRef<'_, Self>,
        dy: &BatchRef<'_, Self>,
        dw: &mut TensorMut<'_, Self>,
        db: Option<&mut [Self]>,
    );
}

macro_rules! paths {
    ($($element:ty),+) => {$(
        impl Paths for $element {
            #[allow(private_interfaces)]
            unsafe fn taps(isa: Isa, setting: Winograd, convs: &[TapConv<'_, Self>]) {
                // SAFETY: the caller's duty, passed on.
                unsafe { taps(isa, setting, convs) }
            }

            #[allow(private_interfaces)]
            fn backward_weight(
                isa: Isa,
                setting: Winograd,
                geometry: &Geometry,
                x: &BatchRef<'_, Self>,
                dy: &BatchRef<'_, Self>,
                dw: &mut TensorMut<'_, Self>,
                db: Option<&mut [Self]>,
            ) {
                weight_gradient(isa, setting, geometry, x, dy, dw, db);
            }
        }
    )+};
}

paths!(f32, f64);

/// Whether so many images leave few lanes empty, in which the direct paths would multiply nothing. On one core
/// with a peak of 272, forward with 64 channels on 14x14 places: 28 images 234 against 202, but 24 200 against 206, and
/// 8 107 against 190. Where a few more lanes decide, as with 14 (187 against 193), it matters little.
fn fills_vectors(images: usize) -> bool {
    let empty = images.next_multiple_of(MAX_LANES) - images;
    images >= 7 * empty
}

/// Whether the direct gradient of the weight is the faster one, where it can run.
fn direct_gradient_pays(geometry: &Geometry) -> bool {
    let (outputs, inputs) = (geometry.group_outputs(), geometry.group_inputs());
    let width = geometry.out_size[1];
    let seen = parallel::operations([inputs, geometry.kernel[0], geometry.in_size[1]]);
    let row = parallel::operations([geometry.batch, outputs * width + seen]);
    let few_weights = outputs * inputs * geometry.taps() <= DIRECT_WEIGHTS;
    let in_cache = width < DIRECT_WIDE && row <= DIRECT_ROW;
    // With lanes left empty, rows have to be short.
    width <= DIRECT_SHORT || fills_vectors(geometry.batch) && (few_weights || in_cache)
}

/// Whether Winograd's method is the faster one, where it can run.
fn winograd_pays<T>(conv: &TapConv<'_, T>) -> bool {
    let channels = conv.channels.min(conv.rows);
    let [height, width] = conv.grid.map(|size| size.div_ceil(winograd::OUT));
    // Of tiles that hang over the grid much of the work is lost. With 256 channels, batch-last, 4x4 and
    // 7x7 places gain, and 2x2, 5x5, 6x6 and 9x9 do not.
    let filled = 3 * conv.positions() >= 2 * height * width * winograd::OUT * winograd::OUT;
    channels >= WINOGRAD_CHANNELS && height * width * conv.batch >= WINOGRAD_TILES && filled
}

/// Whether copying bands of images that lie row by row is faster than packing them.
fn planar_pays<T>(conv: &TapConv<'_, T>) -> bool {
    let width = conv.grid[1];
    let filled = 4 * width >= 3 * width.next_multiple_of(MAX_LANES);
    conv.channels <= PLANAR_CHANNELS && conv.taps.len() > 1 && filled
}

/// Whether it is for the gradient of the weight.
fn winograd_gradient_pays(geometry: &Geometry) -> bool {
    let channels = geometry.group_inputs().min(geometry.group_outputs());
    let places = |size: [usize; 2]| size[0] * size[1];
    let tiles = geometry.out_size.map(|size| size.div_ceil(winograd::OUT) * winograd::OUT);
    channels * places(geometry.out_size) >= WINOGRAD_GRADIENT_CHANNELS * places(tiles)
}

/// Whether packing both operands is faster than reading the image where it lies; and then, whether the
/// transposed product is.
fn pointwise_pays<T: Copy>(geometry: &Geometry, x: &TensorRef<'_, T>) -> Option<bool> {
    let (rows, channels) = (geometry.group_outputs(), geometry.group_inputs());
    let places = geometry.batch * geometry.out_size[0] * geometry.out_size[1];
    let many_weights = rows * channels / POINTWISE_WEIGHTS >= places;
    let transposed = rows > channels && !many_weights;
    let apart = x.strides()[3].saturating_mul(geometry.config.stride[1]);
    let least = if transposed { TRANSPOSED_APART } else { POINTWISE_APART };
    (many_weights || apart >= least).then_some(transposed)
}

/// The paths of the gradient of the weight.
#[derive(Clone, Copy)]
enum WeightPath {
    /// There are no weights, or nothing that they see.
    Nothing,
    Taps,
    Winograd,
    Pointwise {
        transposed: bool,
    },
    Direct,
    ChannelsLast,
    Packed,
}

fn weight_path<T: Element>(
    setting: Winograd,
    geometry: &Geometry,
    x: &TensorRef<'_, T>,
    dy: &TensorRef<'_, T>,
) -> WeightPath {
    let weights = geometry.group_outputs() * geometry.group_inputs() * geometry.taps();
    if weights == 0 || x.shape().contains(&0) {
        return WeightPath::Nothing;
    }
    if backward_weight::taps::must_run(geometry) {
        return WeightPath::Taps;
    }
    let by_tiles = match setting {
        Winograd::Auto => size_of::<T>() == size_of::<f32>() && winograd_gradient_pays(geometry),
        Winograd::Off => false,
        Winograd::Always => true,
    };
    if by_tiles && backward_weight::winograd::can_run(geometry) {
        return WeightPath::Winograd;
    }
    if backward_weight::pointwise::can_run(geometry, x, dy)
        && let Some(transposed) = pointwise_pays(geometry, x)
    {
        return WeightPath::Pointwise { transposed };
    }
    let packs = geometry.out_size[1] < SHORT_CHANNELS_LAST
        && geometry.group_inputs() >= MANY_CHANNELS
        && geometry.taps() > 1;
    if backward_weight::direct::can_run(x, dy) && direct_gradient_pays(geometry) {
        WeightPath::Direct
    } else if backward_weight::channels_last::can_run(x, dy) && !packs {
        WeightPath::ChannelsLast
    } else {
        WeightPath::Packed
    }
}

/// Computes the gradient of the weight and, if it is wanted, of the bias. The geometry is that of a part of the batch.
fn weight_gradient<T: Element>(
    isa: Isa,
    setting: Winograd,
    geometry: &Geometry,
    x: &BatchRef<'_, T>,
    dy: &BatchRef<'_, T>,
    dw: &mut TensorMut<'_, T>,
    db: Option<&mut [T]>,
) {
    let path = weight_path(setting, geometry, &x.part(0), &dy.part(0));
    if let WeightPath::Direct = path {
        // It sums the gradient of the bias on its way.
        return backward_weight::direct::run(isa, geometry, x, dy, dw, db);
    }
    if let Some(db) = db {
        bias::run(isa, dy, db);
    }
    let run = |part, dw: &mut TensorMut<'_, T>| {
        weight_gradient_of_part(isa, setting, path, geometry, [x, dy].map(|of| of.part(part)), dw);
    };
    run(0, dw);
    if x.parts() > 1 {
        let shape = dw.shape();
        scratch::with(shape.iter().product(), |of_part: &mut [T]| {
            for part in 1..x.parts() {
                let mut view =
                    TensorMut::contiguous(of_part, shape).expect("as long as the shape says");
                run(part, &mut view);
                backward_weight::add(dw, of_part);
            }
        });
    }
}

/// The gradient of the weight over one part of the batch, by another path than the direct one.
fn weight_gradient_of_part<T: Element>(
    isa: Isa,
    setting: Winograd,
    path: WeightPath,
    geometry: &Geometry,
    [x, dy]: [TensorRef<'_, T>; 2],
    dw: &mut TensorMut<'_, T>,
) {
    let (x, dy) = (&x, &dy);
    match path {
        WeightPath::Nothing => dw.fill(T::ZERO),
        WeightPath::Taps => {
            backward_weight::taps::run(geometry, x, dy, dw, |geometry, x, dy, dw| {
                let (x, dy) = ((*x).into(), (*dy).into());
                weight_gradient(isa, setting, geometry, &x, &dy, dw, None);
            });
        }
        WeightPath::Winograd => backward_weight::winograd::run(isa, geometry, x, dy, dw),
        WeightPath::Pointwise { transposed } => {
            backward_weight::pointwise::run(isa, geometry, transposed, x, dy, dw);
        }
        WeightPath::Direct => unreachable!("it sums all parts by itself"),
        WeightPath::ChannelsLast => {
            backward_weight::channels_last::run(isa, geometry, x, dy, dw);
        }
        WeightPath::Packed => backward_weight::packed::run(isa, geometry, x, dy, dw),
    }
}
