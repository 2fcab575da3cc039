//! Convolution arithmetic: what a layer has to learn, and what it has to compute.

use std::error::Error;
use std::io::stdout;

use topedge::nn::parameters;
use topedge::prelude::*;
use topedge::report::Tell;

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    let shape = data.train.image_shape();
    let config = NetConfig { image_shape: shape, classes: 2 };
    let mut net = Net::SimpleCnn2.build(&config, &mut Pcg64::seed_from_u64(42))?;
    out.question(14, "What does NCHW mean?")?;
    writeln!(out, "     The order of the axes: number of images, channels, height, width.")?;
    writeln!(out, "     An image of this data is {shape:?}. What the layers make of it:")?;

    let summary = Summary::of(&mut net, &shape)?;
    let layers: Vec<_> = summary.layers.iter().filter(|l| l.layer.starts_with("Conv2d")).collect();
    writeln!(out, "       layer  output        activations  parameters  multiply-adds")?;
    for (i, layer) in layers.iter().enumerate() {
        writeln!(
            out,
            "       {:>5}  {:<12}  {:>11}  {:>10}  {:>13}",
            i + 1,
            format!("{:?}", layer.output_shape),
            layer.output_shape.iter().product::<usize>(),
            layer.parameters,
            layer.multiply_adds,
        )?;
    }

    // The third layer: its weights are used once at each place of its output.
    let third = layers[2];
    let all = parameters(&net);
    let of_third = |name: &str| {
        let path = format!("{}.{name}", third.path);
        let found =
            all.iter().find(|(known, _)| *known == path).expect("it has a weight and a bias");
        found.1.value.shape().to_vec()
    };
    let (weight, bias) = (of_third("weight"), of_third("bias"));
    let weights: usize = weight.iter().product();
    let places = third.output_shape[1] * third.output_shape[2];
    out.question(15, "Why does the third layer take so many multiplications?")?;
    writeln!(
        out,
        "     It has {} parameters: {weights} weights {weight:?} and {} biases.",
        third.parameters, bias[0]
    )?;
    writeln!(
        out,
        "     Each weight is used at {places} places of the output: {} multiply-adds.",
        places * weights
    )?;
    let [_, height, width] = *layers[1].output_shape else { return Err("no image".into()) };
    writeln!(
        out,
        "     (The book counts the {height}x{width} places of the input: {}.)",
        height * width * weights
    )?;
    out.question(23, "Why twice the filters where the stride is 2?")?;
    writeln!(
        out,
        "     A quarter of the places is left: twice the filters, on twice as many, keep the work level."
    )?;
    let work: Vec<_> = layers[1..4].iter().map(|layer| layer.multiply_adds.to_string()).collect();
    writeln!(out, "     Layers 2 to 4 take {} multiply-adds.", work.join(", "))?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
