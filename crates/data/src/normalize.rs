//! Normalisation: zero mean and unit deviation per channel.

use crate::dataset::Dataset;
use crate::error::{DataError, Result};

/// Mean and standard deviation per channel, of pixels scaled to 0..1: a pixel becomes
/// `(pixel / 255 - mean) / std`. One entry alone serves every channel.
///
/// The default, mean 0 and deviation 1, only scales.
///
/// ```
/// use topedge_data::{Dataset, Normalize};
///
/// let data = Dataset::new(vec![0, 255], [1, 1, 1], vec![0, 0], vec!["x".into()])?;
/// let normalize = Normalize::of(&data);
/// assert_eq!(normalize.mean, [0.5]);
/// assert_eq!(normalize.std, [0.5_f32.sqrt()]); // unbiased
/// let values = normalize.apply(data.image(1))?;
/// assert_eq!(normalize.decode(&values)?, [255]);
/// # Ok::<(), topedge_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// The mean of each channel, or one for all.
    pub mean: Vec<f32>,
    /// The standard deviation of each channel, or one for all.
    pub std: Vec<f32>,
}

impl Default for Normalize {
    fn default() -> Self {
        Normalize { mean: vec![0.0], std: vec![1.0] }
    }
}

impl Normalize {
    /// Mean and unbiased standard deviation of a whole data set. A channel without variation, or
    /// an empty data set, gets the deviation 1.
    pub fn of(data: &Dataset) -> Normalize {
        Self::of_images(data, 0..data.len(), 0.0)
    }

    /// Mean and unbiased standard deviation + 1e-7 of the images `indices` alone, as fastai takes
    /// them from one training batch.
    ///
    /// # Errors
    ///
    /// When an index lies outside the data.
    pub fn of_batch(data: &Dataset, indices: &[usize]) -> Result<Normalize> {
        if let Some(i) = indices.iter().find(|&&i| i >= data.len()) {
            let expected = format!("indices below {}", data.len());
            return Err(DataError::setting("batch to normalise by", i, expected));
        }
        Ok(Self::of_images(data, indices.iter().copied(), 1e-7))
    }

    fn of_images(data: &Dataset, indices: impl Iterator<Item = usize>, epsilon: f64) -> Normalize {
        let [channels, h, w] = data.image_shape();
        // Sums of integers are exact, in whatever order.
        let mut sums = vec![0_u64; channels];
        let mut squares = vec![0_u64; channels];
        let mut count = 0_u64;
        for i in indices {
            count += (h * w) as u64;
            for (c, plane) in data.image(i).chunks_exact(h * w).enumerate() {
                // 65,536 squares of bytes fit into 32 bits, in which the loop is quickest.
                for pixels in plane.chunks(1 << 16) {
                    let pixels = pixels.iter().map(|&p| u32::from(p));
                    sums[c] += u64::from(pixels.clone().sum::<u32>());
                    squares[c] += u64::from(pixels.map(|p| p * p).sum::<u32>());
                }
            }
        }
        let (mean, std) = sums
            .iter()
            .zip(&squares)
            .map(|(&sum, &square)| moments(sum, square, count))
            .map(|(mean, std)| (mean as f32, (std + epsilon) as f32))
            .unzip();
        Normalize { mean, std }
    }

    /// The normalised values of one image, `[channels, height, width]` contiguous.
    ///
    /// # Errors
    ///
    /// When `self` is invalid, or the pixels do not divide into its channels.
    pub fn apply(&self, pixels: &[u8]) -> Result<Vec<f32>> {
        self.map(pixels, |pixel, mean, std| (f32::from(pixel) / 255.0 - mean) / std)
    }

    /// Undoes [`apply`](Self::apply): values of one image back to pixels, rounded, and clamped to
    /// 0..=255.
    ///
    /// # Errors
    ///
    /// When `self` is invalid, or the values do not divide into its channels.
    pub fn decode(&self, values: &[f32]) -> Result<Vec<u8>> {
        self.map(values, |value, mean, std| {
            // `as` saturates.
            ((value * std + mean) * 255.0).round() as u8
        })
    }

    fn map<T: Copy, U>(&self, image: &[T], f: impl Fn(T, f32, f32) -> U) -> Result<Vec<U>> {
        let channels = self.mean.len().max(self.std.len());
        self.check(channels)?;
        if !image.len().is_multiple_of(channels) {
            return Err(DataError::unexpected(
                "image",
                "number of values",
                format!("a multiple of {channels} channels"),
                image.len(),
            ));
        }
        let plane = (image.len() / channels).max(1);
        Ok(image
            .iter()
            .enumerate()
            .map(|(i, &x)| {
                let (mean, std) = self.channel(i / plane);
                f(x, mean, std)
            })
            .collect())
    }

    /// Mean and deviation of channel `c`.
    fn channel(&self, c: usize) -> (f32, f32) {
        let of = |values: &[f32]| {
            if values.len() == 1 { values[0] } else { values[c] }
        };
        (of(&self.mean), of(&self.std))
    }

    /// Whether this can normalise images of `channels` channels.
    pub(crate) fn check(&self, channels: usize) -> Result<()> {
        for (name, values) in [("normalize.mean", &self.mean), ("normalize.std", &self.std)] {
            if values.is_empty() || values.len() != 1 && values.len() != channels {
                let found = format!("{} values", values.len());
                let expected = format!("1, or one for each of {channels} channels");
                return Err(DataError::setting(name, found, expected));
            }
        }
        if let Some(mean) = self.mean.iter().find(|m| !m.is_finite()) {
            return Err(DataError::setting("normalize.mean", mean, "finite numbers"));
        }
        if let Some(std) = self.std.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            let expected = "finite numbers above 0";
            return Err(DataError::setting("normalize.std", std, expected));
        }
        Ok(())
    }

    /// The normalised value of every byte in channel `c`, bit for bit as [`apply`](Self::apply)
    /// has it.
    pub(crate) fn table(&self, c: usize) -> [f32; 256] {
        let (mean, std) = self.channel(c);
        std::array::from_fn(|pixel| (pixel as f32 / 255.0 - mean) / std)
    }
}

/// Mean and unbiased standard deviation, of pixels / 255, from exact sums over `count` pixels.
fn moments(sum: u64, squares: u64, count: u64) -> (f64, f64) {
    let mean = sum as f64 / (count.max(1) as f64 * 255.0);
    // n * sum(x^2) - sum(x)^2 is n * (n-1) * variance; in integers nothing cancels.
    let scatter = u128::from(count) * u128::from(squares) - u128::from(sum).pow(2);
    if scatter == 0 {
        return (mean, 1.0);
    }
    let variance = scatter as f64 / (count as f64 * (count - 1) as f64);
    (mean, variance.sqrt() / 255.0)
}
