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
    writeln!(
        out,
        "Q24  for {outputs} digits, {} parameters: 8 filters of a 5x5 window make 8",
        parameter_count(&model)
    )?;
    writeln!(
        out,
        "     numbers of {inputs} pixels, where 3x3 would make 8 of 9, which is hardly less"
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
    writeln!(
        out,
        "Q25  ActivationStats keeps mean, deviation, part near zero and histogram of each"
    )?;
    writeln!(out, "     of {} layers", stats.layers.len())?;
    let found = learner.find_named("activation_stats").map(|callback| callback.name());
    writeln!(out, "Q26  a callback is found by its type or its name: {found:?}")?;
    writeln!(out, "Q27  three curves over {batches} training batches; at the last of them:")?;
    for layer in &stats.layers {
        let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
        let (mean, std, near_zero) = (last(&layer.mean), last(&layer.std), last(&layer.near_zero));
        let path = &layer.path;
        writeln!(
            out,
            "     {path}  mean {mean:>9.3}  deviation {std:>9.3}  near zero {near_zero:.2}"
        )?;
    }
    if let Some(figure) = stats.plot_layer_stats(-2) {
        out.figure("The last but one layer: a rise and a collapse, or a slow fall.", figure)?;
    }
    writeln!(
        out,
        "Q28  what is zero behind a ReLU learns nothing and passes nothing on. What happened:"
    )?;
    let recorder = learner.find::<Recorder>().expect("every learner has one");
    out.figure("What the loss made of it.", recorder.plot_loss())?;
    let accuracy = recorder.rows.last().and_then(|row| row.metric("accuracy"));
    writeln!(
        out,
        "     batches of {batch_size} at 0.06: accuracy {:.4}",
        accuracy.unwrap_or(f64::NAN)
    )?;
    let findings = learner.diagnose();
    if findings.is_empty() {
        writeln!(out, "     nothing: with this seed and this data the run is well")?;
    }
    for finding in &findings {
        writeln!(out, "     {}", finding.text)?;
    }
    // The first is the cause.
    if let Some(cause) = findings.first() {
        writeln!(out, "     what to try: {}", cause.advice)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
