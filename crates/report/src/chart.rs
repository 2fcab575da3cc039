//! Charts: a title, axes with a light grid, and curves.

use std::ops::Range;

use crate::figure::Panel;
use crate::picture::Picture;
use crate::shape::{Anchor, Shape};

/// Room for the labels around the plot.
const LEFT: f64 = 54.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;

/// More corners than this a curve does not need: each stands for the least or the greatest of its
/// neighbours.
const CORNERS: usize = 800;

/// A chart that is being drawn. Curves have the classes of `plot.css`: `a`, `b`, `pale`.
pub(crate) struct Chart {
    title: String,
    x_label: &'static str,
    size: [f64; 2],
    x: Range<f64>,
    y: Range<f64>,
    body: Vec<Shape>,
    legend: Vec<(&'static str, String)>,
    log_x: bool,
    log_y: bool,
}

impl Chart {
    /// Without curves yet; `size` is `[width, height]`.
    pub(crate) fn new(
        title: impl Into<String>,
        x_label: &'static str,
        size: [f64; 2],
        x: Range<f64>,
        y: Range<f64>,
    ) -> Chart {
        let (title, body, legend) = (title.into(), vec![], vec![]);
        Chart { title, x_label, size, x, y, body, legend, log_x: false, log_y: false }
    }

    /// With an axis of powers of ten: all x are logarithms.
    pub(crate) fn log_x(mut self) -> Chart {
        self.log_x = true;
        self
    }

    /// The same for y.
    pub(crate) fn log_y(mut self) -> Chart {
        self.log_y = true;
        self
    }

    /// A curve through `points`, those that are not finite left out.
    pub(crate) fn curve(&mut self, class: &'static str, points: impl Iterator<Item = (f64, f64)>) {
        let points: Vec<_> = points.filter(|(_, y)| y.is_finite()).collect();
        let points = thin(&points).into_iter().map(|point| self.place(point)).collect();
        self.body.push(Shape::Curve { class, points });
    }

    /// Dots at `points`, those that are not finite left out.
    pub(crate) fn dots(&mut self, class: &'static str, points: impl Iterator<Item = (f64, f64)>) {
        for point in points.filter(|(_, y)| y.is_finite()) {
            let at = self.place(point);
            self.body.push(Shape::Dot { class, at, radius: 3.5 });
        }
    }

    /// A dot with its name beside it.
    pub(crate) fn mark(&mut self, class: &'static str, point: (f64, f64), name: String) {
        if point.0.is_finite() && point.1.is_finite() {
            let [x, y] = self.place(point);
            self.body.push(Shape::Dot { class, at: [x, y], radius: 4.5 });
            self.body.push(Shape::text([x + 8.0, y - 4.0], Anchor::Start, name));
        }
    }

    /// A picture as high as the plot, from its left edge to `x`.
    pub(crate) fn picture(&mut self, picture: Picture, x: f64) {
        let size = [self.x_place(x) - LEFT, self.inner()[1]];
        self.body.push(Shape::Image { picture, at: [LEFT, TOP], size });
    }

    /// What curves of this class are.
    pub(crate) fn name(&mut self, class: &'static str, name: impl Into<String>) {
        self.legend.push((class, name.into()));
    }

    /// The drawing.
    pub(crate) fn panel(self) -> Panel {
        let [width, height] = self.size;
        let (bottom, right) = (height - BOTTOM, width - RIGHT);
        let mut body = vec![];
        for (value, label) in if self.log_y { powers(&self.y) } else { ticks(&self.y, 0.0) } {
            let y = self.y_place(value);
            body.push(Shape::Line { class: "grid", from: [LEFT, y], to: [right, y] });
            body.push(Shape::text([LEFT - 6.0, y + 4.0], Anchor::End, label));
        }
        for (value, label) in if self.log_x { powers(&self.x) } else { ticks(&self.x, 1.0) } {
            let x = self.x_place(value);
            body.push(Shape::Line { class: "grid", from: [x, TOP], to: [x, bottom] });
            body.push(Shape::text([x, bottom + 16.0], Anchor::Middle, label));
        }
        let label = format!("{} over {}", self.title, self.x_label);
        let size = self.size;
        body.extend(self.body);
        body.push(Shape::Line { class: "axis", from: [LEFT, TOP], to: [LEFT, bottom] });
        body.push(Shape::Line { class: "axis", from: [LEFT, bottom], to: [right, bottom] });
        body.push(Shape::title([LEFT, 18.0], &self.title));
        body.push(Shape::text([(LEFT + right) / 2.0, height - 6.0], Anchor::Middle, self.x_label));
        let mut end = right;
        for (class, name) in self.legend.iter().rev() {
            // Room for the larger letters of narrow windows.
            end -= 8.5 * name.chars().count() as f64;
            body.push(Shape::Line { class, from: [end - 22.0, 14.0], to: [end - 6.0, 14.0] });
            body.push(Shape::text([end, 18.0], Anchor::Start, name));
            end -= 34.0;
        }
        Panel { label, size, body }
    }

    fn inner(&self) -> [f64; 2] {
        [self.size[0] - LEFT - RIGHT, self.size[1] - TOP - BOTTOM]
    }

    fn x_place(&self, x: f64) -> f64 {
        LEFT + part(&self.x, x) * self.inner()[0]
    }

    fn y_place(&self, y: f64) -> f64 {
        TOP + (1.0 - part(&self.y, y)) * self.inner()[1]
    }

    fn place(&self, (x, y): (f64, f64)) -> [f64; 2] {
        [self.x_place(x), self.y_place(y)]
    }
}

/// How far along the range a value lies, kept inside.
fn part(range: &Range<f64>, value: f64) -> f64 {
    ((value - range.start) / (range.end - range.start)).clamp(0.0, 1.0)
}

/// The lowest and highest of neighbours, in their order, where there are more points than corners.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= CORNERS {
        return points.to_vec();
    }
    let mut kept = Vec::with_capacity(CORNERS);
    for some in points.chunks(points.len().div_ceil(CORNERS / 2)) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let extremes = (some.iter().min_by(by_height), some.iter().max_by(by_height));
        if let (Some(&low), Some(&high)) = extremes {
            kept.extend(if low.0 <= high.0 { [low, high] } else { [high, low] });
        }
    }
    kept
}

/// From the lowest to the highest finite value, with some air, or 0 to 1 where there is none.
pub(crate) fn range_of(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    // Differences of what lies further out overflow.
    for value in values.filter(|v| v.is_finite()).map(|v| v.clamp(-1e300, 1e300)) {
        low = low.min(value);
        high = high.max(value);
    }
    if low > high {
        return 0.0..1.0;
    }
    // Values that are all alike still need an axis of some length.
    let air = match high - low {
        0.0 if low == 0.0 => 0.5,
        0.0 => 0.5 * low.abs(),
        length => 0.05 * length,
    };
    low - air..high + air
}

/// About five round numbers in the range, at least `apart` from each other, with their labels.
fn ticks(range: &Range<f64>, apart: f64) -> Vec<(f64, String)> {
    let rough = ((range.end - range.start) / 6.0).max(apart);
    let power = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|&step| step >= rough);
    let Some(step) = step.filter(|&step| step > 0.0 && step.is_finite()) else {
        return vec![];
    };
    let first = (range.start / step).ceil();
    let values = (0..12).map(|i| (first + f64::from(i)) * step);
    let values: Vec<_> = values.filter(|&v| v <= range.end).collect();
    let largest = range.start.abs().max(range.end.abs());
    let decimals = (-step.log10()).ceil().clamp(0.0, 12.0) as usize;
    let label = |v: f64| match v {
        0.0 => "0".to_string(),
        v if largest >= 1e6 || step < 1e-5 => format!("{v:.0e}"),
        v => format!("{v:.decimals$}"),
    };
    values.into_iter().map(|v| (v, label(v))).collect()
}

/// Powers of ten in a range of logarithms, with twice and five times them where they are few.
fn powers(range: &Range<f64>) -> Vec<(f64, String)> {
    let (first, last) = (range.start.floor().max(-400.0), range.end.ceil().min(400.0));
    let between: &[f64] = if range.end - range.start < 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let apart = ((range.end - range.start) / 8.0).ceil().max(1.0) as usize;
    let exponents = (first as i32..=last as i32).step_by(apart);
    let all = exponents.flat_map(|power| between.iter().map(move |&times| (times, power)));
    let places = all.map(|(times, power)| (times.log10() + f64::from(power), times, power));
    let inside = places.filter(|(place, ..)| (range.start..=range.end).contains(place));
    let label = |times: f64, power: i32| {
        let text = format!("{times}e{power}");
        let plain = text.parse::<f64>().ok().filter(|_| (-3..=3).contains(&power));
        plain.map_or(text, |value| value.to_string())
    };
    inside.map(|(place, times, power)| (place, label(times, power))).collect()
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
        assert_eq!(range_of([0.06; 2].into_iter()), 0.03..0.09);
        assert!(range_of([f64::MAX, f64::MIN].into_iter()).end.is_finite());
    }

    #[test]
    fn ticks_are_round_and_can_be_told_apart() {
        let labels = |range| {
            let labels: Vec<_> = ticks(&range, 0.0).into_iter().map(|(_, label)| label).collect();
            labels.join(" ")
        };
        assert_eq!(labels(0.0..3.2), "0 1 2 3");
        assert_eq!(labels(0.0..585.0), "0 100 200 300 400 500");
        assert_eq!(labels(0.845..0.955), "0.86 0.88 0.90 0.92 0.94");
        assert_eq!(labels(-1.0..1e30), "0 2e29 4e29 6e29 8e29 1e30");
        assert_eq!(ticks(&(0.0..0.0), 0.0).len(), 0);
        // Batches and epochs are whole.
        let whole = ticks(&(0.0..2.0), 1.0);
        assert_eq!(whole.iter().map(|(_, label)| label.as_str()).collect::<String>(), "012");
    }

    #[test]
    fn powers_of_ten_lie_at_their_logarithms() {
        let ticks = powers(&(-2.5..1.2));
        let labels: Vec<_> = ticks.iter().map(|(place, label)| (*place, label.as_str())).collect();
        assert_eq!(labels, [(-2.0, "0.01"), (-1.0, "0.1"), (0.0, "1"), (1.0, "10")]);
        let labels = |range| powers(&range).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(-1.4..0.4), ["0.05", "0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(labels(3.9..5.1), ["1e4", "2e4", "5e4", "1e5"]);
        // Not more than can be read.
        assert_eq!(labels(0.0..39.0).len(), 8);
    }

    #[test]
    fn long_curves_keep_their_peaks() {
        let mut points: Vec<_> = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        points[4321].1 = 9.0;
        points[4322].1 = -9.0;
        let kept = thin(&points);
        assert!(kept.len() <= CORNERS, "{}", kept.len());
        assert!(kept.contains(&(4321.0, 9.0)) && kept.contains(&(4322.0, -9.0)));
        assert!(kept.is_sorted_by_key(|point| point.0));
        assert_eq!(thin(&points[..5]), points[..5]);
    }
}
