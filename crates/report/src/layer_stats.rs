//! What a layer put out, batch by batch: fastai's `plot_layer_stats` and `color_dim`.

use crate::chart::{Chart, range_of};
use crate::error::PlotError;
use crate::figure::{Figure, Panel};
use crate::picture::Picture;

/// The bins of a histogram: 40 of width .25 from 0 to 10.
const BINS: usize = 40;

/// More columns than this a picture of histograms does not need: each stands for several batches.
const COLUMNS: usize = 400;

const SIZE: [f64; 2] = [300.0, 200.0];

/// The statistics of a layer's outputs, one value for each training batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerStatsPlot<'a> {
    /// The layer, as in `0.0 Conv2d`.
    pub layer: String,
    /// Their mean.
    pub mean: &'a [f64],
    /// Their standard deviation.
    pub std: &'a [f64],
    /// The part of them that is near zero.
    pub near_zero: &'a [f64],
    /// How many of them lie in each of 40 bins of width .25 from 0 to 10: of each batch, or the means of
    /// as many batches in turn. Empty if unknown.
    pub histograms: Vec<[u32; BINS]>,
}

impl LayerStatsPlot<'_> {
    /// Mean, standard deviation, the part near zero and, if they are known, the histograms, as panels
    /// side by side over the same batches.
    ///
    /// ```
    /// use topedge_report::LayerStatsPlot;
    ///
    /// let plot = LayerStatsPlot {
    ///     layer: "0.0 Conv2d".to_string(),
    ///     mean: &[0.1, 0.2],
    ///     std: &[1.0, 0.9],
    ///     near_zero: &[0.5, 0.6],
    ///     histograms: vec![],
    /// };
    /// assert!(plot.figure().svg().contains("% near zero"));
    /// ```
    pub fn figure(&self) -> Figure {
        let percent: Vec<f64> = self.near_zero.iter().map(|part| 100.0 * part).collect();
        let mut panels = vec![
            self.panel("mean", self.mean, "a"),
            self.panel("standard deviation", self.std, "a"),
            self.panel("% near zero", &percent, "b"),
        ];
        if let Ok(picture) = color_dim(&self.histograms) {
            let batches = 0.0..self.mean.len().max(1) as f64;
            let mut chart =
                Chart::new("histograms", "training batch", SIZE, batches.clone(), 0.0..10.0);
            chart.picture(picture, batches.end);
            panels.push(chart.panel());
        }
        Figure::new(panels)
    }

    /// Shows the plots in an evcxr notebook.
    pub fn evcxr_display(&self) {
        self.figure().evcxr_display();
    }

    fn panel(&self, title: &str, values: &[f64], class: &'static str) -> Panel {
        let range = match title {
            "% near zero" => 0.0..100.0,
            _ => range_of(values.iter().copied()),
        };
        let batches = 0.0..self.mean.len().max(1) as f64;
        let mut chart = Chart::new(title, "training batch", SIZE, batches, range);
        chart.curve(class, (1..).map(f64::from).zip(values.iter().copied()));
        chart.panel()
    }
}

/// A picture of histograms over training batches: a column for each batch (or for several, if there
/// are many), the lowest bin at the bottom, and the colour that of ln(1 + count).
///
/// # Errors
///
/// When there are no histograms.
pub fn color_dim(histograms: &[[u32; BINS]]) -> Result<Picture, PlotError> {
    let [picture] = color_dims([histograms]);
    picture
}

/// The same of several, with colours that mean the same in all.
pub(crate) fn color_dims<const N: usize>(
    histograms: [&[[u32; BINS]]; N],
) -> [Result<Picture, PlotError>; N] {
    let columns = histograms.map(columns);
    let values = columns.iter().flatten().flatten();
    let largest = values.copied().fold(f32::MIN_POSITIVE, f32::max);
    columns.map(|columns| {
        let rows = (0..BINS).rev().flat_map(|bin| columns.iter().map(move |column| column[bin]));
        Picture::heat(&rows.collect::<Vec<_>>(), [BINS, columns.len()], largest)
    })
}

/// ln(1 + count) of the bins of each batch, or of the mean of several.
fn columns(histograms: &[[u32; BINS]]) -> Vec<[f32; BINS]> {
    let each = histograms.len().div_ceil(COLUMNS).max(1);
    histograms
        .chunks(each)
        .map(|some| {
            let count = |bin: usize| some.iter().map(|h| f64::from(h[bin])).sum::<f64>();
            std::array::from_fn(|bin| (count(bin) / some.len() as f64).ln_1p() as f32)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_for_each_batch_with_the_origin_at_the_bottom() {
        let mut histograms = [[0; BINS]; 3];
        histograms[1][0] = 100;
        let picture = color_dim(&histograms).unwrap();
        assert_eq!(picture.size(), [BINS, 3]);
        let mut expected = vec![0.0; BINS * 3];
        expected[(BINS - 1) * 3 + 1] = 1.0;
        assert_eq!(picture, Picture::heat(&expected, [BINS, 3], 1.0).unwrap());
    }

    #[test]
    fn many_batches_share_columns_and_none_are_no_picture() {
        assert_eq!(color_dim(&vec![[1; BINS]; 1001]).unwrap().size(), [BINS, 334]);
        assert!(color_dim(&[]).is_err());
        let empty = LayerStatsPlot::default().figure().svg();
        assert!(!empty.contains("NaN") && !empty.contains("histograms"), "{empty}");
    }
}
