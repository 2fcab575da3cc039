//! Colour: an image of three channels, and what a filter makes of them.

use std::error::Error;
use std::io::stdout;

use topedge::autograd::Conv2dConfig;
use topedge::prelude::*;
use topedge::report::{Captioned, Gallery, Picture, Tell};

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    // A digit in orange on dark blue: red, green and blue are three grids of numbers.
    let grey = data.train.image(0).iter().map(|&p| f32::from(p) / 255.0);
    let (front, back) = ([1.0, 0.6, 0.0], [0.0, 0.0, 0.4]);
    let planes: Vec<Vec<f32>> = (0..3)
        .map(|c| grey.clone().map(|g| g * front[c] + (1.0 - g) * back[c]).collect())
        .collect();
    let image = Tensor::new(planes.concat(), &[1, 3, 28, 28])?;
    out.question(20, "What is a colour image as a tensor?")?;
    writeln!(
        out,
        "     [channels, height, width], here {:?}. How bright the channels are:",
        &image.shape()[1..]
    )?;
    for (name, plane) in ["red", "green", "blue"].iter().zip(&planes) {
        let mean = plane.iter().sum::<f32>() / plane.len() as f32;
        writeln!(out, "       {name:<6} mean {mean:.3}")?;
    }

    let bytes = |values: &[f32]| values.iter().map(|v| (255.0 * v) as u8).collect::<Vec<_>>();
    let mut pictures = vec![Captioned {
        picture: Picture::image(&bytes(&planes.concat()), [3, 28, 28])?,
        caption: "all".to_string(),
    }];
    for (name, plane) in ["red", "green", "blue"].iter().zip(&planes) {
        let picture = Picture::image(&bytes(plane), [1, 28, 28])?;
        pictures.push(Captioned { picture, caption: name.to_string() });
    }
    out.figure("An image, and its three channels.", Gallery { pictures, columns: 0 }.figure())?;

    // A filter has a 3x3 slice for each channel. Its products are summed over all of them.
    let slices = [[1.0; 9], [0.5; 9], [-1.0; 9]];
    let config = Conv2dConfig::default();
    let weight = Tensor::new(slices.concat(), &[1, 3, 3, 3])?;
    let y = image.conv2d(&weight, None, &config)?.to_vec();
    let mut sum = vec![0.0; y.len()];
    for (slice, plane) in slices.iter().zip(&planes) {
        let plane = Tensor::new(plane.clone(), &[1, 1, 28, 28])?;
        let slice = Tensor::new(slice.to_vec(), &[1, 1, 3, 3])?;
        for (sum, y) in sum.iter_mut().zip(plane.conv2d(&slice, None, &config)?.to_vec()) {
            *sum += y;
        }
    }
    let furthest = y.iter().zip(&sum).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    out.question(21, "How does a convolution work on colours?")?;
    writeln!(
        out,
        "     Its filter, {:?}, has a slice for each channel, and all products are summed.",
        &weight.shape()[1..]
    )?;
    writeln!(
        out,
        "     What the slices give, summed, differs from it by {furthest:.1e} at the most."
    )?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
