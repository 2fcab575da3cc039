//! What figures are drawn of. [`svg`](Shape::svg) writes it, and `paint.rs` paints it.

use crate::html::escape;
use crate::picture::Picture;

/// Something drawn. Classes are those of `plot.css`, places `[x, y]` from the top left corner.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// A straight line.
    Line { class: &'static str, from: [f64; 2], to: [f64; 2] },
    /// Straight lines from point to point.
    Curve { class: &'static str, points: Vec<[f64; 2]> },
    /// A filled circle.
    Dot { class: &'static str, at: [f64; 2], radius: f64 },
    /// A filled rectangle.
    Rectangle { class: &'static str, opacity: f64, at: [f64; 2], size: [f64; 2] },
    /// The outline of one.
    Frame { class: &'static str, at: [f64; 2], size: [f64; 2] },
    /// A line of text, `at` on its base line.
    Text { class: &'static str, at: [f64; 2], anchor: Anchor, text: String },
    /// A picture, stretched.
    Image { picture: Picture, at: [f64; 2], size: [f64; 2] },
}

/// Where a text has the place that it is put at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Shape {
    /// A text in the usual size.
    pub(crate) fn text(at: [f64; 2], anchor: Anchor, text: impl Into<String>) -> Shape {
        Shape::Text { class: "", at, anchor, text: text.into() }
    }

    /// A text that stands above something.
    pub(crate) fn title(at: [f64; 2], text: impl Into<String>) -> Shape {
        Shape::Text { class: "title", at, anchor: Anchor::Start, text: text.into() }
    }

    /// As an element of SVG.
    pub(crate) fn svg(&self) -> String {
        match self {
            Shape::Line { class, from: [x, y], to: [x2, y2] } => {
                format!("<path class=\"{class}\" d=\"M{x:.1} {y:.1}L{x2:.1} {y2:.1}\"/>\n")
            }
            Shape::Curve { class, points } => {
                let corners: Vec<_> =
                    points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
                format!("<polyline class=\"{class}\" points=\"{}\"/>\n", corners.join(" "))
            }
            Shape::Dot { class, at: [x, y], radius } => {
                format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>\n")
            }
            Shape::Rectangle { class, opacity, at: [x, y], size: [width, height] } => format!(
                "<rect class=\"{class}\" fill-opacity=\"{opacity:.3}\" x=\"{x}\" y=\"{y}\" \
                 width=\"{width}\" height=\"{height}\"/>\n"
            ),
            Shape::Frame { class, at: [x, y], size: [width, height] } => format!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" \
                 height=\"{height}\"/>\n"
            ),
            Shape::Text { class, at: [x, y], anchor, text } => {
                let class = match class.is_empty() {
                    true => String::new(),
                    false => format!(" class=\"{class}\""),
                };
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => " text-anchor=\"middle\"",
                    Anchor::End => " text-anchor=\"end\"",
                };
                let text = escape(text);
                format!("<text{class} x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{text}</text>\n")
            }
            Shape::Image { picture, at: [x, y], size: [width, height] } => format!(
                "<image class=\"pixels\" x=\"{x}\" y=\"{y}\" width=\"{width}\" \
                 height=\"{height}\" preserveAspectRatio=\"none\" href=\"{}\"/>\n",
                picture.data_url()
            ),
        }
    }
}
