//! The kernels that one writes by hand.

use topedge_autograd::{Float, Tensor};

use crate::error::{Error, Result};

/// A 3x3 kernel that finds edges in images.
///
/// ```
/// use topedge_autograd::{Conv2dConfig, Tensor};
/// use topedge_nn::EdgeKernel;
///
/// // Dark above, bright below: a top edge, and the opposite of a bottom edge.
/// let image = Tensor::new(vec![0.0f32, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0], &[1, 1, 3, 3])?;
/// let config = Conv2dConfig::default();
/// let top = image.conv2d(&EdgeKernel::TopEdge.weight()?, None, &config)?;
/// let bottom = image.conv2d(&EdgeKernel::BottomEdge.weight()?, None, &config)?;
/// assert_eq!((top.item()?, bottom.item()?), (3.0, -3.0));
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EdgeKernel {
    /// Dark above, bright below: `-1 -1 -1 / 0 0 0 / 1 1 1`.
    TopEdge,
    /// Dark to the left, bright in the middle: `-1 1 0` in each row.
    LeftEdge,
    /// Diagonals that rise to the right: `0 -1 1 / -1 1 0 / 1 0 0`.
    Diagonal1,
    /// Diagonals that fall to the right: `1 -1 0 / 0 1 -1 / 0 0 1`.
    Diagonal2,
    /// Bright above, dark below: the top edge negated.
    BottomEdge,
    /// Bright to the left, dark in the middle: the left edge negated.
    RightEdge,
    /// [`EdgeKernel::Diagonal1`] negated.
    Diagonal1Negated,
    /// [`EdgeKernel::Diagonal2`] negated.
    Diagonal2Negated,
}

impl EdgeKernel {
    /// All of them.
    pub const ALL: [EdgeKernel; 8] = [
        EdgeKernel::TopEdge,
        EdgeKernel::LeftEdge,
        EdgeKernel::Diagonal1,
        EdgeKernel::Diagonal2,
        EdgeKernel::BottomEdge,
        EdgeKernel::RightEdge,
        EdgeKernel::Diagonal1Negated,
        EdgeKernel::Diagonal2Negated,
    ];

    /// The name, as in `top-edge`.
    pub fn name(self) -> &'static str {
        match self {
            EdgeKernel::TopEdge => "top-edge",
            EdgeKernel::LeftEdge => "left-edge",
            EdgeKernel::Diagonal1 => "diagonal-1",
            EdgeKernel::Diagonal2 => "diagonal-2",
            EdgeKernel::BottomEdge => "bottom-edge",
            EdgeKernel::RightEdge => "right-edge",
            EdgeKernel::Diagonal1Negated => "diagonal-1-negated",
            EdgeKernel::Diagonal2Negated => "diagonal-2-negated",
        }
    }

    /// Its rows.
    pub fn rows(self) -> [[i8; 3]; 3] {
        match self {
            EdgeKernel::TopEdge => [[-1, -1, -1], [0, 0, 0], [1, 1, 1]],
            EdgeKernel::LeftEdge => [[-1, 1, 0]; 3],
            EdgeKernel::Diagonal1 => [[0, -1, 1], [-1, 1, 0], [1, 0, 0]],
            EdgeKernel::Diagonal2 => [[1, -1, 0], [0, 1, -1], [0, 0, 1]],
            _ => self.negated().rows().map(|row| row.map(|w| -w)),
        }
    }

    /// The kernel that finds the opposite edge.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            EdgeKernel::TopEdge => EdgeKernel::BottomEdge,
            EdgeKernel::LeftEdge => EdgeKernel::RightEdge,
            EdgeKernel::Diagonal1 => EdgeKernel::Diagonal1Negated,
            EdgeKernel::Diagonal2 => EdgeKernel::Diagonal2Negated,
            EdgeKernel::BottomEdge => EdgeKernel::TopEdge,
            EdgeKernel::RightEdge => EdgeKernel::LeftEdge,
            EdgeKernel::Diagonal1Negated => EdgeKernel::Diagonal1,
            EdgeKernel::Diagonal2Negated => EdgeKernel::Diagonal2,
        }
    }

    /// The weight of a convolution from one channel to one, `[1, 1, 3, 3]`.
    ///
    /// # Errors
    ///
    /// None: the shape is that of the rows.
    pub fn weight<T: Float>(self) -> Result<Tensor<T>> {
        let values = self.rows().into_iter().flatten().map(|w| T::from_f64(f64::from(w)));
        Ok(Tensor::new(values.collect(), &[1, 1, 3, 3])?)
    }
}

impl std::fmt::Display for EdgeKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for EdgeKernel {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = EdgeKernel::ALL.into_iter().find(|kernel| kernel.name() == name);
        found.ok_or_else(|| {
            let names = EdgeKernel::ALL.map(EdgeKernel::name).join(", ");
            Error::setting("kernel", name, format!("one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use topedge_autograd::Conv2dConfig;

    #[test]
    fn names() {
        for kernel in EdgeKernel::ALL {
            assert_eq!(kernel.to_string().parse::<EdgeKernel>().unwrap(), kernel);
            assert_eq!(kernel.negated().negated(), kernel);
        }
        let error = "sobel".parse::<EdgeKernel>().unwrap_err().to_string();
        assert!(error.contains("sobel") && error.contains("top-edge"), "{error}");
    }

    /// Each finds its own edge best, and the opposite edge least.
    #[test]
    fn each_finds_its_edge() {
        for kernel in EdgeKernel::ALL {
            let image = kernel.weight::<f64>().unwrap();
            let answer = |other: EdgeKernel| {
                let weight = other.weight().unwrap();
                image.conv2d(&weight, None, &Conv2dConfig::default()).unwrap().item().unwrap()
            };
            let best = answer(kernel);
            assert_eq!(answer(kernel.negated()), -best);
            for other in EdgeKernel::ALL {
                assert!(other == kernel || answer(other) < best, "{kernel} {other}");
            }
        }
        assert_eq!(EdgeKernel::BottomEdge.rows(), [[1, 1, 1], [0, 0, 0], [-1, -1, -1]]);
        assert_eq!(EdgeKernel::RightEdge.rows(), [[1, -1, 0]; 3]);
    }

    /// The book's `apply_kernel(row, col)`, centred at the pixel, is the convolution at
    /// `[row - 1, col - 1]`: the kernel is not flipped.
    #[test]
    fn a_window_centred_at_a_pixel() {
        let values: Vec<f64> = (0..30).map(|i| f64::from(i * i % 17)).collect();
        let image = Tensor::new(values.clone(), &[1, 1, 5, 6]).unwrap();
        for kernel in EdgeKernel::ALL {
            let config = Conv2dConfig::default();
            let map = image.conv2d(&kernel.weight().unwrap(), None, &config).unwrap().to_vec();
            for row in 1..4 {
                for col in 1..5 {
                    let mut sum = 0.0;
                    for (i, weights) in kernel.rows().iter().enumerate() {
                        for (j, &weight) in weights.iter().enumerate() {
                            sum += f64::from(weight) * values[(row + i - 1) * 6 + col + j - 1];
                        }
                    }
                    assert_eq!(map[(row - 1) * 4 + col - 1], sum);
                }
            }
        }
    }
}
