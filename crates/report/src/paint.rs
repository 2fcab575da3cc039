//! Figures as pixels, in the colours for light surroundings.

use tiny_skia::{
    Color, FillRule, FilterQuality, IntSize, LineJoin, Paint, Path, PathBuilder, Pixmap,
    PixmapPaint, Rect, Stroke, Transform,
};
use ttf_parser::{Face, OutlineBuilder};

use crate::picture::Picture;
use crate::shape::{Anchor, Shape};

/// Pixels along a unit of the drawing: screens are finer than that.
pub(crate) const SCALE: f64 = 2.0;

/// What texts are written in; `font/LICENSE` says where it is from.
const FONT: &[u8] = include_bytes!("font/DejaVuSans.ttf");

/// The colour of a class, and the width of its lines: as `plot.css` has them.
fn style(class: &str) -> ([u8; 3], f32) {
    match class {
        "a" => ([0x00, 0x72, 0xb2], 2.0),
        "b" => ([0xd5, 0x5e, 0x00], 2.0),
        "pale" => ([0x94, 0xbe, 0xde], 1.0),
        "pale-b" => ([0xee, 0xbb, 0x94], 1.0),
        "grid" => ([0xe5; 3], 1.0),
        "axis" => ([0x99; 3], 1.0),
        "right" => ([0x00, 0x72, 0xb2], 0.0),
        "wrong" => ([0xd5, 0x5e, 0x00], 0.0),
        "inverse" => ([0xff; 3], 0.0),
        // Texts.
        _ => ([0x33; 3], 0.0),
    }
}

/// A sheet of paper that is painted on.
pub(crate) struct Canvas {
    pixmap: Pixmap,
    face: Face<'static>,
}

impl Canvas {
    /// White, with sides of at least a pixel.
    pub(crate) fn new(width: f64, height: f64) -> Canvas {
        let [width, height] = [width, height].map(|side| (SCALE * side).ceil().max(1.0) as u32);
        let mut pixmap = Pixmap::new(width, height).expect("a figure fits into memory");
        pixmap.fill(Color::WHITE);
        let face = Face::parse(FONT, 0).expect("the font is whole");
        Canvas { pixmap, face }
    }

    /// Paints a shape, moved by `offset` to the right.
    pub(crate) fn paint(&mut self, shape: &Shape, offset: f64) {
        let scale = SCALE as f32;
        let to_pixels = Transform::from_translate(offset as f32, 0.0).post_scale(scale, scale);
        match shape {
            Shape::Line { class, from, to } => self.curve(class, &[*from, *to], to_pixels),
            Shape::Curve { class, points } => self.curve(class, points, to_pixels),
            Shape::Dot { class, at: [x, y], radius } => {
                let circle = PathBuilder::from_circle(*x as f32, *y as f32, *radius as f32);
                self.fill(circle, style(class).0, 1.0, to_pixels);
            }
            Shape::Rectangle { class, opacity, at, size } => {
                let path = rectangle(*at, *size).map(PathBuilder::from_rect);
                self.fill(path, style(class).0, *opacity as f32, to_pixels);
            }
            Shape::Frame { class, at, size } => {
                let path = rectangle(*at, *size).map(PathBuilder::from_rect);
                self.stroke(path, class, to_pixels);
            }
            Shape::Text { class, at, anchor, text } => {
                self.text(class, *at, *anchor, text, to_pixels);
            }
            Shape::Image { picture, at, size } => self.image(picture, *at, *size, to_pixels),
        }
    }

    /// All of it.
    pub(crate) fn into_picture(self) -> Picture {
        let [width, height] = [self.pixmap.width(), self.pixmap.height()].map(|n| n as usize);
        // The paper is opaque, and so is what is painted on it.
        let (pixels, _) = self.pixmap.data().as_chunks::<4>();
        let pixels = pixels.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
        Picture::rgb(pixels, [height, width])
    }

    fn curve(&mut self, class: &str, points: &[[f64; 2]], to_pixels: Transform) {
        let mut path = PathBuilder::new();
        for (i, [x, y]) in points.iter().enumerate() {
            match i {
                0 => path.move_to(*x as f32, *y as f32),
                _ => path.line_to(*x as f32, *y as f32),
            }
        }
        self.stroke(path.finish(), class, to_pixels);
    }

    fn stroke(&mut self, path: Option<Path>, class: &str, to_pixels: Transform) {
        let (color, width) = style(class);
        let stroke = Stroke { width, line_join: LineJoin::Round, ..Default::default() };
        if let Some(path) = path {
            self.pixmap.stroke_path(&path, &paint_of(color, 1.0), &stroke, to_pixels, None);
        }
    }

    fn fill(&mut self, path: Option<Path>, color: [u8; 3], opacity: f32, to_pixels: Transform) {
        if let Some(path) = path {
            let paint = paint_of(color, opacity);
            self.pixmap.fill_path(&path, &paint, FillRule::Winding, to_pixels, None);
        }
    }

    fn text(
        &mut self,
        class: &str,
        [x, y]: [f64; 2],
        anchor: Anchor,
        text: &str,
        to_pixels: Transform,
    ) {
        let bold = class == "title";
        let size = if bold { 14.0 } else { 12.0 };
        let scale = size / f32::from(self.face.units_per_em());
        // What the font does not have is its empty box.
        let glyphs: Vec<_> =
            text.chars().map(|c| self.face.glyph_index(c).unwrap_or_default()).collect();
        let advance = |glyph| f32::from(self.face.glyph_hor_advance(glyph).unwrap_or(0));
        let width: f32 = glyphs.iter().map(|&glyph| advance(glyph)).sum();
        let mut outline = Outline { path: PathBuilder::new(), right: 0.0 };
        for &glyph in &glyphs {
            self.face.outline_glyph(glyph, &mut outline);
            outline.right += advance(glyph);
        }
        let left = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -0.5 * width * scale,
            Anchor::End => -width * scale,
        };
        let Some(path) = outline.path.finish() else {
            return;
        };
        // The y axis of fonts points up.
        let place = Transform::from_scale(scale, -scale).post_translate(left + x as f32, y as f32);
        let to_pixels = place.post_concat(to_pixels);
        let color = style(class).0;
        if bold {
            let stroke = Stroke { width: 0.05 * size / scale, ..Default::default() };
            self.pixmap.stroke_path(&path, &paint_of(color, 1.0), &stroke, to_pixels, None);
        }
        self.fill(Some(path), color, 1.0, to_pixels);
    }

    fn image(
        &mut self,
        picture: &Picture,
        [x, y]: [f64; 2],
        [width, height]: [f64; 2],
        to_pixels: Transform,
    ) {
        let [rows, columns] = picture.size();
        let rgba = picture.rgba();
        let pixmap = IntSize::from_wh(columns as u32, rows as u32)
            .and_then(|size| Pixmap::from_vec(rgba, size));
        let Some(pixmap) = pixmap else {
            return;
        };
        let place =
            Transform::from_scale(width as f32 / columns as f32, height as f32 / rows as f32)
                .post_translate(x as f32, y as f32)
                .post_concat(to_pixels);
        let paint = PixmapPaint { quality: FilterQuality::Nearest, ..Default::default() };
        self.pixmap.draw_pixmap(0, 0, pixmap.as_ref(), &paint, place, None);
    }
}

fn rectangle([x, y]: [f64; 2], [width, height]: [f64; 2]) -> Option<Rect> {
    Rect::from_xywh(x as f32, y as f32, width as f32, height as f32)
}

fn paint_of([r, g, b]: [u8; 3], opacity: f32) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Default::default() };
    paint.set_color_rgba8(r, g, b, (255.0 * opacity.clamp(0.0, 1.0)).round() as u8);
    paint
}

/// Glyphs one after another, in the units of the font.
struct Outline {
    path: PathBuilder,
    right: f32,
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.right + x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.right + x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.quad_to(self.right + x1, y1, self.right + x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let right = self.right;
        self.path.cubic_to(right + x1, y1, right + x2, y2, right + x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::STYLE;

    #[test]
    fn the_colours_are_those_of_the_style_sheet() {
        for class in ["a", "b", "pale", "pale-b", "grid", "axis", "right", "wrong", "inverse"] {
            let rule = format!(".plot .{class} {{ ");
            let (_, rule) = STYLE.split_once(&rule).unwrap_or_else(|| panic!("{class}"));
            let rule = rule.split('}').next().unwrap();
            let ([r, g, b], width) = style(class);
            let long = format!("#{r:02x}{g:02x}{b:02x}");
            let short = format!("#{:x}{:x}{:x};", r % 16, g % 16, b % 16);
            assert!(rule.contains(&long) || rule.contains(&short), "{class}: {rule}");
            if rule.contains("stroke-width") {
                assert!(rule.contains(&format!("stroke-width: {width};")), "{class}: {rule}");
            }
        }
    }
}
