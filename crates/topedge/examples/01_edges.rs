//! Edges: a kernel is a small grid of weights that slides over an image, here by hand.

use std::error::Error;
use std::io::stdout;

use topedge::autograd::Conv2dConfig;
use topedge::nn::{Context, EdgeKernel};
use topedge::prelude::*;
use topedge::report::{Captioned, Gallery, Picture, Tell};

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    // A feature is what is easier to learn from than pixels: here, "a top edge is at this place".
    let kernel = EdgeKernel::TopEdge.rows();
    writeln!(out, "Q2   a top edge, dark above and bright below, is found by {kernel:?}")?;

    // A 3 of the book, if this is MNIST. Pixels are 0 to 255.
    let place = 12.min(data.train.len() - 1);
    let label = &data.train.vocab()[data.train.label(place) as usize];
    let pixels = data.train.image(place);

    // One pixel of the result: weights times pixels, summed. The kernel is not flipped.
    let apply_kernel = |row: usize, column: usize| {
        let mut sum = 0;
        for (i, weights) in kernel.iter().enumerate() {
            for (j, &weight) in weights.iter().enumerate() {
                let pixel = pixels[(row - 1 + i) * 28 + column - 1 + j];
                sum += i32::from(weight) * i32::from(pixel);
            }
        }
        sum
    };
    writeln!(out, "Q3   y = sum of w * x over the window. In training image {place}, a {label}:")?;
    for (row, column) in [(1, 1), (5, 7), (8, 18)] {
        let (rows, columns) = (row - 1..row + 2, column - 1..column + 2);
        let y = apply_kernel(row, column);
        writeln!(out, "     window [{rows:?}, {columns:?}] of the pixels gives {y}")?;
    }

    // The same by the operation of the library: its [0, 0] is centred at (1, 1).
    let image = Tensor::new(pixels.iter().map(|&p| f32::from(p)).collect(), &[1, 1, 28, 28])?;
    let weight = EdgeKernel::TopEdge.weight()?;
    let map = image.conv2d(&weight, None, &Conv2dConfig::default())?;
    let same = (1..27).all(|row| {
        (1..27).all(|column| {
            map.to_vec()[(row - 1) * 26 + column - 1] == apply_kernel(row, column) as f32
        })
    });
    writeln!(out, "     conv2d gives the same numbers at all {} places: {same}", map.len())?;

    let pictures = [
        (Picture::image(pixels, [1, 28, 28])?, format!("a {label}")),
        (Picture::signed(&weight.to_vec(), [3, 3], 1.0)?, "the kernel".to_string()),
        (Picture::signed(&map.to_vec(), [26, 26], 765.0)?, "its edges".to_string()),
    ];
    let pictures = pictures.map(|(picture, caption)| Captioned { picture, caption });
    let caption = "Orange is positive: top edges. Blue is negative: bottom edges.";
    out.figure(caption, Gallery { pictures: pictures.into(), columns: 0 }.figure())?;

    let zeros = Tensor::zeros(&[1, 1, 3, 3])?;
    let of_zeros = zeros.conv2d(&weight, None, &Conv2dConfig::default())?.item()?;
    writeln!(out, "Q4   the kernel on a 3x3 window of zeros gives {of_zeros}")?;
    let mut rng = Pcg64::seed_from_u64(42);
    let mut layer =
        Conv2d::new(1, 1, [3, 3], &topedge::nn::layers::Conv2dConfig::default(), &mut rng)?;
    let of_layer = layer.forward(&zeros, &mut Context::eval())?.item()?;
    let bias = topedge::nn::parameters(&layer)[1].1.value.item()?;
    writeln!(out, "     a layer also has a bias, {bias:.4}, and gives {of_layer:.4}")?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
