//! Times the products of `shapes/gemm.txt` on the threads that `RAYON_NUM_THREADS` says, and prints
//! one JSON object for each: what `peers/compare.py` reads.

use topedge_benches::{ProductRun, gflops, median_seconds, products};

fn main() {
    for size in products() {
        let mut run = ProductRun::new(size);
        let seconds = median_seconds(|| run.run().expect("the shapes of the list fit"));
        let rate = gflops(size.operations(), seconds);
        println!(r#"{{"case":"{}","seconds":{seconds:.9},"gflops":{rate:.2}}}"#, size.name());
    }
}
