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
    writeln!(
        out,
        "Q11  without convolutions, two linear layers: {} parameters",
        parameter_count(&linear)
    )?;

    // Two convolutions that keep the size give an activation for each pixel, and not for each class.
    let mut broken = Net::BrokenCnn.build(&config, &mut rng)?;
    let batch = Tensor::zeros(&[64, 1, 28, 28])?;
    let shape = broken.forward(&batch, &mut Context::eval())?.shape().to_vec();
    writeln!(out, "     two convolutions of stride 1 put out {shape:?}, which is no class")?;

    // One function makes each block: what is the same everywhere is said once.
    let mut cnn = Sequential::new();
    for (i, pair) in [1, 4, 8, 16, 32, 2].windows(2).enumerate() {
        let block = BlockConfig { act: i < 4, ..Default::default() };
        cnn = cnn.push(conv(pair[0], pair[1], &block, &mut rng)?);
    }
    let before = cnn.output_shape(&[1, 1, 28, 28])?;
    let cnn = cnn.push(Flatten);
    let after = cnn.output_shape(&[1, 1, 28, 28])?;
    writeln!(
        out,
        "Q12  five blocks of stride 2 from one function: {} parameters",
        parameter_count(&cnn)
    )?;
    writeln!(out, "Q13  Flatten, at the end, makes {after:?} of {before:?}: scores for the loss")?;

    let batch_size = 64.min(data.train.len());
    let loaders = DataLoaders::new(&data, &LoadersConfig { batch_size, ..Default::default() })?;
    writeln!(out, "Q22  show_batch shows images and labels of a batch: `topedge show-batch`")?;
    out.figure("Images of the first batch.", topedge::show_batch(&loaders.train, 16)?.figure())?;
    let mut learner =
        Learner::new(loaders, cnn, CrossEntropy::default()).metric(Accuracy::default());
    learner.fit_one_cycle(2, 0.01)?;
    let recorder = learner.find::<Recorder>().expect("every learner has one");
    for row in &recorder.rows {
        let accuracy = row.metric("accuracy").unwrap_or(f64::NAN);
        writeln!(out, "     epoch {}: accuracy {accuracy:.4}", row.epoch)?;
    }
    out.figure("How the loss fell.", recorder.plot_loss())?;
    let kernels = topedge::first_kernels(&*learner.state.model)?;
    out.figure("What the first layer has learnt.", kernels.figure())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
