//! Losses over a training run.

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
        let all = [&train[..], self.smoothed, self.valid].into_iter().flatten();
        let high = range_of(all.copied().chain([0.0])).end;
        let mut chart =
            Chart::new("Loss", "training batch", [620.0, 340.0], 0.0..batches, 0.0..high);
        for (values, name, class) in
            [(&train[..], "each batch", "pale"), (self.smoothed, "smoothed", "a")]
        {
            if !values.is_empty() {
                // The n-th batch lies at n.
                chart.curve(class, (1..).map(f64::from).zip(values.iter().copied()));
                chart.name(class, name);
            }
        }
        if !self.valid.is_empty() {
            // The n-th epoch ends at its share of all batches.
            let epoch = batches / self.valid.len() as f64;
            let ends = (1..).map(|i| f64::from(i) * epoch).zip(self.valid.iter().copied());
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
    fn odd_numbers_are_drawn_as_far_as_they_can_be() {
        for values in [&[][..], &[f64::NAN], &[0.0], &[1e30, -1.0], &[5.0; 3]] {
            let train: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            let svg = LossPlot { train: &train, smoothed: values, valid: values }.figure().svg();
            assert!(svg.contains("training batch") && svg.ends_with("</svg>\n"), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
