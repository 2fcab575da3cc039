//! Receptive fields: what part of the image an activation sees, and what it is made of.

use std::error::Error;
use std::io::stdout;

use topedge::nn::{Activations, input_windows, receptive_fields};
use topedge::prelude::*;
use topedge::report::{Captioned, Gallery, Picture, Tell};

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    let config = NetConfig::default();
    let mut rng = Pcg64::seed_from_u64(42);
    out.question(16, "What is a receptive field?")?;
    writeln!(out, "     The part of the image that an activation depends on.")?;
    writeln!(out, "     Its sides, in pixels, behind each convolution:")?;
    for net in [Net::SimpleCnn2, Net::SimpleCnn] {
        let model = net.build(&config, &mut rng)?;
        let fields = receptive_fields(&model, &config.image_shape)?;
        let convolutions = fields.iter().filter(|field| field.layer.starts_with("Conv2d"));
        let sizes: Vec<_> =
            convolutions.filter_map(|field| field.size).map(|[h, _]| h.to_string()).collect();
        writeln!(out, "       {net:<13} {}", sizes.join(", "))?;
    }

    let mut model = Net::SimpleCnn2.build(&config, &mut rng)?;
    let at = [0, 3, 3];
    let windows = input_windows(&model, &config.image_shape, "1.0", &at)?;
    let side = windows[0].rows.len();
    out.question(17, "How large is it behind two convolutions of stride 2, and why?")?;
    writeln!(
        out,
        "     {side}x{side} pixels: 3 activations of the first, 2 pixels apart, see 3 pixels each."
    )?;

    // What the middle of each layer sees of an image: what it does not see is darker.
    let fields = receptive_fields(&model, &config.image_shape)?;
    let mut pictures = vec![];
    for field in fields.iter().filter(|field| field.layer.starts_with("Conv2d")) {
        let [_, height, width] = *field.output_shape else { return Err("no image".into()) };
        let middle = [0, height / 2, width / 2];
        let window = &input_windows(&model, &config.image_shape, &field.path, &middle)?[0];
        let seen = |i: usize| window.rows.contains(&(i / 28)) && window.columns.contains(&(i % 28));
        let pixels = data.train.image(0).iter().enumerate();
        let pixels: Vec<u8> =
            pixels.map(|(i, &p)| if seen(i) { 80 + p / 3 * 2 } else { p / 3 }).collect();
        let picture = Picture::image(&pixels, config.image_shape)?;
        let (rows, columns) = (window.rows.len(), window.columns.len());
        pictures.push(Captioned {
            picture,
            caption: format!("layer {}\n{rows}x{columns}", field.path),
        });
    }
    let caption =
        "What the activation in the middle of each layer of simple-cnn-2 sees, within the image.";
    out.figure(caption, Gallery { pictures, columns: 0 }.figure())?;

    // From an activation back to what it was made of, as a spreadsheet's "trace precedents".
    let pixels = Normalize::of(&data.train).apply(data.train.image(0))?;
    let image = Tensor::new(pixels, &[1, 1, 28, 28])?;
    let activations = Activations::of(&mut model, &image)?;
    let trace = activations.trace("1.0", &at)?;
    let terms = &trace.precedents.terms;
    let bias = trace.precedents.bias.unwrap_or(0.0);
    out.question(18, "What is one activation made of?")?;
    writeln!(
        out,
        "     Activation {at:?} of the second convolution: {} products and a bias.",
        terms.len()
    )?;
    writeln!(out, "     The first of them:")?;
    for term in terms.iter().take(3) {
        let (input, weight, product) = (term.input, term.weight, term.product);
        writeln!(out, "       {input:>8.4} * {weight:>8.4} = {product:>8.4}")?;
    }
    writeln!(
        out,
        "     All of them and the bias, {bias:.4}, are {:.4}; the network says {:.4}.",
        trace.sum, trace.value
    )?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
