//! Losses over a training run.

use plotters::prelude::*;

use crate::chart::{BLUE, Labels, ORANGE, PALE_BLUE, PlotError, chart, legend, range_of, svg};

/// The losses of a training run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossPlot<'a> {
    /// The loss of each training batch.
    pub train: &'a [f32],
    /// The smoothed loss after each training batch.
    pub smoothed: &'a [f64],
    /// The validation loss after each epoch; epochs have equally many batches.
    pub valid: &'a [f64],
}

/// Draws losses over batches: each batch's faintly, the smoothed one on top of it, and the
/// validation loss where its epoch ends. Values that are not finite are left out.
///
/// Returns an SVG document.
///
/// ```
/// use topedge_report::{LossPlot, loss_plot};
///
/// let svg = loss_plot(&LossPlot {
///     train: &[2.3, 1.9, 1.2, 0.9],
///     smoothed: &[2.3, 2.1, 1.8, 1.6],
///     valid: &[1.5, 0.8],
/// })?;
/// assert!(svg.starts_with("<svg") && svg.contains("validation"));
/// # Ok::<(), topedge_report::PlotError>(())
/// ```
///
/// # Errors
///
/// When the drawing library refuses.
pub fn loss_plot(plot: &LossPlot<'_>) -> Result<String, PlotError> {
    let batches = plot.train.len().max(plot.smoothed.len()).max(1) as f64;
    let train: Vec<f64> = plot.train.iter().map(|&loss| loss.into()).collect();
    let all = [&train[..], plot.smoothed, plot.valid].into_iter().flatten();
    let high = range_of(all.copied().chain([0.0])).end;
    let labels = Labels { title: "Loss", x: "training batch", y: "loss" };

    svg((820, 460), |area| {
        let mut chart = chart(area, &labels, 0.0..batches, 0.0..high)?;
        for (values, name, style) in [
            (&train[..], "training, each batch", PALE_BLUE.stroke_width(1)),
            (plot.smoothed, "training, smoothed", BLUE.stroke_width(2)),
        ] {
            if values.is_empty() {
                continue;
            }
            chart
                .draw_series(LineSeries::new(per_batch(values), style))
                .map_err(PlotError::new)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        if !plot.valid.is_empty() {
            let points = per_epoch(plot.valid, batches);
            let style = ORANGE.stroke_width(2);
            chart.draw_series(LineSeries::new(points.clone(), style)).map_err(PlotError::new)?;
            chart
                .draw_series(points.into_iter().map(|p| Circle::new(p, 4, ORANGE.filled())))
                .map_err(PlotError::new)?
                .label("validation")
                .legend(|(x, y)| Circle::new((x + 9, y), 4, ORANGE.filled()));
        }
        legend(&mut chart)
    })
}

/// The n-th batch lies at n.
fn per_batch(values: &[f64]) -> Vec<(f64, f64)> {
    let points = values.iter().enumerate().map(|(i, &v)| ((i + 1) as f64, v));
    points.filter(|(_, v)| v.is_finite()).collect()
}

/// The n-th epoch ends at its share of all batches.
fn per_epoch(values: &[f64], batches: f64) -> Vec<(f64, f64)> {
    let epoch = batches / values.len() as f64;
    let points = values.iter().enumerate();
    points.map(|(i, &v)| ((i + 1) as f64 * epoch, v)).filter(|(_, v)| v.is_finite()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_end_at_their_share_of_the_batches() {
        let points = per_epoch(&[1.0, f64::NAN, 0.25], 30.0);
        assert_eq!(points, [(10.0, 1.0), (30.0, 0.25)]);
        assert_eq!(per_batch(&[3.0, f64::INFINITY, 2.0]), [(1.0, 3.0), (3.0, 2.0)]);
    }

    #[test]
    fn each_curve_has_its_entry_in_the_legend() {
        let entries = ["training, each batch", "training, smoothed", "validation"];
        let all = LossPlot { train: &[2.0, 1.0], smoothed: &[2.0, 1.5], valid: &[1.2] };
        for (missing, plot) in [
            (None, all.clone()),
            (Some(0), LossPlot { train: &[], ..all.clone() }),
            (Some(1), LossPlot { smoothed: &[], ..all.clone() }),
            (Some(2), LossPlot { valid: &[], ..all.clone() }),
        ] {
            let svg = loss_plot(&plot).unwrap();
            for (i, entry) in entries.iter().enumerate() {
                assert_eq!(svg.contains(entry), missing != Some(i), "{entry}: {svg}");
            }
        }
    }

    #[test]
    fn odd_numbers_are_drawn_as_far_as_they_can_be() {
        for values in [&[][..], &[f64::NAN], &[0.0], &[1e30, -1.0], &[5.0; 3]] {
            let train: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            let svg = loss_plot(&LossPlot { train: &train, smoothed: values, valid: values });
            let svg = svg.unwrap();
            assert!(svg.contains("training batch") && svg.ends_with("</svg>\n"), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
