//! Pictures in rows, each with its caption: fastai's `show_batch`, or the kernels of a layer.

use crate::figure::{Figure, Panel};
use crate::page::Captioned;
use crate::shape::{Anchor, Shape};

/// Pictures in rows.
///
/// ```
/// use topedge_report::{Captioned, Gallery, Picture};
///
/// let picture = Picture::image(&[0, 255], [1, 1, 2])?;
/// let seven = Captioned { picture, caption: "7".to_string() };
/// let gallery = Gallery { pictures: vec![seven; 9], columns: 3 };
/// assert!(gallery.figure().png().starts_with(b"\x89PNG"));
/// # Ok::<(), topedge_report::PlotError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gallery {
    /// The pictures, row by row.
    pub pictures: Vec<Captioned>,
    /// How many stand side by side; 0 for as many as there are, up to 8.
    pub columns: usize,
}

/// The longer side of a picture, and the air between two.
const SIDE: f64 = 84.0;
const GAP: f64 = 12.0;

/// The height of a line of a caption, and how many letters it has room for.
const LINE: f64 = 15.0;
const LETTERS: usize = 13;

impl Gallery {
    /// All of them, each above its caption, whose lines are kept.
    pub fn figure(&self) -> Figure {
        let columns = if self.columns == 0 { 8 } else { self.columns };
        let columns = columns.min(self.pictures.len()).max(1);
        let lines = self.pictures.iter().map(|p| p.caption.lines().count()).max().unwrap_or(0);
        let row = SIDE + LINE * lines as f64 + GAP;
        let mut body = vec![];
        for (i, Captioned { picture, caption }) in self.pictures.iter().enumerate() {
            let left = GAP + (i % columns) as f64 * (SIDE + GAP);
            let top = GAP + (i / columns) as f64 * row;
            let [height, width] = picture.size().map(|side| side as f64);
            let scale = SIDE / width.max(height);
            let size = [scale * width, scale * height];
            body.push(Shape::Image { picture: picture.clone(), at: [left, top], size });
            body.push(Shape::Frame { class: "grid", at: [left, top], size });
            for (line, text) in caption.lines().enumerate() {
                let at = [left, top + SIDE + LINE * (line + 1) as f64 - 2.0];
                let text: String = text.chars().take(LETTERS).collect();
                body.push(Shape::text(at, Anchor::Start, text));
            }
        }
        let rows = self.pictures.len().div_ceil(columns);
        let size = [GAP + columns as f64 * (SIDE + GAP), GAP + rows as f64 * row];
        Figure::new(vec![Panel { label: "pictures".to_string(), size, body }])
    }

    /// Shows the pictures in an evcxr notebook.
    pub fn evcxr_display(&self) {
        self.figure().evcxr_display();
    }
}
