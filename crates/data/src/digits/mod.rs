//! Digits drawn stroke by stroke, in MNIST's manner: something to train on where there is no data.
//!
//! Each digit is written in several ways, as people do. The points of its strokes are moved a
//! little, the whole is slanted, turned, stretched and bent, fitted into 20x20 pixels and centred
//! by its mass in 28x28, as MNIST was made (LeCun, Bottou, Bengio, Haffner 1998), and drawn
//! with a pen of random width and softness, with some noise, white on black.

#[rustfmt::skip] // one line for a stroke
mod glyphs;
mod pen;

use std::f32::consts::TAU;

use rand::RngExt;
use rand::distr::Distribution;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use rayon::prelude::*;

use crate::dataset::{Dataset, Splits};
use crate::error::{DataError, Result};
use crate::random::generator;
use glyphs::DIGITS;
use pen::{Pen, Point, SIDE, smooth};

/// How many digits to draw, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digits {
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub valid: usize,
    /// The seed; it and the place of an image in its set determine the image.
    pub seed: u64,
}

impl Default for Digits {
    fn default() -> Self {
        Digits { train: 20_000, valid: 4_000, seed: 42 }
    }
}

/// Draws a training and a validation set of grey 28x28 images, each digit as often as the others.
/// The same configuration gives the same images, on any number of threads.
///
/// ```
/// use topedge_data::digits::{self, Digits};
///
/// let splits = digits::generate(&Digits { train: 100, valid: 20, ..Default::default() })?;
/// assert_eq!(splits.train.len(), 100);
/// assert_eq!(splits.train.image_shape(), [1, 28, 28]);
/// assert_eq!(splits.train.vocab()[7], "7");
/// # Ok::<(), topedge_data::DataError>(())
/// ```
///
/// # Errors
///
/// When training or validation has not one of each digit.
pub fn generate(config: &Digits) -> Result<Splits> {
    Splits::new(
        draw_set(config.train, [config.seed, 0])?,
        draw_set(config.valid, [config.seed, 1])?,
    )
}

fn draw_set(len: usize, [seed, split]: [u64; 2]) -> Result<Dataset> {
    let image_len = SIDE * SIDE;
    let mut pixels = Vec::new();
    let bytes = len.saturating_mul(image_len);
    if pixels.try_reserve_exact(bytes).is_err() {
        let expected = "what fits into memory";
        return Err(DataError::setting("number of digits", len, expected));
    }
    pixels.resize(bytes, 0);
    let digit = |i: usize| i % DIGITS.len();
    pixels.par_chunks_exact_mut(image_len).enumerate().for_each(|(i, pixels)| {
        draw(digit(i), &mut generator(&[seed, split, i as u64]), pixels);
    });
    let labels = (0..len).map(|i| digit(i) as u32).collect();
    let vocab = (0..DIGITS.len()).map(|d| d.to_string()).collect();
    Dataset::new(pixels, [1, SIDE, SIDE], labels, vocab)
}

/// Draws one digit into `pixels`.
fn draw(digit: usize, rng: &mut Pcg64, pixels: &mut [u8]) {
    let mut strokes = write(digit, rng);
    distort(&mut strokes, rng);
    let pen = Pen { radius: rng.random_range(0.7..2.1), softness: rng.random_range(0.8..1.6) };
    fit(&mut strokes, pen.radius, rng);
    let noise = rng.random_range(0.0..0.06_f32);
    for (pixel, cover) in pixels.iter_mut().zip(pen.draw(&strokes)) {
        *pixel = ((cover + noise * normal(rng)) * 255.0).round() as u8;
    }
}

/// One of the ways to write `digit`, its points moved a little.
fn write(digit: usize, rng: &mut Pcg64) -> Vec<Vec<Point>> {
    let variants = DIGITS[digit];
    let total: f32 = variants.iter().map(|v| v.weight).sum();
    let mut at = rng.random_range(0.0..total);
    let chosen = variants.iter().find(|v| {
        at -= v.weight;
        at < 0.0
    });
    let wobble = rng.random_range(0.01..0.07);
    let strokes = chosen.unwrap_or(&variants[0]).strokes;
    strokes.iter().map(|s| trim(smooth(&wobbly(s, wobble, rng)), rng)).collect()
}

/// The points of a stroke, each moved by about `wobble`.
fn wobbly(stroke: &[glyphs::Point], wobble: f32, rng: &mut Pcg64) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::with_capacity(stroke.len());
    for (i, &(x, y)) in stroke.iter().enumerate() {
        // A corner is one point, moved once.
        let corner = i > 0 && stroke[i - 1] == (x, y);
        let point = match points.last() {
            Some(&point) if corner => point,
            _ => [x, y].map(|v| f32::from(v) / 100.0 + wobble * normal(rng)),
        };
        points.push(point);
    }
    points
}

/// Cuts a little off both ends: loops stay open, bars stay short.
fn trim(mut curve: Vec<Point>, rng: &mut Pcg64) -> Vec<Point> {
    let mut share = || (curve.len() as f32 * rng.random_range(0.0..0.12)) as usize;
    let (start, end) = (share(), share());
    curve.truncate(curve.len() - end);
    curve.drain(..start);
    curve
}

/// Bends, stretches, slants and turns the strokes around the middle of their box.
fn distort(strokes: &mut [Vec<Point>], rng: &mut Pcg64) {
    // Powers near 1 move the middle of the digit: one loop of an 8 grows, the other shrinks.
    let powers = [(0.15 * normal(rng)).exp(), (0.2 * normal(rng)).exp()];
    let bend = rng.random_range(0.0..0.05);
    let phases = [rng.random_range(0.0..TAU), rng.random_range(0.0..TAU)];
    let width = rng.random_range(0.5..1.2);
    let slant = 0.12 + 0.28 * normal(rng);
    let (sin, cos) = (0.1 * normal(rng)).sin_cos();
    let power = |value: f32, power: f32| {
        let inside = value.clamp(0.0, 1.0);
        inside.powf(power) + (value - inside)
    };
    for [x, y] in strokes.iter_mut().flatten() {
        let (u, v) = (power(*x, powers[0]) - 0.5, power(*y, powers[1]) - 0.5);
        // A slow wave across the digit.
        let (u, v) =
            (u + bend * (TAU * v + phases[0]).sin(), v + bend * (TAU * u + phases[1]).sin());
        let u = width * u - slant * v;
        (*x, *y) = (cos * u - sin * v, sin * u + cos * v);
    }
}

/// Fits the strokes of a pen into 20x20 pixels and moves their mass to the middle of the image.
fn fit(strokes: &mut [Vec<Point>], radius: f32, rng: &mut Pcg64) {
    let points = || strokes.iter().flatten();
    let extent = [0, 1].map(|axis| {
        let values = points().map(|p| p[axis]);
        let low = values.clone().fold(f32::INFINITY, f32::min);
        values.fold(f32::NEG_INFINITY, f32::max) - low
    });
    let box_side = 20.0 * rng.random_range(0.92..1.04);
    let scale = (box_side - 2.0 * radius) / extent[0].max(extent[1]).max(f32::MIN_POSITIVE);
    let mass = centre(strokes);
    let shift = [0, 1].map(|_| 0.5 * normal(rng));
    for point in strokes.iter_mut().flatten() {
        *point =
            [0, 1].map(|axis| (point[axis] - mass[axis]) * scale + SIDE as f32 / 2.0 + shift[axis]);
    }
}

/// The centre of mass of the strokes.
fn centre(strokes: &[Vec<Point>]) -> Point {
    let mut mass = f32::MIN_POSITIVE;
    let mut sum = [0.0, 0.0];
    for ends in strokes.iter().flat_map(|stroke| stroke.windows(2)) {
        let (a, b) = (ends[0], ends[1]);
        let length = (b[0] - a[0]).hypot(b[1] - a[1]);
        mass += length;
        sum = [0, 1].map(|axis| sum[axis] + length * (a[axis] + b[axis]) / 2.0);
    }
    sum.map(|s| s / mass)
}

fn normal(rng: &mut Pcg64) -> f32 {
    StandardNormal.sample(rng)
}
