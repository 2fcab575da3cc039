//! A training step allocates nothing after the first: buffers come from pools and go back to them.
//! Neither does a prediction.

use rand::SeedableRng;
use topedge_autograd::{Tape, Tensor};
use topedge_nn::losses::{CrossEntropy, Loss};
use topedge_nn::optim::{Adam, Optimizer};
use topedge_nn::{Context, Module, Net, NetConfig, Predictor, zero_grad};

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

#[test]
fn steps_and_predictions_allocate_nothing() {
    const BATCH: usize = 64;
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    let mut network = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng).unwrap();
    let pixels = (0..BATCH * 28 * 28).map(|i| (0.1 * i as f32).sin()).collect();
    // Batch-last, as the loader hands it out.
    let strides = [1, 28 * 28 * BATCH, 28 * BATCH, BATCH];
    let x = Tensor::from_strided(pixels, &[BATCH, 1, 28, 28], &strides).unwrap();
    let labels: Vec<u32> = (0..BATCH as u32).map(|i| i % 10).collect();
    let loss_fn = CrossEntropy::default();
    let mut optimizer = Adam::fastai();
    let mut context = Context::train(1);
    let mut predictor = Predictor::new(&network, [1, 28, 28]).unwrap();
    let mut step = || {
        let tape = Tape::new();
        let prediction = network.forward(&x, &mut context).unwrap();
        let loss = loss_fn.forward(&prediction, &labels).unwrap();
        tape.backward(&loss).unwrap();
        optimizer.step(&mut network).unwrap();
        zero_grad(&mut network);
    };
    // One thread, so that each buffer is warm after one step; which thread takes which job is chance.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        step();
        step();
        let before = dhat::HeapStats::get().total_blocks;
        for _ in 0..5 {
            step();
        }
        let after = dhat::HeapStats::get().total_blocks;
        assert_eq!(after - before, 0, "allocations in five steps");

        let (images, mut scores) = (vec![0.5; BATCH * 28 * 28], vec![0.0; BATCH * 10]);
        predictor.predict(&images, &mut scores).unwrap();
        let before = dhat::HeapStats::get().total_blocks;
        predictor.predict(&images, &mut scores).unwrap();
        let after = dhat::HeapStats::get().total_blocks;
        assert_eq!(after - before, 0, "allocations in a prediction");
    });
}
