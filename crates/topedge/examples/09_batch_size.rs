//! Larger batches: truer gradients, and fewer steps. Is that enough?

use std::error::Error;
use std::io::stdout;

use topedge::nn::callbacks::ActivationStats;
use topedge::prelude::*;
use topedge::report::{Comparison, Tell};

pub(crate) fn run(data: &Splits, out: &mut dyn Tell) -> Result<(), Box<dyn Error>> {
    out.question(29, "What do larger batches bring, and what do they cost?")?;
    writeln!(out, "     Their gradients are truer, and there are fewer steps to use them in.")?;
    let mut learners = vec![];
    for wanted in [64, 512] {
        let batch_size = wanted.min(data.train.len());
        let config = LoadersConfig { batch_size, ..Default::default() };
        let loaders = DataLoaders::new(data, &config)?;
        let steps = loaders.train.batches();
        let model = Net::SimpleCnn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
        let mut learner = Learner::new(loaders, model, CrossEntropy::default())
            .metric(Accuracy::default())
            .callback(ActivationStats::default());
        if let Err(error) = learner.fit(1, 0.06) {
            writeln!(out, "     the run ended with an error: {error}")?;
        }
        let recorder = learner.find::<Recorder>().expect("every learner has one");
        let accuracy = recorder.rows.last().and_then(|row| row.metric("accuracy"));
        let accuracy = accuracy.unwrap_or(f64::NAN);
        writeln!(out, "     Batches of {batch_size}: {steps} steps, accuracy {accuracy:.4}")?;
        for finding in learner.diagnose() {
            writeln!(out, "       {}", finding.text)?;
        }
        learners.push(learner);
    }
    let [a, b] = [0, 1].map(|i| {
        let recorder = learners[i].find::<Recorder>().expect("every learner has one");
        let stats = learners[i].find::<ActivationStats>().expect("it was given");
        topedge::comparable_run("", vec![], recorder, stats, 10)
    });
    out.figure("A: the smaller batches, B: the larger ones.", Comparison { a, b }.loss_figure())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&digits::generate(&Digits::default())?, &mut stdout())
}
