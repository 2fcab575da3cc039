//! A whole training run gives the same weights on any number of threads, with and without leave for a
//! thread that prepares batches, each time, on each instruction set.
//!
//! Five repeats of a longer run:
//! `cargo test --release -p topedge-nn --test threads -- --ignored --nocapture`.

use std::hash::{DefaultHasher, Hash, Hasher};

use rand::SeedableRng;
use rand_pcg::Pcg64;
use topedge_data::digits::{self, Digits};
use topedge_data::{DataLoader, DataLoaders, LoaderConfig, LoadersConfig, Splits};
use topedge_kernels::{Isa, Winograd};
use topedge_nn::callbacks::MixUp;
use topedge_nn::losses::CrossEntropy;
use topedge_nn::metrics::Accuracy;
use topedge_nn::{Callback, Flow, Learner, Net, NetConfig, State, StateValues, state_dict};

/// Trains anew; a hash of all that the network has learned and of what validation said.
fn train(splits: &Splits, batch_size: usize, epochs: usize, prefetch: bool) -> u64 {
    let data = DataLoaders::new(splits, &LoadersConfig { batch_size, ..Default::default() });
    let DataLoaders { train, valid } = data.unwrap();
    let again = |loader: DataLoader| {
        let config = LoaderConfig { prefetch, ..loader.config().clone() };
        DataLoader::new(loader.dataset().clone(), config).unwrap()
    };
    let data = DataLoaders { train: again(train), valid: again(valid) };
    let mut rng = Pcg64::seed_from_u64(1);
    let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut rng).unwrap();
    let mut learner = Learner::new(data, model, CrossEntropy::default())
        .metric(Accuracy::default())
        .callback(MixUp::new(0.4).unwrap());
    learner.fit_one_cycle(epochs, 0.03).unwrap();
    let mut hasher = DefaultHasher::new();
    for (name, tensor) in state_dict(&*learner.state.model).iter() {
        name.hash(&mut hasher);
        match &tensor.values {
            StateValues::F32(values) => {
                values.iter().for_each(|value| value.to_bits().hash(&mut hasher));
            }
            StateValues::I64(values) => values.hash(&mut hasher),
        }
    }
    let losses = learner.state.row.iter().filter_map(|row| row.valid_loss);
    losses.for_each(|loss| loss.to_bits().hash(&mut hasher));
    hasher.finish()
}

fn one_hash(images: usize, batch_size: usize, epochs: usize, repeats: usize) {
    let config = Digits { train: images, valid: 100, ..Default::default() };
    let splits = digits::generate(&config).unwrap();
    for isa in Isa::available() {
        let mut hashes = vec![];
        for threads in [1, 2, 3, 4, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for prefetch in [false, true] {
                for _ in 0..repeats {
                    let run = || isa.with(|| train(&splits, batch_size, epochs, prefetch));
                    hashes.push((pool.install(run), threads, prefetch));
                }
            }
        }
        let (one, ..) = hashes[0];
        println!("{}: {} runs, {one:016x}", isa.name(), hashes.len());
        for (hash, threads, prefetch) in hashes {
            assert_eq!(hash, one, "{}, {threads} threads, prefetch: {prefetch}", isa.name());
        }
    }
}

#[test]
fn the_same_weights_on_any_number_of_threads() {
    // Batches in one part, in two and in four.
    for (images, batch_size) in [(96, 32), (128, 64), (256, 256)] {
        one_hash(images, batch_size, 2, 1);
    }
}

#[test]
#[ignore = "minutes: five repeats of a longer run"]
fn the_same_weights_each_time() {
    one_hash(2000, 64, 3, 5);
}

/// What a fit runs by: the names of the instruction set and the setting of Winograd's method.
struct Forced(Option<(Isa, Winograd)>);

impl Callback for Forced {
    fn name(&self) -> &'static str {
        "forced"
    }

    fn after_batch(&mut self, _: &mut State) -> Flow {
        self.0 = Some((Isa::current(), Winograd::current()));
        Ok(())
    }
}

#[test]
fn what_is_forced_outside_of_the_pool_holds_inside() {
    let splits = digits::generate(&Digits { train: 64, valid: 64, ..Default::default() }).unwrap();
    for isa in Isa::available() {
        let data = DataLoaders::new(&splits, &LoadersConfig::default()).unwrap();
        let model = Net::SimpleCnnBn.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(1));
        let mut learner = Learner::new(data, model.unwrap(), CrossEntropy::default());
        learner = learner.callback(Forced(None));
        isa.with(|| Winograd::Off.with(|| learner.fit(1, 0.01))).unwrap();
        assert_eq!(learner.find::<Forced>().unwrap().0, Some((isa, Winograd::Off)));
    }
}
