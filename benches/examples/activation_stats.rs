//! What it costs to record activation statistics with histograms: epochs of `simple-cnn-bn` with and without
//! them, in turn, on the threads that `RAYON_NUM_THREADS` says. Prints the median of each and their ratio,
//! of training alone.
//!
//!     activation_stats BATCH_SIZE PAIRS [MNIST]
//!
//! Without the folder of MNIST, on drawn digits.

use std::error::Error;
use std::path::Path;

use topedge::nn::callbacks::ActivationStats;
use topedge::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (batch_size, pairs, dir) = match &arguments[..] {
        [batch_size, pairs] => (batch_size, pairs, None),
        [batch_size, pairs, dir] => (batch_size, pairs, Some(dir)),
        _ => return Err("expected BATCH_SIZE PAIRS [MNIST]".into()),
    };
    let splits = match dir {
        Some(dir) => topedge::data::load(Path::new(dir), &|_| ())?,
        None => digits::generate(&Digits::default())?,
    };
    let config = LoadersConfig { batch_size: batch_size.parse()?, ..Default::default() };
    let learner = || -> Result<Learner, Box<dyn Error>> {
        let data = DataLoaders::new(&splits, &config)?;
        let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
        Ok(Learner::new(data, model, CrossEntropy::default()))
    };
    let mut learners =
        [learner()?, learner()?.callback(ActivationStats::default().with_histograms())];
    let mut seconds = [vec![], vec![]];
    // The first pair warms up.
    for pair in 0..=pairs.parse::<usize>()?.max(1) {
        for (learner, seconds) in learners.iter_mut().zip(&mut seconds) {
            learner.fit_one_cycle(1, 0.01)?;
            let recorder = learner.find::<Recorder>().expect("every learner has one");
            if pair > 0 {
                seconds.extend(recorder.rows.iter().map(|row| row.train_seconds));
            }
        }
    }
    let ratios = seconds[1].iter().zip(&seconds[0]).map(|(with, without)| with / without).collect();
    let [without, with] = seconds.map(median);
    println!("{without:.4} s without, {with:.4} s with: {:.3} times, by pairs", median(ratios));
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
