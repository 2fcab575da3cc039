//! What most programs that train a network need: `use topedge::prelude::*;`.

pub use rand::SeedableRng;
pub use rand_pcg::Pcg64;
pub use topedge_autograd::{Mode, Tape, Tensor, no_grad};
pub use topedge_data::digits::{self, Digits};
pub use topedge_data::{DataLoaders, Dataset, LoadersConfig, Normalize, Splits};
pub use topedge_nn::callbacks::Recorder;
pub use topedge_nn::layers::*;
pub use topedge_nn::losses::CrossEntropy;
pub use topedge_nn::metrics::Accuracy;
pub use topedge_nn::optim::{Adam, Optimizer, Sgd};
pub use topedge_nn::{Callback, Learner, Module, Net, NetConfig, Predictor};

pub use crate::{Model, ModelInfo, PlotLrFind, PlotRecorder, PlotStats, Summary};
