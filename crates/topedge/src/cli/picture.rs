//! Pictures of images and of numbers, and files of them.

use std::path::{Path, PathBuf};

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};
use topedge::data::write_whole;

use super::failure::Failure;

/// Rows of RGB pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<[u8; 3]>,
}

impl Picture {
    /// An image `[channels, height, width]` of one or three channels.
    pub(crate) fn of_image(values: &[u8], [channels, height, width]: [usize; 3]) -> Self {
        let plane = height * width;
        let pixel = |i: usize| [0, 1, 2].map(|c| values[c.min(channels - 1) * plane + i]);
        Picture { width, height, pixels: (0..plane).map(pixel).collect() }
    }

    /// A feature map: what is above zero grey to white, what is below blue, zero black.
    pub(crate) fn of_map(values: &[f32], [height, width]: [usize; 2]) -> Self {
        let most = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let pixel = |&value: &f32| {
            let part = if most > 0.0 { value.abs() / most } else { 0.0 };
            let shade = |full: f32| (full * part).round() as u8;
            if value < 0.0 { [0, shade(96.0), shade(255.0)] } else { [shade(255.0); 3] }
        };
        Picture { width, height, pixels: values.iter().map(pixel).collect() }
    }

    pub(crate) fn black(width: usize, height: usize) -> Self {
        Picture { width, height, pixels: vec![[0; 3]; width * height] }
    }

    /// Lays `other` onto this picture, with its corner at `(left, top)`. What does not fit is cut off.
    pub(crate) fn paste(&mut self, other: &Picture, left: usize, top: usize) {
        for y in 0..other.height.min(self.height.saturating_sub(top)) {
            for x in 0..other.width.min(self.width.saturating_sub(left)) {
                self.pixels[(top + y) * self.width + left + x] = other.pixels[y * other.width + x];
            }
        }
    }

    /// Each pixel as a square of `times` by `times`.
    pub(crate) fn enlarged(&self, times: usize) -> Self {
        let (width, height) = (self.width * times, self.height * times);
        let pixel = |i: usize| self.pixels[i / width / times * self.width + i % width / times];
        Picture { width, height, pixels: (0..width * height).map(pixel).collect() }
    }

    /// At most `max_width` pixels wide, by averages.
    pub(crate) fn shrunk(&self, max_width: usize) -> Self {
        if self.width <= max_width {
            return self.clone();
        }
        let (width, height) = (max_width, (self.height * max_width / self.width).max(1));
        let span = |i: usize, of: usize, size: usize| {
            let start = i * size / of;
            start..((i + 1) * size / of).max(start + 1)
        };
        let pixel = |i: usize| {
            let mut sum = [0usize; 3];
            let (rows, columns) =
                (span(i / width, height, self.height), span(i % width, width, self.width));
            let count = rows.len() * columns.len();
            for y in rows {
                for x in columns.clone() {
                    let pixel = self.pixels[y * self.width + x];
                    sum = [0, 1, 2].map(|c| sum[c] + usize::from(pixel[c]));
                }
            }
            sum.map(|sum| (sum / count) as u8)
        };
        Picture { width, height, pixels: (0..width * height).map(pixel).collect() }
    }

    fn png(&self) -> Result<Vec<u8>, ImageError> {
        let mut bytes = vec![];
        let encoder = PngEncoder::new(&mut bytes);
        // Sides come from images that were decoded: they fit.
        let (width, height) = (self.width as u32, self.height as u32);
        encoder.write_image(self.pixels.as_flattened(), width, height, ExtendedColorType::Rgb8)?;
        Ok(bytes)
    }

    fn svg(&self) -> String {
        let Picture { width, height, .. } = self;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             shape-rendering=\"crispEdges\">\n<rect width=\"{width}\" height=\"{height}\"/>\n"
        );
        for (y, row) in self.pixels.chunks(self.width.max(1)).enumerate() {
            // Neighbours of one colour are one rectangle.
            let mut x = 0;
            for run in row.chunk_by(|a, b| a == b) {
                let [r, g, b] = run[0];
                if run[0] != [0; 3] {
                    svg += &format!(
                        "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"1\" \
                         fill=\"#{r:02x}{g:02x}{b:02x}\"/>\n",
                        run.len()
                    );
                }
                x += run.len();
            }
        }
        svg + "</svg>\n"
    }

    /// Writes the picture into a file that [`picture_file`] has accepted.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let bytes = match is(path, "svg") {
            true => self.svg().into_bytes(),
            false => self
                .png()
                .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?,
        };
        write_whole(path, &bytes).map_err(Failure::io("write", path))
    }
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// The value of `--out`: a file whose name ends in .png or .svg.
pub(crate) fn picture_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if is(&path, "png") || is(&path, "svg") {
        return Ok(path);
    }
    Err("expected a file name that ends in .png or .svg".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_and_maps_have_their_colours() {
        let image = Picture::of_image(&[1, 2, 3, 4, 5, 6], [3, 1, 2]);
        assert_eq!(image.pixels, [[1, 3, 5], [2, 4, 6]]);
        assert_eq!(Picture::of_image(&[7, 8], [1, 2, 1]).pixels, [[7; 3], [8; 3]]);
        let map = Picture::of_map(&[-2.0, 0.0, 1.0, 2.0], [2, 2]);
        assert_eq!(map.pixels, [[0, 96, 255], [0; 3], [128; 3], [255; 3]]);
        assert_eq!(Picture::of_map(&[0.0], [1, 1]).pixels, [[0; 3]]);
    }

    #[test]
    fn sizes() {
        let image = Picture::of_image(&[0, 100, 200, 50], [1, 1, 4]);
        assert_eq!(image.shrunk(2).pixels, [[50; 3], [125; 3]]);
        assert_eq!(image.enlarged(2).shrunk(4).pixels, image.pixels);
        let mut canvas = Picture::black(3, 2);
        canvas.paste(&image, 1, 1);
        assert_eq!(canvas.pixels[3..], [[0; 3], [0; 3], [100; 3]]);
    }

    #[test]
    fn files() {
        let image = Picture::of_image(&[0, 9, 9], [1, 1, 3]);
        let svg = image.svg();
        assert!(svg.contains("x=\"1\" y=\"0\" width=\"2\" height=\"1\" fill=\"#090909\""), "{svg}");
        let png = image::load_from_memory(&image.png().unwrap()).unwrap().to_rgb8();
        assert_eq!(png.into_raw(), image.pixels.as_flattened());
        assert!(picture_file("a.PNG").is_ok() && picture_file("a.jpg").is_err());
    }
}
