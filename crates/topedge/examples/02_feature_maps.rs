//! Feature maps: what four kernels find in an image, in one operation on a whole batch.

use std::error::Error;
use std::io::stdout;

use topedge::autograd::Conv2dConfig;
use topedge::kernels::conv2d::ConvMatrix;
use topedge::nn::EdgeKernel;
use topedge::prelude::*;
use topedge::report::{Captioned, Gallery, Picture, Tell};

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    let [top, left, diagonal_1, diagonal_2, ..] = EdgeKernel::ALL;
    let kernels = [top, left, diagonal_1, diagonal_2];

    // A batch of images, and the kernels as the weight of one convolution.
    let n = data.train.len().min(64);
    let pixels = (0..n).flat_map(|i| data.train.image(i)).map(|&p| f32::from(p) / 255.0);
    let batch = Tensor::new(pixels.collect(), &[n, 1, 28, 28])?;
    let weights = kernels.iter().flat_map(|kernel| kernel.rows()).flatten().map(f32::from);
    let weight = Tensor::new(weights.collect(), &[4, 1, 3, 3])?;
    let maps = batch.conv2d(&weight, None, &Conv2dConfig::default())?;

    out.question(1, "What is a feature?")?;
    writeln!(
        out,
        "     Something made of the data that is easier to learn from, like an edge here."
    )?;
    writeln!(out, "     A feature map has it for each place. In image 0 it is strongest at:")?;
    let values = maps.to_vec();
    let mut pictures = vec![Captioned {
        picture: Picture::image(data.train.image(0), [1, 28, 28])?,
        caption: "image 0".to_string(),
    }];
    for (kernel, map) in kernels.iter().zip(values.chunks(26 * 26)) {
        let picture = Picture::signed(map, [26, 26], 3.0)?;
        pictures.push(Captioned { picture, caption: kernel.to_string() });
        let best = (0..map.len()).max_by(|&a, &b| map[a].total_cmp(&map[b])).unwrap_or(0);
        let (row, column) = (best / 26, best % 26);
        writeln!(out, "       {kernel:<11} row {row:>2}, column {column:>2}: {:.2}", map[best])?;
    }
    out.figure("An image, and its feature maps.", Gallery { pictures, columns: 0 }.figure())?;
    out.question(8, "Which shapes do the input and the weight of a convolution have?")?;
    writeln!(out, "     The input: [batch, channels, height, width], here {:?}.", batch.shape())?;
    writeln!(
        out,
        "     The weight: [channels out, channels in, kernel height, kernel width], here {:?}.",
        weight.shape()
    )?;
    let channels = maps.shape()[1];
    out.question(9, "What is a channel?")?;
    writeln!(out, "     One grid of numbers of an image: how red it is, or how much of an edge.")?;
    writeln!(out, "     These maps have {channels}: {:?}.", maps.shape())?;

    // A convolution is a product with a matrix most of which is zero, and whose weights are tied.
    let matrix = ConvMatrix::new([1, 3, 4], [1, 1, 2, 2], &Conv2dConfig::default())?;
    let (rows, columns) = (matrix.rows(), matrix.columns());
    out.question(10, "How is a convolution a product with a matrix?")?;
    writeln!(
        out,
        "     A 2x2 kernel on 3x4 pixels is a matrix of {rows} outputs by {columns} inputs."
    )?;
    writeln!(out, "     The same letter is the same weight, and dots are zeros:")?;
    // For the eye a colour for each weight, by its channels red, green and blue.
    let weights = (0..rows * columns).map(|i| matrix.weight_index(i / columns, i % columns));
    let colors = [[213, 94, 0], [0, 114, 178], [0, 158, 115], [204, 121, 167]];
    let color = |weight: Option<usize>, c: usize| weight.map_or(255, |w| colors[w][c]);
    let pixels: Vec<u8> =
        (0..3).flat_map(|c| weights.clone().map(move |weight| color(weight, c))).collect();
    let picture = Picture::image(&pixels, [3, rows, columns])?;
    for row in 0..rows {
        let letter =
            |column| matrix.weight_index(row, column).map_or('.', |w| ['a', 'b', 'c', 'd'][w]);
        writeln!(out, "       {}", (0..columns).map(letter).collect::<String>())?;
    }
    out.figure("The same: a colour for each weight, white for zeros.", picture.figure())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
