//! 1cycle: warm up, go fast, and cool down.

use std::error::Error;
use std::io::stdout;

use topedge::nn::callbacks::ActivationStats;
use topedge::nn::one_cycle;
use topedge::nn::optim::Hyper;
use topedge::prelude::*;
use topedge::report::Tell;

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    out.question(31, "What is 1cycle?")?;
    writeln!(out, "     A rate that rises for a quarter of the run, and falls to almost nothing.")?;
    writeln!(out, "     For 0.06, at 0/8, 1/8, ... 7/8 of the run:")?;
    for (hyper, schedule) in one_cycle(0.06) {
        let values: Vec<_> =
            (0..8).map(|i| format!("{:.7}", schedule.at(f64::from(i) / 8.0))).collect();
        writeln!(out, "       {:<9}{}", hyper.name(), values.join(" "))?;
    }
    out.question(34, "What is cyclical momentum?")?;
    writeln!(out, "     Momentum that is low where the rate is high, and the other way round.")?;

    let batch_size = 512.min(data.train.len());
    let loaders = DataLoaders::new(data, &LoadersConfig { batch_size, ..Default::default() })?;
    let model = Net::SimpleCnn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
    let mut learner = Learner::new(loaders, model, CrossEntropy::default())
        .metric(Accuracy::default())
        .callback(ActivationStats::default().with_histograms());
    learner.fit_one_cycle(1, 0.06)?;

    let recorder = learner.find::<Recorder>().expect("every learner has one");
    let accuracy = recorder.rows.last().and_then(|row| row.metric("accuracy"));
    let (lrs, losses) = (recorder.hyper(Hyper::Lr), &recorder.smoothed_losses);
    let highest = (0..lrs.len()).max_by(|&a, &b| lrs[a].total_cmp(&lrs[b])).unwrap_or(0);
    out.question(30, "Why should a run not start at a high rate?")?;
    writeln!(
        out,
        "     Random weights do not bear large steps. This run started at {:.4};",
        lrs[0]
    )?;
    writeln!(
        out,
        "     its highest rate was {:.4}, at step {highest} of {}.",
        lrs[highest],
        lrs.len()
    )?;
    out.question(32, "What are high rates good for?")?;
    writeln!(out, "     They train faster, and step over narrow minima.")?;
    writeln!(
        out,
        "     The loss was {:.3} at the start, {:.3} at the highest rate, {:.3} at the end.",
        losses[0],
        losses[highest],
        losses[losses.len() - 1]
    )?;
    out.question(33, "Why a low rate at the end?")?;
    writeln!(
        out,
        "     To find the bottom of the minimum. The last rate was {:.6}.",
        lrs[lrs.len() - 1]
    )?;
    let series: Vec<_> = recorder.hypers.iter().map(|(hyper, _)| hyper.name()).collect();
    out.question(35, "Which callback keeps losses and hyperparameters?")?;
    writeln!(out, "     The Recorder: for each batch it has loss, {}.", series.join(", "))?;
    writeln!(
        out,
        "     It has the epochs' metrics, too: accuracy {:.4}",
        accuracy.unwrap_or(f64::NAN)
    )?;
    out.figure("Up and down, and the momentum the other way round.", recorder.plot_sched())?;
    out.figure("The loss.", recorder.plot_loss())?;

    // One column for each batch (or the nearest), the bins of its histogram from below.
    let stats = learner.find::<ActivationStats>().expect("it was given");
    let layer = stats.layer_stats(-2).expect("there are five");
    out.question(36, "What is a column of the picture that color_dim draws?")?;
    writeln!(out, "     The histogram of one batch, with 0 at the bottom.")?;
    writeln!(
        out,
        "     Of layer {}, the denser the more activations, as ln(1 + count):",
        layer.path
    )?;
    let histograms = layer.histograms.columns();
    let columns = histograms.len().min(60);
    let most = histograms.iter().flatten().max().map_or(0.0, |&n| f64::from(n).ln_1p());
    for bin in (0..10).rev() {
        let shade = |column: usize| {
            let histogram = &histograms[column * histograms.len() / columns];
            let shade = 9.0 * f64::from(histogram[bin]).ln_1p() / most.max(1.0);
            char::from(b" .:-=+*#%@"[shade as usize])
        };
        writeln!(
            out,
            "       {:>5.2} |{}",
            0.25 * bin as f64,
            (0..columns).map(shade).collect::<String>()
        )?;
    }
    if let Some(figure) = stats.plot_layer_stats(-2) {
        out.figure("The same layer.", figure)?;
    }
    out.question(37, "What does bad training look like there?")?;
    writeln!(out, "     Columns spread and collapse, again and again.")?;
    let findings = learner.diagnose();
    if findings.is_empty() {
        writeln!(out, "     In this run they did not.")?;
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
