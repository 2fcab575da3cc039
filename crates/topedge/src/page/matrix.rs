//! A piece of an image under the top-edge kernel, as a multiplication by a matrix.

use topedge_data::Dataset;
use topedge_kernels::conv2d::{Conv2dConfig, ConvMatrix};
use topedge_nn::EdgeKernel;
use topedge_report::ConvolutionAsMatrix;

use crate::error::Result;

/// A side of the piece.
const SIDE: usize = 4;

/// The piece of the image `i` whose pixels differ most; `None` if the image is smaller than it.
pub(super) fn of_image(data: &Dataset, i: usize) -> Result<Option<ConvolutionAsMatrix>> {
    let [_, height, width] = data.image_shape();
    if height < SIDE || width < SIDE {
        return Ok(None);
    }
    let pixels = data.image(i);
    let piece = |top: usize, left: usize| -> Vec<f32> {
        let places = (0..SIDE * SIDE).map(|k| (top + k / SIDE) * width + left + k % SIDE);
        places.map(|place| f32::from(pixels[place])).collect()
    };
    let spread = |piece: &[f32]| {
        let mean = piece.iter().sum::<f32>() / piece.len() as f32;
        piece.iter().map(|pixel| (pixel - mean).powi(2)).sum::<f32>()
    };
    let corners =
        (0..=height - SIDE).flat_map(|top| (0..=width - SIDE).map(move |left| (top, left)));
    let pieces = corners.map(|(top, left)| piece(top, left));
    let image = pieces.max_by(|a, b| spread(a).total_cmp(&spread(b))).unwrap_or_default();

    let matrix = ConvMatrix::new([1, SIDE, SIDE], [1, 1, 3, 3], &Conv2dConfig::default())?;
    let [_, out_height, out_width] = matrix.output_shape();
    let columns = matrix.columns();
    let entries = 0..matrix.rows() * columns;
    Ok(Some(ConvolutionAsMatrix {
        image_size: [SIDE, SIDE],
        kernel_size: [3, 3],
        output_size: [out_height, out_width],
        image,
        kernel: EdgeKernel::TopEdge.rows().into_iter().flatten().map(f32::from).collect(),
        entries: entries.map(|i| matrix.weight_index(i / columns, i % columns)).collect(),
    }))
}
