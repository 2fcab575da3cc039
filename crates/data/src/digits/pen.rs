//! From a pen's path to pixels.

/// A point, x to the right and y down.
pub(super) type Point = [f32; 2];

/// Images are squares of this side.
pub(super) const SIDE: usize = 28;

/// Points of a smooth curve through `points` (a uniform Catmull-Rom spline), with a corner where a
/// point is repeated.
pub(super) fn smooth(points: &[Point]) -> Vec<Point> {
    /// Straight pieces between two points: fine enough for 20 pixels.
    const PIECES: usize = 6;
    let mut curve = Vec::with_capacity(points.len() * PIECES);
    for i in 1..points.len() {
        let (b, c) = (points[i - 1], points[i]);
        if b == c {
            continue;
        }
        // Before the first point, and beyond a corner, the curve goes on straight.
        let before = i.checked_sub(2).map(|k| points[k]).filter(|&a| a != b);
        let after = points.get(i + 1).copied().filter(|&d| d != c);
        let extend = |p: Point, q: Point| [2.0 * q[0] - p[0], 2.0 * q[1] - p[1]];
        let a = before.unwrap_or_else(|| extend(c, b));
        let d = after.unwrap_or_else(|| extend(b, c));
        curve.extend((0..PIECES).map(|k| {
            let t = k as f32 / PIECES as f32;
            [0, 1].map(|axis| catmull_rom(a[axis], b[axis], c[axis], d[axis], t))
        }));
    }
    curve.extend(points.last());
    curve
}

/// The curve from `b` (t = 0) to `c` (t = 1) with neighbours `a` and `d` (Catmull and Rom 1974).
fn catmull_rom(a: f32, b: f32, c: f32, d: f32, t: f32) -> f32 {
    let slope = c - a;
    let bend = 2.0 * a - 5.0 * b + 4.0 * c - d;
    let twist = 3.0 * (b - c) + d - a;
    b + 0.5 * t * (slope + t * (bend + t * twist))
}

/// A round pen.
pub(super) struct Pen {
    /// Radius in pixels.
    pub(super) radius: f32,
    /// The width, in pixels, over which its edge fades.
    pub(super) softness: f32,
}

impl Pen {
    /// How much of each pixel the strokes cover, 0 to 1, row by row. Coordinates are in pixels;
    /// the first pixel's centre is at (0.5, 0.5).
    pub(super) fn draw(&self, strokes: &[Vec<Point>]) -> [f32; SIDE * SIDE] {
        let reach = self.radius + self.softness;
        // Squared distance of each pixel's centre to the nearest stroke, as far as it matters.
        let mut distance = [reach * reach; SIDE * SIDE];
        for stroke in strokes {
            for ends in stroke.windows(2) {
                near(&mut distance, ends[0], ends[1], reach);
            }
        }
        distance.map(|d| {
            let inside = (self.radius - d.sqrt()) / self.softness;
            (inside + 0.5).clamp(0.0, 1.0)
        })
    }
}

/// Lowers the squared distances of the pixels within `reach` of the line from `a` to `b`.
fn near(distance: &mut [f32; SIDE * SIDE], a: Point, b: Point, reach: f32) {
    // Casts to integers saturate, so that lines outside the image are cut off.
    let range = |axis: usize| {
        let low = (a[axis].min(b[axis]) - reach) as usize;
        let high = (a[axis].max(b[axis]) + reach).ceil() as usize;
        low..high.min(SIDE)
    };
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length = (dx * dx + dy * dy).max(f32::MIN_POSITIVE);
    for y in range(1) {
        let py = y as f32 + 0.5 - a[1];
        for x in range(0) {
            let px = x as f32 + 0.5 - a[0];
            // The nearest point of the line.
            let t = ((px * dx + py * dy) / length).clamp(0.0, 1.0);
            let (ex, ey) = (px - t * dx, py - t * dy);
            let nearest = &mut distance[y * SIDE + x];
            *nearest = nearest.min(ex * ex + ey * ey);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_runs_through_its_points() {
        let points = [[0.0, 0.0], [3.0, 1.0], [4.0, 5.0], [1.0, 6.0]];
        let curve = smooth(&points);
        for point in points {
            assert!(curve.contains(&point), "{point:?} is not in {curve:?}");
        }
    }

    #[test]
    fn equal_steps_along_a_line_stay_on_it() {
        let curve = smooth(&[[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]);
        for (i, [x, y]) in curve.into_iter().enumerate() {
            assert!((x - i as f32 / 6.0).abs() < 1e-6);
            assert!((y - 2.0 * x).abs() < 1e-6);
        }
    }

    #[test]
    fn a_repeated_point_is_a_corner() {
        // Both legs are straight; without the corner, the curve would swing out of them.
        let corner = smooth(&[[0.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 4.0]]);
        assert!(corner.iter().all(|&[x, y]| y == 0.0 || x == 4.0));
        let bend = smooth(&[[0.0, 0.0], [4.0, 0.0], [4.0, 4.0]]);
        assert!(bend.iter().any(|&[x, y]| y != 0.0 && x != 4.0));
    }

    #[test]
    fn cover_is_the_distance_to_the_nearest_line() {
        let pen = Pen { radius: 1.7, softness: 1.2 };
        // Inside, across the border, and a single point drawn twice.
        let strokes = [
            vec![[5.3, 4.1], [20.2, 9.7], [13.0, 22.5]],
            vec![[-3.0, 25.0], [2.0, 31.0]],
            vec![[24.0, 3.5], [24.0, 3.5]],
        ];
        let drawn = pen.draw(&strokes);
        for (at, cover) in drawn.into_iter().enumerate() {
            let pixel = [(at % SIDE) as f32 + 0.5, (at / SIDE) as f32 + 0.5];
            let lines = strokes.iter().flat_map(|stroke| stroke.windows(2));
            // The nearest of many points along each line.
            let distance = lines
                .flat_map(|ends| {
                    let (a, b) = (ends[0], ends[1]);
                    (0..=1000).map(move |k| {
                        let t = k as f32 / 1000.0;
                        let [x, y] = [0, 1].map(|axis| a[axis] + t * (b[axis] - a[axis]));
                        (x - pixel[0]).hypot(y - pixel[1])
                    })
                })
                .fold(f32::INFINITY, f32::min);
            let expected = ((1.7 - distance) / 1.2 + 0.5).clamp(0.0, 1.0);
            assert!((cover - expected).abs() < 2e-3, "{pixel:?}: {cover}, not {expected}");
        }
        assert!(drawn.contains(&1.0) && drawn.contains(&0.0));
    }
}
