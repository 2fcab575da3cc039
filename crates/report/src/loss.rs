//! Losses over a training run.

use std::ops::Range;

use crate::chart::{Chart, range_of};
use crate::figure::Figure;

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

impl LossPlot<'_> {
    /// Losses over batches: each batch's faintly, the smoothed one on top of it, and the validation
    /// loss where its epoch ends. Values that are not finite are left out.
    ///
    /// ```
    /// use topedge_report::LossPlot;
    ///
    /// let plot = LossPlot {
    ///     train: &[2.3, 1.9, 1.2, 0.9],
    ///     smoothed: &[2.3, 2.1, 1.8, 1.6],
    ///     valid: &[1.5, 0.8],
    /// };
    /// assert!(plot.figure().svg().contains("validation"));
    /// ```
    pub fn figure(&self) -> Figure {
        let batches = self.train.len().max(self.smoothed.len()).max(1) as f64;
        let train: Vec<f64> = self.train.iter().map(|&loss| loss.into()).collect();
        let axis = LossAxis::of(&[&train, self.smoothed, self.valid]);
        let (size, range) = ([620.0, 340.0], axis.range.clone());
        let chart = Chart::new(axis.title(), "training batch", size, 0.0..batches, range);
        let mut chart = axis.on(chart);
        for (values, name, class) in
            [(&train[..], "each batch", "pale"), (self.smoothed, "smoothed", "a")]
        {
            if !values.is_empty() {
                // The n-th batch lies at n.
                chart.curve(class, (1..).map(f64::from).zip(axis.places(values)));
                chart.name(class, name);
            }
        }
        if !self.valid.is_empty() {
            // The n-th epoch ends at its share of all batches.
            let epoch = batches / self.valid.len() as f64;
            let ends = (1..).map(|i| f64::from(i) * epoch).zip(axis.places(self.valid));
            chart.curve("b", ends.clone());
            chart.dots("b", ends);
            chart.name("b", "validation");
        }
        Figure::new(vec![chart.panel()])
    }
    /// Shows the plot in an evcxr notebook.
    pub fn evcxr_display(&self) {
        self.figure().evcxr_display();
    }
}

/// How losses are laid out: from 0 on, or by powers of ten.
pub(crate) struct LossAxis {
    pub(crate) range: Range<f64>,
    /// The least loss above 0, where the axis has powers of ten.
    least: Option<f64>,
}

impl LossAxis {
    /// How many times the middle of a curve the highest loss may be: beyond, that curve would lie on the axis.
    const FLAT: f64 = 8.0;

    /// For these curves.
    pub(crate) fn of(curves: &[&[f64]]) -> LossAxis {
        let (mut least, mut middle, mut highest) = (f64::INFINITY, f64::INFINITY, 0.0_f64);
        for curve in curves {
            let mut losses = curve.to_vec();
            losses.retain(|loss| loss.is_finite() && *loss > 0.0);
            losses.sort_by(f64::total_cmp);
            if let (Some(&first), Some(&last)) = (losses.first(), losses.last()) {
                least = least.min(first);
                middle = middle.min(losses[losses.len() / 2]);
                highest = highest.max(last);
            }
        }
        if highest > Self::FLAT * middle {
            let range = range_of([least, highest].into_iter().map(f64::log10));
            return LossAxis { range, least: Some(least) };
        }
        let all = curves.iter().copied().flatten().copied();
        LossAxis { range: 0.0..range_of(all.chain([0.0])).end, least: None }
    }

    pub(crate) fn title(&self) -> &'static str {
        if self.least.is_some() { "Loss (log)" } else { "Loss" }
    }

    /// Gives a chart over this range its powers of ten, if it is to have them.
    pub(crate) fn on(&self, chart: Chart) -> Chart {
        if self.least.is_some() { chart.log_y() } else { chart }
    }

    /// Where losses lie: what is no number stays so, and what has no logarithm lies at the bottom.
    pub(crate) fn places<'a>(&self, losses: &'a [f64]) -> impl Iterator<Item = f64> + Clone + 'a {
        let least = self.least;
        losses.iter().map(move |&loss| match least {
            Some(least) if loss < least => least.log10(),
            Some(_) => loss.log10(),
            None => loss,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_curve_has_its_entry_in_the_legend() {
        let entries = ["each batch", "smoothed", "validation"];
        let all = LossPlot { train: &[2.0, 1.0], smoothed: &[2.0, 1.5], valid: &[1.2] };
        for (missing, plot) in [
            (None, all.clone()),
            (Some(0), LossPlot { train: &[], ..all.clone() }),
            (Some(1), LossPlot { smoothed: &[], ..all.clone() }),
            (Some(2), LossPlot { valid: &[], ..all.clone() }),
        ] {
            let svg = plot.figure().svg();
            for (i, entry) in entries.iter().enumerate() {
                assert_eq!(svg.contains(entry), missing != Some(i), "{entry}: {svg}");
            }
        }
    }

    #[test]
    fn epochs_end_at_their_share_of_the_batches() {
        let (train, valid) = ([1.0; 30], [1.0, f64::NAN, 0.25]);
        let svg = LossPlot { train: &train, smoothed: &[], valid: &valid }.figure().svg();
        // A third of the plot's width from its left edge, and its right edge.
        let dots: Vec<_> = svg.split("<circle class=\"b\" cx=\"").skip(1).collect();
        assert_eq!(dots.len(), 2, "{svg}");
        assert!(dots[0].starts_with("238.0\"") && dots[1].starts_with("606.0\""), "{dots:?}");
    }

    #[test]
    fn losses_that_fall_far_lie_by_powers_of_ten() {
        let axis = LossAxis::of(&[&[2.3, 1.9, 1.2, 0.9]]);
        assert_eq!((axis.range.start, axis.least), (0.0, None));
        let losses = [1000.0, 1.0, 0.1, 0.0, f64::NAN];
        let axis = LossAxis::of(&[&losses, &[900.0; 9]]);
        assert_eq!(axis.least, Some(0.1));
        let places: Vec<_> = axis.places(&losses).collect();
        assert_eq!(places[..4], [3.0, 0.0, -1.0, -1.0]);
        assert!(places[4].is_nan() && axis.range.contains(&3.0) && axis.range.contains(&-1.0));
        let svg = LossPlot { smoothed: &losses, ..Default::default() }.figure().svg();
        assert!(svg.contains("Loss (log)") && svg.contains(">100<"), "{svg}");
    }

    #[test]
    fn odd_numbers_are_drawn_as_far_as_they_can_be() {
        for values in [&[][..], &[f64::NAN], &[0.0], &[1e30, -1.0], &[5.0; 3]] {
            let train: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            let svg = LossPlot { train: &train, smoothed: values, valid: values }.figure().svg();
            assert!(svg.contains("training batch") && svg.ends_with("</svg>\n"), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
