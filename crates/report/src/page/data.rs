//! What the interactive parts work on, as JSON.

use serde::{Serialize, Serializer};

use crate::base64;
use crate::error::PlotError;

/// A network to look into: its layers one after another, and what they made of some images.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Explorer {
    /// `[channels, height, width]` of the images.
    pub image_shape: Vec<usize>,
    /// The layers in the order in which they run.
    pub layers: Vec<Layer>,
    /// The images.
    pub samples: Vec<Sample>,
}

/// A layer of an [`Explorer`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// Where it stands in the network, as in `0.2`.
    pub path: String,
    /// Kind and configuration.
    pub name: String,
    /// The shape of its output: `[channels, height, width]`, or `[features]`.
    pub shape: Vec<usize>,
    /// What it computes.
    #[serde(flatten)]
    pub kind: LayerKind,
}

/// What a layer computes, with its weights row-major.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LayerKind {
    /// A convolution with zeros for padding; pairs are `[vertical, horizontal]`.
    Conv2d {
        /// `[out_channels, in_channels / groups, kernel_height, kernel_width]`
        #[serde(serialize_with = "base64_f32")]
        weight: Vec<f32>,
        /// `[out_channels]`
        #[serde(serialize_with = "base64_f32")]
        bias: Vec<f32>,
        /// The size of the kernel.
        kernel: [usize; 2],
        /// The steps of the window.
        stride: [usize; 2],
        /// The zeros around the input.
        padding: [usize; 2],
        /// The distance of the taps.
        dilation: [usize; 2],
        /// The groups of channels.
        groups: usize,
    },
    /// Each input lays its kernel on the output; pairs are `[vertical, horizontal]`.
    ConvTranspose2d {
        /// `[in_channels, out_channels / groups, kernel_height, kernel_width]`
        #[serde(serialize_with = "base64_f32")]
        weight: Vec<f32>,
        /// `[out_channels]`
        #[serde(serialize_with = "base64_f32")]
        bias: Vec<f32>,
        /// The size of the kernel.
        kernel: [usize; 2],
        /// The steps of the window.
        stride: [usize; 2],
        /// What is cut off around the output.
        padding: [usize; 2],
        /// The distance of the taps.
        dilation: [usize; 2],
        /// The groups of channels.
        groups: usize,
    },
    /// `x W^T + b`
    Linear {
        /// `[out_features, in_features]`
        #[serde(serialize_with = "base64_f32")]
        weight: Vec<f32>,
        /// `[out_features]`
        #[serde(serialize_with = "base64_f32")]
        bias: Vec<f32>,
    },
    /// `scale x + shift` for each channel: batch norm in evaluation.
    Scale {
        /// `[channels]`
        #[serde(serialize_with = "base64_f32")]
        scale: Vec<f32>,
        /// `[channels]`
        #[serde(serialize_with = "base64_f32")]
        shift: Vec<f32>,
    },
    /// The largest value of each window, or the mean; pairs are `[vertical, horizontal]`.
    Pool {
        /// Whether it is the largest.
        maximum: bool,
        /// The size of the window.
        kernel: [usize; 2],
        /// The steps of the window.
        stride: [usize; 2],
        /// What lies around the input.
        padding: [usize; 2],
        /// The distance of the taps.
        dilation: [usize; 2],
        /// Whether that counts for a mean, as zeros.
        count_include_pad: bool,
    },
    /// The same of as many windows as there are outputs, of nearly equal size.
    AdaptivePool {
        /// Whether it is the largest.
        maximum: bool,
    },
    /// A function of each value for itself.
    Function {
        /// Its name, as in `ReLU`.
        function: String,
    },
    /// The same values, perhaps in another shape.
    Same,
    /// Something else.
    Other,
}

/// An image of an [`Explorer`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Its place in the validation set.
    pub index: usize,
    /// Its class.
    pub label: String,
    /// What it was taken for.
    pub prediction: String,
    /// What the network was given.
    #[serde(serialize_with = "base64_f32")]
    pub input: Vec<f32>,
    /// What each layer made of it.
    #[serde(serialize_with = "base64_f32_each")]
    pub outputs: Vec<Vec<f32>>,
}

/// A small convolution, and which weight stands where in the matrix that it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ConvolutionAsMatrix {
    /// `[height, width]` of the image.
    pub image_size: [usize; 2],
    /// `[height, width]` of the kernel.
    pub kernel_size: [usize; 2],
    /// `[height, width]` of the output.
    pub output_size: [usize; 2],
    /// The pixels at first.
    pub image: Vec<f32>,
    /// The weights at first.
    pub kernel: Vec<f32>,
    /// Of each entry, row-major, the weight that stands there; `None` where the window does not reach.
    pub entries: Vec<Option<usize>>,
}

fn base64_f32<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&base64::encode_f32(values))
}

fn base64_f32_each<S: Serializer>(values: &[Vec<f32>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|values| base64::encode_f32(values)))
}

impl Explorer {
    /// Refuses samples that do not have a value for each activation, for which a page would show
    /// nothing.
    pub(super) fn check(&self) -> Result<(), PlotError> {
        for sample in &self.samples {
            let inputs: usize = self.image_shape.iter().product();
            let outputs = self.layers.iter().map(|layer| layer.shape.iter().product::<usize>());
            let lens = sample.outputs.iter().map(Vec::len);
            if sample.input.len() != inputs || !lens.eq(outputs) {
                let expected = "a value for each activation of each layer";
                return Err(PlotError::new(
                    "a network",
                    expected,
                    format!("sample {}", sample.index),
                ));
            }
        }
        Ok(())
    }
}

/// `data` as an element that scripts read.
pub(super) fn script_data(id: &str, data: &impl Serialize) -> Result<String, PlotError> {
    let json = serde_json::to_string(data)
        .map_err(|error| PlotError::new("a page", "data that JSON can hold", error))?;
    // Inside of a script element, nothing but `<` can end it.
    let json = json.replace('<', "\\u003c");
    Ok(format!("<script type=\"application/json\" id=\"{id}\">{json}</script>\n"))
}
