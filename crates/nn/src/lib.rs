#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod callbacks;
mod context;
mod diagnosis;
mod edge_kernel;
mod error;
mod inference;
mod init;
pub mod layers;
mod learner;
pub mod losses;
pub mod metrics;
mod model_file;
mod module;
mod nets;
pub mod optim;
mod receptive_field;
mod saved_state;
mod schedule;
mod state_dict;
mod summary;
mod trace;

pub use context::{Context, Observed, Observer};
pub use diagnosis::{
    ENOUGH_BATCHES, Evidence, Finding, FindingKind, Severity, diagnose, short_number,
};
pub use edge_kernel::EdgeKernel;
pub use error::{Error, Result};
pub use inference::{Evaluation, Predictor};
pub use init::Init;
pub use learner::{
    Callback, Cancel, Checkpoint, Checkpoints, EpochRow, Every, Flow, Interrupt, Learner, LrFind,
    LrFound, MAX_LR, Rates, State, Suggestion,
};
pub use model_file::ModelFile;
pub use module::{
    Item, ItemMut, Module, Parameter, ParameterKind, describe, for_each_parameter_mut,
    parameter_count, parameters, walk, walk_mut, zero_grad,
};
pub use nets::{Net, NetConfig};
pub use receptive_field::{
    InputWindow, Reach, ReceptiveField, Window, input_windows, receptive_fields,
};
pub use saved_state::SavedState;
pub use schedule::{Schedule, Sgdr, flat_cos, one_cycle, sgdr};
pub use state_dict::{StateDict, StateTensor, StateValues, load_state_dict, state_dict};
pub use summary::{LayerSummary, Measured, Summary, TrainingSummary};
pub use trace::{Activations, LayerActivations, Precedents, Term, Trace};
