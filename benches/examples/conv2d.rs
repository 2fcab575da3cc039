//! Times the passes of the convolutions that `topedge bench` measures on the threads that
//! `RAYON_NUM_THREADS` says, and prints one JSON object for each, of the best memory format: what
//! `peers/compare.py` reads.

use topedge_benches::{ConvolutionRun, Format, Pass, convolutions, gflops, median_seconds};

fn main() {
    for layer in convolutions() {
        for pass in Pass::ALL {
            let times = Format::ALL.map(|format| {
                let mut run = ConvolutionRun::new(layer, format, pass);
                let seconds = median_seconds(|| run.run().expect("the shapes of the list fit"));
                (seconds, format.name())
            });
            let best = times.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
            let (seconds, format) = best.expect("there are three");
            let rate = gflops(layer.operations(), seconds);
            println!(
                r#"{{"case":"{} {}","format":"{format}","seconds":{seconds:.9},"gflops":{rate:.2}}}"#,
                layer.name,
                pass.name(),
            );
        }
    }
}
