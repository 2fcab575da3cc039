//! Pictures made of pixels: images, kernels, histograms over time.

use crate::base64;
use crate::error::PlotError;
use crate::figure::{Figure, Panel};
use crate::shape::Shape;

/// A picture in grey or RGB, at least one pixel large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    /// Grey, or red, green and blue of each pixel in turn.
    pixels: Vec<u8>,
    channels: usize,
}

/// The least and the greatest value of [`Picture::signed`], as far apart as the colour-blind need it
/// (Okabe and Ito 2008).
const NEGATIVE: [u8; 3] = [0, 114, 178];
const POSITIVE: [u8; 3] = [213, 94, 0];

/// Viridis (van der Walt and Smith 2015), at equal distances.
const VIRIDIS: [[u8; 3]; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];

impl Picture {
    /// An image of pixels `[channels, height, width]`, contiguous; 1 channel (grey) or 3 (RGB).
    ///
    /// ```
    /// let picture = topedge_report::Picture::image(&[0, 128, 255], [1, 1, 3])?;
    /// assert!(picture.png().starts_with(b"\x89PNG"));
    /// # Ok::<(), topedge_report::PlotError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the pixels are not those of such an image, or there are none.
    pub fn image(pixels: &[u8], shape: [usize; 3]) -> Result<Picture, PlotError> {
        let [channels, height, width] = shape;
        if !matches!(channels, 1 | 3) {
            let expected = "1 channel (grey) or 3 (RGB)";
            return Err(PlotError::new("an image", expected, format!("{shape:?}")));
        }
        let plane = check_size("an image", pixels.len() / channels, [height, width])?;
        if pixels.len() != channels * plane {
            let expected = format!("pixels of shape {shape:?}");
            return Err(PlotError::new("an image", expected, pixels.len()));
        }
        let pixels = (0..pixels.len()).map(|i| pixels[i % channels * plane + i / channels]);
        Ok(Picture { width, height, pixels: pixels.collect(), channels })
    }

    /// Numbers of both signs, `[height, width]`: white is 0, orange `largest` and beyond, blue what lies
    /// as far below 0.
    ///
    /// # Errors
    ///
    /// When there are not as many values, or none.
    pub fn signed(values: &[f32], size: [usize; 2], largest: f32) -> Result<Picture, PlotError> {
        check_size("a kernel", values.len(), size)?;
        let color = |value: f32| {
            let part = if largest > 0.0 { (value / largest).clamp(-1.0, 1.0) } else { 0.0 };
            mix([255; 3], if part < 0.0 { NEGATIVE } else { POSITIVE }, part.abs())
        };
        let pixels = values.iter().flat_map(|&value| color(value)).collect();
        Ok(Picture { width: size[1], height: size[0], pixels, channels: 3 })
    }

    /// Numbers of which `largest` is yellow and 0 dark blue, `[height, width]`.
    ///
    /// # Errors
    ///
    /// When there are not as many values, or none.
    pub(crate) fn heat(
        values: &[f32],
        size: [usize; 2],
        largest: f32,
    ) -> Result<Picture, PlotError> {
        check_size("a histogram", values.len(), size)?;
        let color = |value: f32| {
            let place = (value / largest).clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f32;
            let below = (place as usize).min(VIRIDIS.len() - 2);
            mix(VIRIDIS[below], VIRIDIS[below + 1], place - below as f32)
        };
        let pixels = values.iter().flat_map(|&value| color(value)).collect();
        Ok(Picture { width: size[1], height: size[0], pixels, channels: 3 })
    }

    /// Red, green and blue of each pixel in turn, as many as there are pixels.
    pub(crate) fn rgb(pixels: Vec<u8>, [height, width]: [usize; 2]) -> Picture {
        assert_eq!(pixels.len(), 3 * width * height, "three numbers for each pixel");
        Picture { width, height, pixels, channels: 3 }
    }

    /// Red, green, blue and opacity of each pixel in turn.
    pub(crate) fn rgba(&self) -> Vec<u8> {
        let color = |pixel: &[u8]| match *pixel {
            [r, g, b] => [r, g, b, 255],
            _ => [pixel[0], pixel[0], pixel[0], 255],
        };
        self.pixels.chunks(self.channels).flat_map(color).collect()
    }

    /// `[height, width]` in pixels.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// The same with sides of at most `longest` pixels, each the mean of those that it stands for.
    #[must_use]
    pub fn at_most(&self, longest: usize) -> Picture {
        let step = self.width.max(self.height).div_ceil(longest.max(1));
        if step <= 1 {
            return self.clone();
        }
        let (width, height) = (self.width.div_ceil(step), self.height.div_ceil(step));
        let mut pixels = Vec::with_capacity(width * height * self.channels);
        for row in 0..height {
            for column in 0..width {
                let rows = row * step..((row + 1) * step).min(self.height);
                let columns = column * step..((column + 1) * step).min(self.width);
                let count = rows.len() * columns.len();
                for channel in 0..self.channels {
                    let at = |r: usize, c: usize| (r * self.width + c) * self.channels + channel;
                    let values = rows.clone().flat_map(|r| columns.clone().map(move |c| at(r, c)));
                    let sum: usize = values.map(|i| usize::from(self.pixels[i])).sum();
                    pixels.push((sum / count) as u8);
                }
            }
        }
        Picture { width, height, pixels, channels: self.channels }
    }

    /// The bytes of a PNG file.
    pub fn png(&self) -> Vec<u8> {
        let mut file = vec![];
        let mut encoder = png::Encoder::new(&mut file, self.width as u32, self.height as u32);
        let grey = self.channels == 1;
        encoder.set_color(if grey { png::ColorType::Grayscale } else { png::ColorType::Rgb });
        encoder.set_depth(png::BitDepth::Eight);
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&self.pixels)?;
            writer.finish()
        });
        written.expect("memory takes all, and the pixels were counted when this was made");
        file
    }

    /// The PNG file as a URL that holds it.
    pub(crate) fn data_url(&self) -> String {
        format!("data:image/png;base64,{}", base64::encode(&self.png()))
    }

    /// The picture as a figure, with small ones magnified.
    pub fn figure(&self) -> Figure {
        let scale = 256_usize.div_ceil(self.width.max(self.height)) as f64;
        let (width, height) = (scale * self.width as f64, scale * self.height as f64);
        let body =
            vec![Shape::Image { picture: self.clone(), at: [0.0; 2], size: [width, height] }];
        Figure::new(vec![Panel { label: "picture".to_string(), size: [width, height], body }])
    }

    /// Shows the picture in an evcxr notebook.
    pub fn evcxr_display(&self) {
        self.figure().evcxr_display();
    }
}

/// The number of pixels; refused unless it is `found`, and the size one that PNG files can have.
fn check_size(what: &str, found: usize, [height, width]: [usize; 2]) -> Result<usize, PlotError> {
    let fits = [height, width].iter().all(|&side| (1..1 << 24).contains(&side));
    match height.checked_mul(width) {
        Some(pixels) if fits && pixels == found => Ok(pixels),
        _ => Err(PlotError::new(what, format!("values for {height}x{width} pixels"), found)),
    }
}

/// `a` at 0, `b` at 1.
fn mix(a: [u8; 3], b: [u8; 3], part: f32) -> [u8; 3] {
    // `as` saturates, and makes 0 of NaN.
    [0, 1, 2].map(|i| (f32::from(a[i]) * (1.0 - part) + f32::from(b[i]) * part).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_become_pixels() {
        let picture = Picture::image(&[1, 2, 3, 4, 5, 6], [3, 1, 2]).unwrap();
        assert_eq!(picture.pixels, [1, 3, 5, 2, 4, 6]);
        let decoder = png::Decoder::new(std::io::Cursor::new(picture.png()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = [0; 6];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, [1, 3, 5, 2, 4, 6]);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for (len, shape) in [(4, [2, 1, 2]), (3, [1, 2, 2]), (0, [1, 0, 5]), (7, [3, 1, 2])] {
            assert!(Picture::image(&vec![0; len], shape).is_err(), "{shape:?}");
        }
        assert!(Picture::image(&[], [1, usize::MAX, 2]).is_err());
        assert!(Picture::signed(&[0.0], [1, 2], 1.0).is_err());
    }

    #[test]
    fn signs_have_colours() {
        let values = [-1.0, 0.0, 2.0, f32::NAN];
        let picture = Picture::signed(&values, [1, 4], 1.0).unwrap();
        assert_eq!(picture.pixels[..9], [0, 114, 178, 255, 255, 255, 213, 94, 0]);
        assert!(Picture::signed(&values, [2, 2], 0.0).is_ok());
    }

    #[test]
    fn smaller_ones_are_means() {
        let picture = Picture::image(&[0, 10, 20, 30, 40, 50], [1, 2, 3]).unwrap();
        let small = picture.at_most(2);
        assert_eq!((small.size(), &small.pixels[..]), ([1, 2], &[20, 35][..]));
        assert_eq!(picture.at_most(3), picture);
    }
}
