//! Figures: panels side by side, as SVG and as PNG.

use crate::html::escape;
use crate::paint::Canvas;
use crate::shape::Shape;

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
    /// What is drawn, the lowest first.
    pub(crate) body: Vec<Shape>,
}

/// The colours, for light and dark surroundings.
pub(crate) const STYLE: &str = include_str!("plot.css");

impl Panel {
    /// Elements of SVG.
    fn svg(&self) -> String {
        self.body.iter().map(Shape::svg).collect()
    }
}

impl Figure {
    pub(crate) fn new(panels: Vec<Panel>) -> Figure {
        Figure { panels }
    }

    /// An SVG document.
    pub fn svg(&self) -> String {
        let [width, height] = self.size();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" width=\"{width}\" \
             height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n<style>{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n"
        );
        let mut x = 0.0;
        for panel in &self.panels {
            svg += &format!("<g transform=\"translate({x} 0)\">{}</g>\n", panel.svg());
            x += panel.size[0];
        }
        svg + "</svg>\n"
    }

    /// The bytes of a PNG file, of two pixels for each unit of the drawing.
    pub fn png(&self) -> Vec<u8> {
        let [width, height] = self.size();
        let mut canvas = Canvas::new(width, height);
        let mut offset = 0.0;
        for panel in &self.panels {
            panel.body.iter().for_each(|shape| canvas.paint(shape, offset));
            offset += panel.size[0];
        }
        canvas.into_picture().png()
    }

    /// Width and height.
    fn size(&self) -> [f64; 2] {
        let width = self.panels.iter().map(|panel| panel.size[0]).sum();
        let height = self.panels.iter().map(|panel| panel.size[1]).fold(0.0, f64::max);
        [width, height]
    }

    /// The panels as elements of a page, which has the style and lays them out.
    pub(crate) fn html(&self) -> String {
        let mut html = String::new();
        for panel in &self.panels {
            let ([width, height], label) = (panel.size, escape(&panel.label));
            let body = panel.svg();
            html += &format!(
                "<svg class=\"plot\" role=\"img\" aria-label=\"{label}\" \
                 width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">{body}</svg>\n"
            );
        }
        html
    }

    /// Shows the figure in an evcxr notebook.
    pub fn evcxr_display(&self) {
        println!("{}", self.evcxr());
    }

    /// What evcxr takes for something to show.
    fn evcxr(&self) -> String {
        format!("EVCXR_BEGIN_CONTENT text/html\n{}\nEVCXR_END_CONTENT", self.svg())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Captioned, Comparison, Confusion, Gallery, LayerStatsPlot, LossPlot, LrFindPlot, Picture,
        Run, SchedulePlot, color_dim,
    };

    /// One of each.
    fn figures() -> Vec<(&'static str, Figure)> {
        let values: Vec<f64> = (0..50).map(|i| 1.0 + f64::from(i).sin()).collect();
        let losses: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        let histograms: Vec<[u32; 40]> = (0..50).map(|i| [i; 40]).collect();
        let stats = LayerStatsPlot {
            layer: "0.0 Conv2d".to_string(),
            mean: &values,
            std: &values,
            near_zero: &[0.5; 50],
            histograms: histograms.clone(),
        };
        let kernel = Picture::signed(&[-1.0, 0.0, 1.0, 0.5], [2, 2], 1.0).unwrap();
        let captioned = Captioned { picture: kernel.clone(), caption: "filter 0\nµ".to_string() };
        let run = |momentum| Run {
            losses: &losses,
            smoothed: &values,
            lr: &values,
            momentum,
            layers: vec![stats.clone()],
            ..Default::default()
        };
        let comparison = Comparison { a: run(&values[..]), b: run(&[]) };
        let confusion = Confusion::new(&["a", "b"].map(String::from), [(0, 1), (1, 1)]).unwrap();
        let lrs = [1e-3, 1e-2, 1e-1];
        let suggestions = vec![("valley", [1e-2, 1.0])];
        let lr_find = LrFindPlot { lrs: &lrs, losses: &[2.0, 1.0, 1.5], suggestions };
        vec![
            ("loss", LossPlot { train: &losses, smoothed: &values, valid: &[1.0, 0.9] }.figure()),
            ("schedule", SchedulePlot { lr: &values, momentum: &values }.figure()),
            ("layer_stats", stats.figure()),
            ("color_dim", color_dim(&histograms).unwrap().figure()),
            ("kernel", kernel.figure()),
            ("gallery", Gallery { pictures: vec![captioned; 10], columns: 0 }.figure()),
            ("confusion", confusion.figure().unwrap()),
            ("lr_find", lr_find.figure()),
            ("compared losses", comparison.loss_figure()),
            ("compared epochs", comparison.epochs_figure()),
            ("compared schedules", comparison.schedule_figure()),
            ("compared layers", comparison.layer_figures().remove(0).1),
            ("compared histograms", comparison.histogram_figures().remove(0).1),
        ]
    }

    #[test]
    fn each_figure_is_svg_and_png_and_shows_itself() {
        for (name, figure) in figures() {
            let svg = figure.svg();
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{name}");
            let shown = figure.evcxr();
            assert!(shown.starts_with("EVCXR_BEGIN_CONTENT text/html\n<svg"), "{name}");
            assert!(shown.ends_with("\nEVCXR_END_CONTENT"), "{name}");

            let png = figure.png();
            let mut reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let frame = reader.next_frame(&mut pixels).unwrap();
            let [width, height] = figure.size().map(|side| (2.0 * side).ceil() as u32);
            assert_eq!((frame.width, frame.height), (width, height), "{name}");
            // Something is drawn, in more than one colour, and not everywhere.
            let (pixels, _) = pixels.as_chunks::<3>();
            let colors: std::collections::HashSet<_> = pixels.iter().collect();
            assert!(colors.len() >= 3, "{name}: {} colours", colors.len());
        }
    }

    /// A curve, a dot and a picture lie in the PNG where they do in the SVG.
    #[test]
    fn the_png_shows_what_the_svg_says() {
        let picture = Picture::image(&[0, 255, 0, 0, 0, 255], [3, 1, 2]).unwrap();
        let shapes = vec![
            Shape::Curve { class: "a", points: vec![[0.0, 10.0], [40.0, 10.0]] },
            Shape::Dot { class: "b", at: [20.0, 30.0], radius: 4.0 },
            Shape::Image { picture, at: [0.0, 40.0], size: [20.0, 10.0] },
        ];
        let panel =
            |label: &str, body| Panel { label: label.to_string(), size: [40.0, 60.0], body };
        // The second panel lies to the right of the first.
        let figure = Figure::new(vec![panel("empty", vec![]), panel("drawn", shapes)]);
        let png = figure.png();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let at = |x: usize, y: usize| -> [u8; 3] {
            let place = 3 * (2 * y * 160 + 2 * x);
            [pixels[place], pixels[place + 1], pixels[place + 2]]
        };
        assert_eq!(at(20, 10), [255; 3], "paper");
        assert_eq!(at(60, 10), [0x00, 0x72, 0xb2], "curve");
        assert_eq!(at(60, 30), [0xd5, 0x5e, 0x00], "dot");
        assert_eq!((at(45, 45), at(55, 45)), ([0, 0, 0], [255, 0, 255]), "picture");
    }
}
