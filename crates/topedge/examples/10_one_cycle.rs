//! 1cycle: warm up, go fast, and cool down.

use std::error::Error;
use std::io::stdout;

use topedge::nn::callbacks::ActivationStats;
use topedge::nn::one_cycle;
use topedge::nn::optim::Hyper;
use topedge::prelude::*;
use topedge::report::Tell;

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    writeln!(out, "Q31  1cycle at 0.06, at 0/8, 1/8, ... 7/8 of the run:")?;
    for (hyper, schedule) in one_cycle(0.06) {
        let values: Vec<_> =
            (0..8).map(|i| format!("{:.7}", schedule.at(f64::from(i) / 8.0))).collect();
        writeln!(out, "     {:<9}{}", hyper.name(), values.join(" "))?;
    }
    writeln!(out, "Q34  cyclical momentum: low where the rate is high, and the other way round")?;

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
    writeln!(
        out,
        "Q30  random weights do not bear large steps: the first rate was {:.4},",
        lrs[0]
    )?;
    writeln!(out, "     the highest {:.4} at step {highest} of {}", lrs[highest], lrs.len())?;
    writeln!(
        out,
        "Q32  high rates train faster, and skip narrow minima: loss {:.3} at the start,",
        losses[0]
    )?;
    writeln!(
        out,
        "     {:.3} at the highest rate, {:.3} at the end",
        losses[highest],
        losses[losses.len() - 1]
    )?;
    writeln!(
        out,
        "Q33  low rates at the end find the bottom of the minimum: the last was {:.6}",
        lrs[lrs.len() - 1]
    )?;
    let series: Vec<_> = recorder.hypers.iter().map(|(hyper, _)| hyper.name()).collect();
    writeln!(out, "Q35  the Recorder keeps losses and, for each batch, {}", series.join(", "))?;
    writeln!(out, "     accuracy {:.4}", accuracy.unwrap_or(f64::NAN))?;
    out.figure("Up and down, and the momentum the other way round.", recorder.plot_sched())?;
    out.figure("The loss.", recorder.plot_loss())?;

    // One column for each batch (or the nearest), the bins of its histogram from below.
    let stats = learner.find::<ActivationStats>().expect("it was given");
    let layer = stats.layer_stats(-2).expect("there are five");
    writeln!(
        out,
        "Q36  color_dim of layer {}: a column is a batch's histogram, 0 at the bottom,",
        layer.path
    )?;
    writeln!(out, "     the denser the more activations (ln(1 + count)):")?;
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
            "     {:>5.2} |{}",
            0.25 * bin as f64,
            (0..columns).map(shade).collect::<String>()
        )?;
    }
    if let Some(figure) = stats.plot_layer_stats(-2) {
        out.figure("The same layer.", figure)?;
    }
    writeln!(out, "Q37  bad training is columns that spread and collapse, again and again. Here:")?;
    let findings = learner.diagnose();
    if findings.is_empty() {
        writeln!(out, "     nothing of that")?;
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
