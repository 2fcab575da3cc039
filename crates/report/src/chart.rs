//! What all plots have in common: panels with a title, labelled axes and a light grid, in SVG.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

/// Colours that stay apart for the colour-blind (Okabe and Ito 2008).
pub(crate) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(crate) const ORANGE: RGBColor = RGBColor(213, 94, 0);
pub(crate) const PALE_BLUE: RGBColor = RGBColor(148, 190, 222);

const TEXT: RGBColor = RGBColor(51, 51, 51);
const AXIS: RGBColor = RGBColor(150, 150, 150);
const GRID: RGBColor = RGBColor(229, 229, 229);
const FONT: &str = "sans-serif";

/// Why a plot could not be drawn. The message is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot draw the plot: {0}")]
pub struct PlotError(String);

impl PlotError {
    pub(crate) fn new(error: impl std::fmt::Display) -> Self {
        PlotError(error.to_string().replace('\n', " "))
    }
}

/// A part of the picture that holds one chart.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart with linear axes.
pub(crate) type Chart<'a, 'b> =
    ChartContext<'b, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// What a chart says about itself.
pub(crate) struct Labels<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
}

/// An SVG picture of `size` = `(width, height)` pixels, white, that `draw` draws on.
pub(crate) fn svg(
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, size).into_drawing_area();
        area.fill(&WHITE).map_err(PlotError::new)?;
        draw(&area)?;
        area.present().map_err(PlotError::new)?;
    }
    Ok(picture)
}

/// Axes, grid and labels, for curves over `x` and `y`.
pub(crate) fn chart<'a, 'b>(
    area: &'b Area<'a>,
    labels: &Labels<'_>,
    x: Range<f64>,
    y: Range<f64>,
) -> Result<Chart<'a, 'b>, PlotError> {
    let decimals = decimals(&y);
    let mut chart = ChartBuilder::on(area)
        .caption(labels.title, (FONT, 20).into_font().color(&TEXT))
        .margin(14)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(66)
        .build_cartesian_2d(x, y)
        .map_err(PlotError::new)?;
    chart
        .configure_mesh()
        .x_desc(labels.x)
        .y_desc(labels.y)
        .x_labels(8)
        .y_labels(8)
        .max_light_lines(0)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.decimals$}"))
        .bold_line_style(GRID)
        .axis_style(AXIS)
        .label_style((FONT, 13).into_font().color(&TEXT))
        .axis_desc_style((FONT, 14).into_font().color(&TEXT))
        .draw()
        .map_err(PlotError::new)?;
    Ok(chart)
}

/// The box that says which curve is which.
pub(crate) fn legend<'a: 'b, 'b>(chart: &mut Chart<'a, 'b>) -> Result<(), PlotError> {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .margin(12)
        .background_style(WHITE)
        .border_style(GRID)
        .label_font((FONT, 13).into_font().color(&TEXT))
        .draw()
        .map_err(PlotError::new)
}

/// From the lowest to the highest finite value, with some air, or 0 to 1 where there is none.
pub(crate) fn range_of(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|v| v.is_finite()) {
        low = low.min(value);
        high = high.max(value);
    }
    if low > high {
        return 0.0..1.0;
    }
    // Values that are all alike still need an axis of some length.
    let air = if low < high { 0.05 * (high - low) } else { 0.5 * low.abs().max(1.0) };
    low - air..high + air
}

/// Enough places behind the point to tell the labels of an axis apart.
fn decimals(range: &Range<f64>) -> usize {
    let step = (range.end - range.start) / 8.0;
    (-step.log10()).ceil().clamp(0.0, 12.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_air_and_never_collapse() {
        let range = range_of([1.0, f64::NAN, 3.0, f64::INFINITY].into_iter());
        assert_eq!(range, 0.9..3.1);
        assert_eq!(range_of([].into_iter()), 0.0..1.0);
        assert_eq!(range_of([4.0, 4.0].into_iter()), 2.0..6.0);
        assert_eq!(range_of([0.0].into_iter()), -0.5..0.5);
    }

    #[test]
    fn labels_can_be_told_apart() {
        assert_eq!(decimals(&(0.0..800.0)), 0);
        assert_eq!(decimals(&(0.0..3.2)), 1);
        assert_eq!(decimals(&(0.84..0.96)), 2);
        assert_eq!(decimals(&(0.0..1e-30)), 12);
    }
}
