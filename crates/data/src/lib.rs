#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod batch;
mod dataset;
pub mod digits;
mod error;
mod file;
pub mod folder;
pub mod idx;
mod image_file;
mod load;
mod loader;
mod normalize;
mod pixels;
mod prefetch;
mod random;

pub use batch::{Batch, MemoryFormat};
pub use dataset::{Dataset, Splits};
pub use error::{DataError, Result, panic_message};
pub use file::{remove_unfinished, sync_folder_of, write_whole};
pub use image_file::{load_image, parse_image};
pub use load::{LoadOptions, Progress, load};
pub use loader::{DataLoader, DataLoaders, Epoch, LoaderConfig, LoadersConfig};
pub use normalize::Normalize;
