//! Padding keeps an image's size, strides halve it.

use std::error::Error;
use std::io::{Write, stdout};

use topedge::autograd::Conv2dConfig;
use topedge::kernels::conv2d::output_shape;
use topedge::prelude::*;

pub(crate) fn run(data: &Splits, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let [channels, mut side, _] = data.train.image_shape();
    let size = |side, kernel, padding, stride| {
        let config =
            Conv2dConfig { padding: [padding; 2], stride: [stride; 2], ..Default::default() };
        output_shape([1, channels, side, side], [1, channels, kernel, kernel], &config)
            .map(|shape| shape[2])
    };
    let bare = size(side, 3, 0, 1)?;
    writeln!(out, "Q5   padding is what is laid around an image. {side} pixels without: {bare}")?;
    for kernel in [3, 5, 7] {
        let same = size(side, kernel, kernel / 2, 1)?;
        writeln!(out, "     with {} for a kernel of {kernel}: {same}", kernel / 2)?;
    }
    writeln!(out, "Q6   stride is how far the kernel moves. With stride 2, kernel 3, padding 1:")?;
    let mut sides = vec![side.to_string()];
    while side > 1 {
        side = size(side, 3, 1, 2)?;
        sides.push(side.to_string());
    }
    writeln!(out, "     {}", sides.join(" -> "))?;

    // The book's question 7 asks for a list within a list: the windows that stride 2 looks at.
    let places: Vec<Vec<(usize, usize)>> =
        (0..2).map(|row| (0..3).map(|column| (2 * row, 2 * column)).collect()).collect();
    writeln!(out, "Q7   a list within a list, corners of windows: {places:?}")?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
