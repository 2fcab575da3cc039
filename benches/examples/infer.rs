//! Times `simple-cnn-bn` on images that are ready in memory, in evaluation, on the threads that
//! `RAYON_NUM_THREADS` says, and prints one JSON object for each number of images: what
//! `peers/compare.py` reads.

use topedge::prelude::*;
use topedge_benches::{median_seconds, values};

fn main() -> topedge::Result<()> {
    let network = Net::SimpleCnnBn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?;
    let mut predictor = Predictor::new(&network, [1, 28, 28])?;
    for count in [1, 16] {
        let (images, mut scores) = (values(count * 28 * 28), vec![0.0; count * 10]);
        predictor.predict(&images, &mut scores)?;
        let seconds = median_seconds(|| {
            predictor.predict(&images, &mut scores).expect("the sizes fit");
        });
        println!(r#"{{"case":"{count}","seconds":{seconds:.9}}}"#);
    }
    Ok(())
}
