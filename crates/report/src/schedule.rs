//! Hyperparameters over a training run.

use plotters::prelude::*;

use crate::chart::{Area, BLUE, Labels, ORANGE, PlotError, chart, range_of, svg};

/// The schedules of a training run, one value for each step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchedulePlot<'a> {
    /// The learning rate.
    pub lr: &'a [f64],
    /// The momentum.
    pub momentum: &'a [f64],
}

/// Draws learning rate and momentum over steps, side by side. Values that are not finite are left
/// out.
///
/// Returns an SVG document.
///
/// ```
/// use topedge_report::{SchedulePlot, schedule_plot};
///
/// let svg = schedule_plot(&SchedulePlot { lr: &[0.01, 0.1, 0.01], momentum: &[0.95, 0.85, 0.95] })?;
/// assert!(svg.contains("Learning rate") && svg.contains("Momentum"));
/// # Ok::<(), topedge_report::PlotError>(())
/// ```
///
/// # Errors
///
/// When the drawing library refuses.
pub fn schedule_plot(plot: &SchedulePlot<'_>) -> Result<String, PlotError> {
    svg((1080, 400), |area| {
        let (left, right) = area.split_horizontally(540);
        let lr = Labels { title: "Learning rate", x: "step", y: "lr" };
        let momentum = Labels { title: "Momentum", x: "step", y: "momentum" };
        panel(&left, &lr, plot.lr, BLUE)?;
        panel(&right, &momentum, plot.momentum, ORANGE)
    })
}

fn panel(
    area: &Area<'_>,
    labels: &Labels<'_>,
    values: &[f64],
    color: RGBColor,
) -> Result<(), PlotError> {
    let steps = values.len().max(1) as f64;
    let mut chart = chart(area, labels, 0.0..steps, range_of(values.iter().copied()))?;
    let points = values.iter().enumerate().map(|(i, &v)| (i as f64, v));
    chart
        .draw_series(LineSeries::new(points.filter(|(_, v)| v.is_finite()), color.stroke_width(2)))
        .map_err(PlotError::new)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of corners of each curve in a picture.
    fn corners(svg: &str) -> Vec<usize> {
        let curves = svg.split("<polyline").skip(1);
        let points = curves.filter_map(|curve| curve.split("points=\"").nth(1)?.split('"').next());
        points.map(|points| points.split_whitespace().count()).collect()
    }

    #[test]
    fn one_curve_a_panel_with_a_corner_for_each_step() {
        let (lr, momentum) = ([0.1, 0.2, 0.3, 0.2, 0.1], [0.9, f64::NAN, 0.8, 0.7, 0.9]);
        let svg = schedule_plot(&SchedulePlot { lr: &lr, momentum: &momentum }).unwrap();
        let corners = corners(&svg);
        assert!(corners.contains(&5) && corners.contains(&4), "{corners:?}");
    }

    #[test]
    fn odd_numbers_are_drawn_as_far_as_they_can_be() {
        for values in [&[][..], &[f64::NAN], &[0.1], &[1e-300, 1e300]] {
            let svg = schedule_plot(&SchedulePlot { lr: values, momentum: values }).unwrap();
            assert!(!svg.contains("NaN") && svg.ends_with("</svg>\n"), "{svg}");
        }
    }
}
