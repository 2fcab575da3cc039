//! Batch norm: each channel is brought to mean 0 and variance 1, and then to what is learnt.

use std::error::Error;
use std::io::stdout;

use topedge::nn::callbacks::ActivationStats;
use topedge::nn::{Context, StateValues, parameter_count, parameters, state_dict};
use topedge::prelude::*;
use topedge::report::Tell;

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    let mut norm: BatchNorm1d = BatchNorm1d::new(1)?;
    let names: Vec<_> = parameters(&norm)
        .iter()
        .map(|(name, p)| format!("{name} {:?}", p.value.to_vec()))
        .collect();
    out.question(38, "What does batch norm learn?")?;
    writeln!(
        out,
        "     A scale and a shift for each channel, gamma and beta: {}.",
        names.join(", ")
    )?;

    let x = Tensor::new(vec![1.0, 2.0, 3.0, 4.0], &[4, 1])?;
    let show = |y: Tensor| {
        y.to_vec().iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(" ")
    };
    let y = show(norm.forward(&x, &mut Context::train(42))?);
    out.question(39, "By what does it normalise, in training and in validation?")?;
    writeln!(out, "     In training by mean and biased variance of the batch.")?;
    writeln!(out, "       1 2 3 4 becomes {y}")?;
    for name in ["running_mean", "running_var"] {
        let state = state_dict(&norm);
        if let Some(StateValues::F32(values)) = state.get(name).map(|tensor| &tensor.values) {
            writeln!(out, "       {name} is then {:.4}", values[0])?;
        }
    }
    let y = show(norm.forward(&x, &mut Context::eval())?);
    writeln!(out, "     In validation by those running ones.")?;
    writeln!(out, "       1 2 3 4 becomes {y}")?;
    let one = Tensor::new(vec![1.0], &[1, 1])?;
    if let Err(error) = norm.forward(&one, &mut Context::train(42)) {
        writeln!(out, "     A single value has no variance: {error}.")?;
    }

    let batch_size = 512.min(data.train.len());
    let loaders = DataLoaders::new(data, &LoadersConfig { batch_size, ..Default::default() })?;
    let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
    let plain = Net::SimpleCnn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
    let (with, without) = (parameter_count(&model), parameter_count(&plain));
    writeln!(out, "     The network has {with} parameters with batch norm, {without} without.")?;
    let mut learner = Learner::new(loaders, model, CrossEntropy::default())
        .metric(Accuracy::default())
        .callback(ActivationStats::default().with_histograms());
    learner.fit_one_cycle(1, 0.06)?;
    let recorder = learner.find::<Recorder>().expect("every learner has one");
    let accuracy = recorder.rows.last().and_then(|row| row.metric("accuracy"));
    out.question(40, "Why do networks with it generalise better?")?;
    writeln!(
        out,
        "     The statistics of each batch are a little different. That is noise, which helps."
    )?;
    writeln!(out, "     This run: accuracy {:.4} after one epoch", accuracy.unwrap_or(f64::NAN))?;
    for finding in learner.diagnose() {
        writeln!(out, "     {}", finding.text)?;
    }
    out.figure("The loss.", recorder.plot_loss())?;
    // The last block's convolution and batch norm are -2 and -1.
    let stats = learner.find::<ActivationStats>().expect("it was given");
    if let Some(figure) = stats.plot_layer_stats(-4) {
        out.figure("The convolution before the last.", figure)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
