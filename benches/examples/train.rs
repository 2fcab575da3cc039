//! Trains `simple-cnn-bn` on MNIST by a bare `Learner`, on the threads that `RAYON_NUM_THREADS` says, and
//! prints one JSON object for each epoch: what `peers/compare.py` reads. Loading of batches counts; what
//! `topedge train` records for its report does not.
//!
//!     train DIR EPOCHS BATCH_SIZE LR

use std::error::Error;
use std::path::Path;

use topedge::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, epochs, batch_size, lr] = &arguments[..] else {
        return Err("expected DIR EPOCHS BATCH_SIZE LR".into());
    };
    let splits = topedge::data::load(Path::new(dir), &|_| ())?;
    let config = LoadersConfig { batch_size: batch_size.parse()?, ..Default::default() };
    let data = DataLoaders::new(&splits, &config)?;
    let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
    let mut learner =
        Learner::new(data, model, CrossEntropy::default()).metric(Accuracy::default());
    learner.fit_one_cycle(epochs.parse()?, lr.parse::<f64>()?)?;
    let recorder = learner.find::<Recorder>().expect("every learner has one");
    for (epoch, row) in recorder.rows.iter().enumerate() {
        let accuracy = row.metric("accuracy").expect("measured in each epoch");
        println!(
            r#"{{"event":"epoch","epoch":{epoch},"train_seconds":{},"accuracy":{accuracy}}}"#,
            row.train_seconds,
        );
    }
    Ok(())
}
