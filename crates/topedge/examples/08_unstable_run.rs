//! An unstable run: all ten digits, at a learning rate that is high from the first step on.

use std::error::Error;
use std::io::stdout;

use topedge::nn::callbacks::ActivationStats;
use topedge::nn::parameter_count;
use topedge::prelude::*;
use topedge::report::Tell;

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    let batch_size = 64.min(data.train.len());
    let loaders = DataLoaders::new(data, &LoadersConfig { batch_size, ..Default::default() })?;
    let model = Net::SimpleCnn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
    let inputs = 5 * 5;
    let outputs = model.output_shape(&[1, 1, 28, 28])?[1];
    out.question(24, "Why a larger kernel in the first layer?")?;
    writeln!(
        out,
        "     8 filters of a 3x3 window would make 8 numbers of 9 pixels: hardly fewer."
    )?;
    writeln!(out, "     Of a 5x5 window they make 8 of {inputs} pixels, and have to choose.")?;
    writeln!(
        out,
        "     The network for {outputs} digits has {} parameters.",
        parameter_count(&model)
    )?;

    let mut learner = Learner::new(loaders, model, CrossEntropy::default())
        .metric(Accuracy::default())
        .callback(ActivationStats::default().with_histograms());
    let outcome = learner.fit(1, 0.06);
    if let Err(error) = outcome {
        writeln!(out, "     the run ended with an error: {error}")?;
    }

    let stats = learner.find::<ActivationStats>().expect("it was given");
    let batches = stats.layers.first().map_or(0, |layer| layer.mean.len());
    out.question(25, "What does ActivationStats keep?")?;
    writeln!(
        out,
        "     Mean, standard deviation, part near zero and histogram of {} layers, for each batch.",
        stats.layers.len()
    )?;
    out.question(26, "How is a callback found after training?")?;
    let found = learner.find_named("activation_stats").ok_or("it was given")?.name();
    writeln!(out, "     By its type, or by its name: {found}.")?;
    out.question(27, "Which three curves does plot_layer_stats draw, and over what?")?;
    writeln!(
        out,
        "     Mean, standard deviation and part near zero, over {batches} training batches."
    )?;
    writeln!(out, "     At the last of them:")?;
    for layer in &stats.layers {
        let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
        let (mean, std, near_zero) = (last(&layer.mean), last(&layer.std), last(&layer.near_zero));
        let path = &layer.path;
        writeln!(
            out,
            "       {path}  mean {mean:>9.3}  deviation {std:>9.3}  near zero {near_zero:.2}"
        )?;
    }
    if let Some(figure) = stats.plot_layer_stats(-2) {
        out.figure("The last but one layer: a rise and a collapse, or a slow fall.", figure)?;
    }
    out.question(28, "Why is it a problem when activations are near zero?")?;
    writeln!(out, "     What is zero behind a ReLU learns nothing, and passes nothing on.")?;
    let recorder = learner.find::<Recorder>().expect("every learner has one");
    out.figure("What the loss made of it.", recorder.plot_loss())?;
    let accuracy = recorder.rows.last().and_then(|row| row.metric("accuracy"));
    writeln!(
        out,
        "     This run, with batches of {batch_size} and a rate of 0.06: accuracy {:.4}",
        accuracy.unwrap_or(f64::NAN)
    )?;
    let findings = learner.diagnose();
    if findings.is_empty() {
        writeln!(out, "     Nothing went wrong: with this seed and this data the run is well.")?;
    }
    for finding in &findings {
        writeln!(out, "     {}", finding.text)?;
    }
    // The first is the cause.
    if let Some(cause) = findings.first() {
        writeln!(out, "     What to try: {}.", cause.advice)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
