//! Hyperparameters over a training run.

use crate::chart::{Chart, range_of};
use crate::figure::{Figure, Panel};

/// The schedules of a training run, one value for each step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchedulePlot<'a> {
    /// The learning rate.
    pub lr: &'a [f64],
    /// The momentum.
    pub momentum: &'a [f64],
}

impl SchedulePlot<'_> {
    /// Learning rate and momentum over steps, side by side. Values that are not finite are left out.
    ///
    /// ```
    /// use topedge_report::SchedulePlot;
    ///
    /// let plot = SchedulePlot { lr: &[0.01, 0.1, 0.01], momentum: &[0.95, 0.85, 0.95] };
    /// let svg = plot.figure().svg();
    /// assert!(svg.contains("Learning rate") && svg.contains("Momentum"));
    /// ```
    pub fn figure(&self) -> Figure {
        let panels = [panel("Learning rate", self.lr, "a"), panel("Momentum", self.momentum, "b")];
        Figure::new(panels.into())
    }
    /// Shows the plot in an evcxr notebook.
    pub fn evcxr_display(&self) {
        self.figure().evcxr_display();
    }
}

fn panel(title: &str, values: &[f64], class: &'static str) -> Panel {
    let steps = 0.0..values.len().max(1) as f64;
    let mut chart =
        Chart::new(title, "step", [400.0, 260.0], steps, range_of(values.iter().copied()));
    chart.curve(class, (0..).map(f64::from).zip(values.iter().copied()));
    chart.panel()
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
        let svg = SchedulePlot { lr: &lr, momentum: &momentum }.figure().svg();
        assert_eq!(corners(&svg), [5, 4]);
    }

    #[test]
    fn odd_numbers_are_drawn_as_far_as_they_can_be() {
        for values in [&[][..], &[f64::NAN], &[0.1], &[1e-300, 1e300]] {
            let svg = SchedulePlot { lr: values, momentum: values }.figure().svg();
            assert!(!svg.contains("NaN") && svg.ends_with("</svg>\n"), "{svg}");
        }
    }
}
