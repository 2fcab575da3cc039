//! Padding keeps an image's size, strides halve it.

use std::error::Error;
use std::io::stdout;

use topedge::autograd::Conv2dConfig;
use topedge::kernels::conv2d::output_shape;
use topedge::prelude::*;
use topedge::report::{Captioned, Gallery, Picture, Tell};

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    let [channels, mut side, _] = data.train.image_shape();
    let size = |side, kernel, padding, stride| {
        let config =
            Conv2dConfig { padding: [padding; 2], stride: [stride; 2], ..Default::default() };
        output_shape([1, channels, side, side], [1, channels, kernel, kernel], &config)
            .map(|shape| shape[2])
    };
    let bare = size(side, 3, 0, 1)?;
    out.question(5, "What is padding?")?;
    writeln!(out, "     Zeros around an image, so that the result is not smaller.")?;
    writeln!(out, "     Without, a kernel of 3 leaves {bare} of {side} pixels. With them:")?;
    for kernel in [3, 5, 7] {
        let same = size(side, kernel, kernel / 2, 1)?;
        writeln!(out, "       {} on each side, kernel of {kernel}: {same}", kernel / 2)?;
    }
    out.question(6, "What is the stride?")?;
    writeln!(out, "     How far the kernel moves from place to place.")?;
    writeln!(out, "     With a stride of 2, kernel 3, padding 1, each layer halves the sides:")?;
    let mut sides = vec![side.to_string()];
    while side > 1 {
        side = size(side, 3, 1, 2)?;
        sides.push(side.to_string());
    }
    writeln!(out, "       {}", sides.join(" -> "))?;

    // An image on its way through such layers, here with kernels that take the mean.
    let mut image = Tensor::new(
        data.train.image(0).iter().map(|&p| f32::from(p) / 255.0).collect(),
        &[1, 1, 28, 28],
    )?;
    let mean = Tensor::new(vec![1.0 / 9.0; 9], &[1, 1, 3, 3])?;
    let halving = Conv2dConfig { padding: [1; 2], stride: [2; 2], ..Default::default() };
    let mut pictures = vec![];
    for _ in 0..5 {
        let side = image.shape()[2];
        let pixels: Vec<u8> = image.to_vec().iter().map(|&v| (255.0 * v) as u8).collect();
        let picture = Picture::image(&pixels, [1, side, side])?;
        pictures.push(Captioned { picture, caption: format!("{side}x{side}") });
        image = image.conv2d(&mean, None, &halving)?;
    }
    out.figure("Each layer halves the sides.", Gallery { pictures, columns: 0 }.figure())?;

    let places: Vec<Vec<(usize, usize)>> =
        (0..2).map(|row| (0..3).map(|column| (2 * row, 2 * column)).collect()).collect();
    out.question(7, "How is a list made within a list?")?;
    writeln!(out, "     One iterator in another. The corners of the windows at stride 2:")?;
    for row in &places {
        writeln!(out, "       {row:?}")?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
