//! Receptive fields: what part of the image an activation sees, and what it is made of.

use std::error::Error;
use std::io::{Write, stdout};

use topedge::nn::{Activations, input_windows, receptive_fields};
use topedge::prelude::*;

pub(crate) fn run(data: &Splits, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let config = NetConfig::default();
    let mut rng = Pcg64::seed_from_u64(42);
    writeln!(
        out,
        "Q16  a receptive field is the part of the image that an activation depends on:"
    )?;
    for net in [Net::SimpleCnn2, Net::SimpleCnn] {
        let model = net.build(&config, &mut rng)?;
        let fields = receptive_fields(&model, &config.image_shape)?;
        let convolutions = fields.iter().filter(|field| field.layer.starts_with("Conv2d"));
        let sizes: Vec<_> =
            convolutions.filter_map(|field| field.size).map(|[h, _]| h.to_string()).collect();
        writeln!(out, "     {net:<13} {}", sizes.join(", "))?;
    }

    let mut model = Net::SimpleCnn2.build(&config, &mut rng)?;
    let at = [0, 3, 3];
    let windows = input_windows(&model, &config.image_shape, "1.0", &at)?;
    let side = windows[0].rows.len();
    writeln!(
        out,
        "Q17  behind two convolutions of stride 2 it is {side}x{side} pixels: 3 activations of"
    )?;
    writeln!(out, "     the first, 2 pixels apart, see 3 each")?;

    // From an activation back to what it was made of, as a spreadsheet's "trace precedents".
    let pixels = Normalize::of(&data.train).apply(data.train.image(0))?;
    let image = Tensor::new(pixels, &[1, 1, 28, 28])?;
    let activations = Activations::of(&mut model, &image)?;
    let trace = activations.trace("1.0", &at)?;
    let terms = &trace.precedents.terms;
    let bias = trace.precedents.bias.unwrap_or(0.0);
    writeln!(out, "Q18  activation {at:?} of the second is {} products and a bias:", terms.len())?;
    for term in terms.iter().take(3) {
        let (input, weight, product) = (term.input, term.weight, term.product);
        writeln!(out, "     {input:>8.4} * {weight:>8.4} = {product:>8.4}")?;
    }
    writeln!(
        out,
        "     ... and the bias {bias:.4}: {:.4}, and it is {:.4}",
        trace.sum, trace.value
    )?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
