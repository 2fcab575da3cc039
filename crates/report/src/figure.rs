//! Figures: panels of SVG, side by side.

/// What a plot is drawn as: one panel or several, each with axes of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    panels: Vec<Panel>,
}

/// A part of a figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    /// What it shows, for those who cannot see it.
    pub(crate) label: String,
    /// Width and height.
    pub(crate) size: [f64; 2],
    /// SVG elements.
    pub(crate) body: String,
}

/// The colours, for light and dark surroundings.
pub(crate) const STYLE: &str = include_str!("plot.css");

impl Figure {
    pub(crate) fn new(panels: Vec<Panel>) -> Figure {
        Figure { panels }
    }

    /// An SVG document.
    pub fn svg(&self) -> String {
        let width: f64 = self.panels.iter().map(|panel| panel.size[0]).sum();
        let height = self.panels.iter().map(|panel| panel.size[1]).fold(0.0, f64::max);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" width=\"{width}\" \
             height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n<style>{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n"
        );
        let mut x = 0.0;
        for panel in &self.panels {
            svg += &format!("<g transform=\"translate({x} 0)\">{}</g>\n", panel.body);
            x += panel.size[0];
        }
        svg + "</svg>\n"
    }

    /// The panels as elements of a page, which has the style and lays them out.
    pub(crate) fn html(&self) -> String {
        let mut html = String::new();
        for Panel { label, size: [width, height], body } in &self.panels {
            let label = crate::html::escape(label);
            html += &format!(
                "<svg class=\"plot\" role=\"img\" aria-label=\"{label}\" \
                 viewBox=\"0 0 {width} {height}\">{body}</svg>\n"
            );
        }
        html
    }

    /// Shows the figure in an evcxr notebook.
    pub fn evcxr_display(&self) {
        println!("EVCXR_BEGIN_CONTENT text/html\n{}\nEVCXR_END_CONTENT", self.svg());
    }
}
