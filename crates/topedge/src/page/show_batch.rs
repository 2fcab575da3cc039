//! Some images of a batch with their labels.

use topedge_data::DataLoader;
use topedge_report::{Captioned, Gallery, Picture};

use crate::error::Result;

/// The first `count` images of the first batch with their labels, as the network gets to see them, but
/// for the normalisation, which is undone: what went wrong on the way shows here.
///
/// ```
/// use topedge::prelude::*;
///
/// let splits = digits::generate(&Digits { train: 64, valid: 10, ..Default::default() })?;
/// let data = DataLoaders::new(&splits, &LoadersConfig { batch_size: 16, ..Default::default() })?;
/// let batch = topedge::show_batch(&data.train, 9)?;
/// assert_eq!(batch.pictures.len(), 9);
/// batch.evcxr_display();
/// # Ok::<(), topedge::Error>(())
/// ```
///
/// # Errors
///
/// When a batch cannot be loaded.
pub fn show_batch(loader: &DataLoader, count: usize) -> Result<Gallery> {
    let Some(batch) = loader.epoch(0).next() else {
        return Ok(Gallery::default());
    };
    let batch = batch?;
    let data = loader.dataset();
    let pictures = (0..batch.labels.len().min(count)).map(|i| {
        let pixels = loader.config().normalize.decode(&batch.image(i))?;
        let picture = Picture::image(&pixels, data.image_shape())?;
        Ok(Captioned { picture, caption: data.vocab()[batch.labels[i] as usize].clone() })
    });
    Ok(Gallery { pictures: pictures.collect::<Result<_>>()?, columns: 0 })
}
