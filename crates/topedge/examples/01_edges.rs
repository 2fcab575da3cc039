//! Edges: a kernel is a small grid of weights that slides over an image, here by hand.

use std::error::Error;
use std::io::stdout;

use topedge::autograd::Conv2dConfig;
use topedge::nn::{Context, EdgeKernel};
use topedge::prelude::*;
use topedge::report::{Captioned, Gallery, Picture, Tell};

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    let kernel = EdgeKernel::TopEdge.rows();
    out.question(2, "Which kernel finds top edges?")?;
    writeln!(out, "     A top edge is dark above and bright below. Its kernel is {kernel:?}.")?;

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
    out.question(3, "What does a 3x3 kernel compute at one place of an image?")?;
    writeln!(out, "     The sum of its nine weights, each times the pixel below it.")?;
    writeln!(out, "     In training image {place}, a {label}:")?;
    for (row, column) in [(1, 1), (5, 7), (8, 18)] {
        let (rows, columns) = (row - 1..row + 2, column - 1..column + 2);
        let y = apply_kernel(row, column);
        writeln!(out, "       window [{rows:?}, {columns:?}] of the pixels gives {y}")?;
    }

    // The same by the operation of the library: its [0, 0] is centred at (1, 1).
    let image = Tensor::new(pixels.iter().map(|&p| f32::from(p)).collect(), &[1, 1, 28, 28])?;
    let weight = EdgeKernel::TopEdge.weight()?;
    let map = image.conv2d(&weight, None, &Conv2dConfig::default())?;
    let by_hand = (1..27).flat_map(|row| (1..27).map(move |column| (row, column)));
    let by_hand = by_hand.map(|(row, column)| apply_kernel(row, column) as f32);
    let different = map.to_vec().into_iter().zip(by_hand).filter(|(a, b)| a != b).count();
    let places = map.len();
    writeln!(
        out,
        "     The operation conv2d differs from that at {different} of {places} places."
    )?;

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
    out.question(4, "What does a kernel make of a window of zeros?")?;
    writeln!(out, "     The kernel makes {of_zeros} of it.")?;
    let mut rng = Pcg64::seed_from_u64(42);
    let mut layer =
        Conv2d::new(1, 1, [3, 3], &topedge::nn::layers::Conv2dConfig::default(), &mut rng)?;
    let of_layer = layer.forward(&zeros, &mut Context::eval())?.item()?;
    let bias = topedge::nn::parameters(&layer)[1].1.value.item()?;
    writeln!(out, "     A layer adds its bias, {bias:.4}, and makes {of_layer:.4} of it.")?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
