//! The loss over ever larger learning rates: what fastai's `lr_find` plots.

use crate::chart::{Chart, range_of};
use crate::figure::Figure;

/// The loss over the learning rate, and what is suggested.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LrFindPlot<'a> {
    /// The learning rate of each step, above 0.
    pub lrs: &'a [f64],
    /// The smoothed loss after each step.
    pub losses: &'a [f64],
    /// Names of suggestions, and the points of the curve that they are.
    pub suggestions: Vec<(&'static str, [f64; 2])>,
}

impl LrFindPlot<'_> {
    /// The curve over powers of ten, with a dot for each suggestion.
    ///
    /// ```
    /// use topedge_report::LrFindPlot;
    ///
    /// let plot = LrFindPlot {
    ///     lrs: &[1e-4, 1e-3, 1e-2, 1e-1],
    ///     losses: &[2.3, 2.2, 1.0, 8.0],
    ///     suggestions: vec![("valley", [1e-3, 2.2])],
    /// };
    /// assert!(plot.figure().svg().contains("valley 1.0e-3"));
    /// ```
    pub fn figure(&self) -> Figure {
        let x = self.lrs.iter().map(|lr| lr.log10());
        // Losses run away at the end, where nobody wants to be.
        let best = self.losses.iter().copied().filter(|v| v.is_finite()).fold(f64::MAX, f64::min);
        let first = self.losses.first().copied().unwrap_or(best);
        let shown = self.losses.iter().copied().filter(|&loss| loss <= 1.5 * first.max(best));
        let mut chart = Chart::new(
            "Smoothed loss",
            "learning rate",
            [620.0, 340.0],
            range_of(x.clone()),
            range_of(shown),
        )
        .log_x();
        chart.curve("a", x.zip(self.losses.iter().copied()));
        for (name, [lr, loss]) in &self.suggestions {
            chart.mark("b", (lr.log10(), *loss), format!("{name} {lr:.1e}"));
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
    fn odd_numbers_are_drawn_as_far_as_they_can_be() {
        for values in [&[][..], &[f64::NAN], &[0.0], &[1e-300, 1e300]] {
            let suggestions = values.iter().map(|&v| ("steep", [v, v])).collect();
            let svg = LrFindPlot { lrs: values, losses: values, suggestions }.figure().svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
