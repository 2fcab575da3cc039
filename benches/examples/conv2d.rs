//! Times the passes of the convolutions that `topedge bench` measures on the threads that
//! `RAYON_NUM_THREADS` says, and prints one JSON object for each, of the better memory format: what
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
            let (seconds, format) = if times[0].0 <= times[1].0 { times[0] } else { times[1] };
            let rate = gflops(layer.operations(), seconds);
            println!(
                r#"{{"case":"{} {}","format":"{format}","seconds":{seconds:.9},"gflops":{rate:.2}}}"#,
                layer.name,
                pass.name(),
            );
        }
    }
}
