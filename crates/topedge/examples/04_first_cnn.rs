//! The first convolutional network: is it a 3 or a 7?

use std::error::Error;
use std::io::stdout;

use topedge::nn::{Context, parameter_count};
use topedge::prelude::*;
use topedge::report::Tell;

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    let data = data.with_labels(&["3", "7"])?;
    let config = NetConfig { classes: 2, ..Default::default() };
    let mut rng = Pcg64::seed_from_u64(42);

    let linear = Net::SimpleNet.build(&NetConfig { classes: 1, ..config.clone() }, &mut rng)?;
    out.question(11, "What is a convolutional network?")?;
    writeln!(out, "     One whose layers are convolutions, and that learns their kernels.")?;
    writeln!(out, "     Two linear layers would have {} parameters.", parameter_count(&linear))?;

    // Two convolutions that keep the size give an activation for each pixel, and not for each class.
    let mut broken = Net::BrokenCnn.build(&config, &mut rng)?;
    let batch = Tensor::zeros(&[64, 1, 28, 28])?;
    let shape = broken.forward(&batch, &mut Context::eval())?.shape().to_vec();
    writeln!(
        out,
        "     Two convolutions of stride 1 put out {shape:?}: numbers for pixels, not for classes."
    )?;

    // One function makes each block: what is the same everywhere is said once.
    let mut cnn = Sequential::new();
    for (i, pair) in [1, 4, 8, 16, 32, 2].windows(2).enumerate() {
        let block = BlockConfig { act: i < 4, ..Default::default() };
        cnn = cnn.push(conv(pair[0], pair[1], &block, &mut rng)?);
    }
    let before = cnn.output_shape(&[1, 1, 28, 28])?;
    let cnn = cnn.push(Flatten);
    let after = cnn.output_shape(&[1, 1, 28, 28])?;
    out.question(12, "What is gained by a function that makes a block?")?;
    writeln!(out, "     What all blocks have in common is said once, and changed once.")?;
    writeln!(
        out,
        "     Five blocks of stride 2 from one function have {} parameters.",
        parameter_count(&cnn)
    )?;
    out.question(13, "What does Flatten do, and where?")?;
    writeln!(
        out,
        "     At the end it makes {after:?} of {before:?}: scores, as the loss wants them."
    )?;

    let batch_size = 64.min(data.train.len());
    let loaders = DataLoaders::new(&data, &LoadersConfig { batch_size, ..Default::default() })?;
    out.question(22, "How does one look at what a loader delivers?")?;
    writeln!(
        out,
        "     With show_batch: images of a batch and their labels (topedge show-batch)."
    )?;
    out.figure("Images of the first batch.", topedge::show_batch(&loaders.train, 16)?.figure())?;
    let mut learner =
        Learner::new(loaders, cnn, CrossEntropy::default()).metric(Accuracy::default());
    learner.fit_one_cycle(2, 0.01)?;
    writeln!(out, "     Trained on them, the network tells 3 from 7:")?;
    let recorder = learner.find::<Recorder>().expect("every learner has one");
    for row in &recorder.rows {
        let accuracy = row.metric("accuracy").unwrap_or(f64::NAN);
        writeln!(out, "       epoch {}: accuracy {accuracy:.4}", row.epoch)?;
    }
    out.figure("How the loss fell.", recorder.plot_loss())?;
    let kernels = topedge::first_kernels(&*learner.state.model)?;
    out.figure("What the first layer has learnt.", kernels.figure())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
