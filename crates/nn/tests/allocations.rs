//! A training step allocates nothing after the first: buffers come from pools and go back to them.
//! Neither does a prediction. Of several threads those that sleep have to be woken, by one small block.

use std::any::TypeId;

use rand::SeedableRng;
use topedge_autograd::{Tape, Tensor};
use topedge_data::digits::{self, Digits};
use topedge_data::{DataLoaders, LoadersConfig, MemoryFormat};
use topedge_nn::callbacks::Recorder;
use topedge_nn::losses::{CrossEntropy, Loss};
use topedge_nn::optim::{Adam, Optimizer};
use topedge_nn::{Callback, Flow, Learner, State};
use topedge_nn::{Context, Module, Net, NetConfig, Predictor, zero_grad};

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

fn steps_and_predictions_allocate_nothing(batch: usize) {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    let mut network = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng).unwrap();
    let pixels = (0..batch * 28 * 28).map(|i| (0.1 * i as f32).sin()).collect();
    // Batch-last, in parts, as the loader hands it out.
    let format = MemoryFormat::BatchLast;
    let parts = format.parts(batch);
    let strides = format.strides([batch / parts, 1, 28, 28]);
    let x = Tensor::from_parts(pixels, &[batch, 1, 28, 28], &strides, parts).unwrap();
    let labels: Vec<u32> = (0..batch as u32).map(|i| i % 10).collect();
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
        let before = dhat::HeapStats::get().total_blocks;
        for _ in 0..5 {
            step();
        }
        let after = dhat::HeapStats::get().total_blocks;
        assert_eq!(after - before, 0, "allocations in five steps");

        let (images, mut scores) = (vec![0.5; batch * 28 * 28], vec![0.0; batch * 10]);
        predictor.predict(&images, &mut scores).unwrap();
        let before = dhat::HeapStats::get().total_blocks;
        predictor.predict(&images, &mut scores).unwrap();
        let after = dhat::HeapStats::get().total_blocks;
        assert_eq!(after - before, 0, "allocations in a prediction");
    });
}

/// Heap blocks that were asked for in each training batch, from its first event to what a recorder
/// does after it.
#[derive(Default)]
struct Allocations {
    before: u64,
    of_batches: Vec<u64>,
}

impl Callback for Allocations {
    fn name(&self) -> &'static str {
        "allocations"
    }

    fn run_after(&self) -> Vec<TypeId> {
        vec![TypeId::of::<Recorder>()]
    }

    fn before_fit(&mut self, state: &mut State) -> Flow {
        self.of_batches.reserve(state.steps);
        Ok(())
    }

    fn before_batch(&mut self, _: &mut State) -> Flow {
        self.before = dhat::HeapStats::get().total_blocks;
        Ok(())
    }

    fn after_batch(&mut self, state: &mut State) -> Flow {
        if state.is_training() {
            self.of_batches.push(dhat::HeapStats::get().total_blocks - self.before);
        }
        Ok(())
    }
}

/// But for the first batches of an epoch, beside which a thread begins to load the others, and for what
/// wakes the pool's other threads.
fn a_learner_allocates_nothing(threads: usize) {
    const LOADED_AHEAD: usize = 3;
    const BATCHES: usize = 10;
    let splits = digits::generate(&Digits { train: 64 * BATCHES, valid: 64, ..Default::default() });
    let data = DataLoaders::new(&splits.unwrap(), &LoadersConfig::default()).unwrap();
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    let network = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng).unwrap();
    let mut learner = Learner::new(data, network, CrossEntropy::default());
    learner = learner.callback(Allocations::default());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let _profiler = dhat::Profiler::builder().testing().build();
    pool.install(|| learner.fit_one_cycle(3, 0.01)).unwrap();
    let counts = &learner.find::<Allocations>().unwrap().of_batches;
    println!("{counts:?}");
    assert_eq!(counts.len(), 3 * BATCHES);
    let of_epochs =
        counts.chunks_exact(BATCHES).map(|epoch| epoch[LOADED_AHEAD..].iter().sum::<u64>());
    // Which of several threads takes which job is chance, and so is when its buffers are warm.
    let most = if threads == 1 { 0 } else { BATCHES as u64 };
    assert!(of_epochs.skip(1).all(|count| count <= most), "{counts:?}");
    // But no step has to.
    assert!(counts[BATCHES..].contains(&0), "{counts:?}");
}

#[test]
fn steps_predictions_and_learners_allocate_nothing() {
    // One after the other: the counter counts for all.
    steps_and_predictions_allocate_nothing(64);
    steps_and_predictions_allocate_nothing(512);
    a_learner_allocates_nothing(1);
    a_learner_allocates_nothing(2);
}
