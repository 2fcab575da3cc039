//! How much of one core's peak a product of square matrices reaches, on each vector instruction set of the
//! machine: in turn with it runs the loop of `topedge_kernels::peak`, for as many operations. Prints one JSON
//! object for each: what `peers/alone.py` reads.

use std::error::Error;
use std::time::Duration;

use rayon::ThreadPoolBuilder;
use topedge_benches::{Product, ProductRun, gflops, medians_in_turn};
use topedge_kernels::{Isa, peak};

const SIZES: [usize; 2] = [1024, 2048];
/// Some tens of turns of the larger size, some hundreds of the smaller one.
const TOTAL: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let one_thread = ThreadPoolBuilder::new().num_threads(1).build()?;
    // The portable code is there for any processor, and no measure of this one.
    for isa in Isa::available().filter(|isa| isa.name() != "portable") {
        for size in SIZES {
            let mut run = ProductRun::new(Product { m: size, n: size, k: size });
            let operations = run.size.operations();
            let [product, fma] = one_thread.install(|| {
                isa.with(|| {
                    let rounds = (operations / peak::operations(1)) as usize;
                    let mut product = || run.run().expect("the shapes fit");
                    medians_in_turn(TOTAL, [&mut product, &mut || peak::multiply_adds(rounds)])
                })
            });
            println!(
                r#"{{"case":"{} {size}","gflops":{:.2},"peak_gflops":{:.2}}}"#,
                isa.name(),
                gflops(operations, product),
                gflops(operations, fma),
            );
        }
    }
    Ok(())
}
