//! A network, layer by layer.

use std::fmt;

use serde::Serialize;
use topedge_autograd::Tensor;

use crate::callbacks::{LayerTimes, Profiler};
use crate::context::{Context, Observed, Observer};
use crate::error::Result;
use crate::learner::Learner;
use crate::module::{Item, Module, ParameterKind, describe};
use crate::receptive_field::{Reach, receptive_fields};

/// The layers of a network, in the order in which they run. It is displayed as a table.
///
/// ```
/// use rand::SeedableRng;
/// use topedge_nn::{Net, NetConfig, Summary};
///
/// let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
/// let mut network = Net::SimpleCnn2.build(&NetConfig::default(), &mut rng)?;
/// let summary = Summary::of(&mut network, &[1, 28, 28])?;
/// let second = &summary.layers[2];
/// assert_eq!((second.output_shape.as_slice(), second.parameters), (&[8, 7, 7][..], 296));
/// assert_eq!(second.receptive_field, Some([7, 7]));
/// println!("{summary}");
/// # Ok::<(), topedge_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// A row for each layer that has no layers inside.
    pub layers: Vec<LayerSummary>,
    /// What the network is trained by; `None` without a [`Learner`].
    pub training: Option<TrainingSummary>,
}

/// A layer of a [`Summary`]. Numbers are for one input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerSummary {
    /// Where it stands, as in `0.2`.
    pub path: String,
    /// Kind and configuration, as in `Dropout(p=0.5)`.
    pub layer: String,
    /// The shape of the output, as in `[channels, height, width]`.
    pub output_shape: Vec<usize>,
    /// The number of its parameters' values.
    pub parameters: usize,
    /// How many of them are trained, and not frozen.
    pub trainable: usize,
    /// Multiplications of a weight with an activation, each with its addition.
    pub multiply_adds: usize,
    /// The pixels that an output position depends on, `[height, width]`, those outside of the image
    /// too, if layers run one after another. `None` behind a layer that looks at all positions.
    pub receptive_field: Option<[usize; 2]>,
    /// The bytes of the output.
    pub activation_bytes: usize,
    /// What a [`Profiler`] measured in training.
    pub measured: Option<Measured>,
}

/// What a layer took in training, for one image of the batches it was trained with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Seconds of the forward pass.
    pub forward_seconds: f64,
    /// Seconds of the backward pass.
    pub backward_seconds: f64,
    /// 10^9 multiplications and additions of both passes together, for each second of them: those of
    /// the forward pass, as many again for the weights' gradient and for the input's, where they are
    /// computed. `None` for a layer without multiply-adds.
    pub gflops: Option<f64>,
}

/// What a network is trained by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingSummary {
    /// The optimiser: `Adam`.
    pub optimizer: &'static str,
    /// The loss: `CrossEntropy`.
    pub loss: &'static str,
    /// The callbacks, in the order in which they run.
    pub callbacks: Vec<&'static str>,
    /// The number of parameter groups.
    pub groups: usize,
}

impl Summary {
    /// Runs `network` on one input of shape `input_shape` (without the batch axis), zeros, and looks
    /// on.
    ///
    /// # Errors
    ///
    /// When the network cannot take such an input.
    pub fn of(network: &mut dyn Module, input_shape: &[usize]) -> Result<Summary> {
        let x = Tensor::zeros(&[&[1], input_shape].concat())?;
        let mut layers = vec![];
        let mut cx = Context::eval();
        cx.observers.push(Observer::all(|observed| {
            layers.push(LayerSummary::of(observed));
        }));
        let run = network.forward(&x, &mut cx);
        drop(cx);
        run?;
        for field in receptive_fields(network, input_shape)? {
            if let Some(row) =
                layers.iter_mut().find(|row: &&mut LayerSummary| row.path == field.path)
            {
                row.receptive_field = field.size;
            }
        }
        Ok(Summary { layers, training: None })
    }

    /// The number of values of all parameters.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.parameters).sum()
    }

    /// How many of them are trained, and not frozen.
    pub fn trainable(&self) -> usize {
        self.layers.iter().map(|layer| layer.trainable).sum()
    }

    /// Multiply-adds for one input.
    pub fn multiply_adds(&self) -> usize {
        self.layers.iter().map(|layer| layer.multiply_adds).sum()
    }

    /// The bytes of all outputs for one input.
    pub fn activation_bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.activation_bytes).sum()
    }
}

impl Learner {
    /// The layers of the network for the images of the training set, and what it is trained by; after
    /// training with a [`Profiler`], with the time that each layer took.
    ///
    /// # Errors
    ///
    /// When the network cannot take the images, or the callbacks cannot be ordered.
    pub fn summary(&mut self) -> Result<Summary> {
        let image_shape = self.state.data.train.dataset().image_shape();
        let mut summary = Summary::of(&mut *self.state.model, &image_shape)?;
        summary.training = Some(TrainingSummary {
            optimizer: self.state.optimizer.name(),
            loss: self.state.loss_fn.name(),
            callbacks: self.callback_order()?,
            groups: self.groups(),
        });
        if let Some(profiler) = self.find::<Profiler>() {
            summary.add_times(&profiler.layers);
        }
        Ok(summary)
    }
}

impl Summary {
    /// Adds what a [`Profiler`] measured, in a training run of this network.
    pub fn add_times(&mut self, times: &[LayerTimes]) {
        // Gradients flow from here on: an earlier layer has one.
        let mut wanted = false;
        for row in &mut self.layers {
            let Some(times) = times.iter().find(|times| times.path == row.path) else {
                continue;
            };
            let per_image = 1.0 / times.images.max(1) as f64;
            let [forward, backward] =
                [times.forward_seconds, times.backward_seconds].map(|s| s * per_image);
            let passes = 1 + usize::from(row.trainable > 0) + usize::from(wanted);
            wanted |= times.backward_seconds > 0.0;
            let operations = (2 * passes * row.multiply_adds) as f64;
            row.measured = Some(Measured {
                forward_seconds: forward,
                backward_seconds: backward,
                gflops: (operations > 0.0).then(|| operations / (forward + backward) * 1e-9),
            });
        }
    }
}

impl LayerSummary {
    /// All but the receptive field, which takes the layers before.
    fn of(observed: &Observed<'_>) -> LayerSummary {
        let output_shape = observed.output.shape().get(1..).unwrap_or_default().to_vec();
        // A convolution uses each weight once at each position of its output, a transposed one at
        // each of its input, a linear layer once.
        let positions: usize = match observed.module.reach() {
            Reach::Transposed(_) => observed.input_shape.iter().skip(2).product(),
            _ => output_shape.iter().skip(1).product(),
        };
        let (mut parameters, mut weights, mut trainable) = (0, 0, 0);
        observed.module.visit(&mut |_, item| {
            if let Item::Parameter(parameter) = item {
                let len = parameter.value.len();
                parameters += len;
                trainable += if parameter.is_trainable() { len } else { 0 };
                weights += if parameter.kind == ParameterKind::Weight { len } else { 0 };
            }
        });
        LayerSummary {
            path: observed.path.to_string(),
            layer: describe(observed.module),
            parameters,
            trainable,
            multiply_adds: weights * positions,
            receptive_field: None,
            activation_bytes: size_of::<f32>() * output_shape.iter().product::<usize>(),
            output_shape,
            measured: None,
        }
    }

    /// The cells of the table, of columns that are always there.
    fn cells(&self) -> Vec<String> {
        let shape: Vec<_> = self.output_shape.iter().map(usize::to_string).collect();
        let trainable = match self.trainable {
            _ if self.parameters == 0 => "",
            0 => "no",
            _ => "yes",
        };
        let field = self.receptive_field;
        vec![
            self.path.clone(),
            self.layer.clone(),
            shape.join("x"),
            thousands(self.parameters),
            trainable.to_string(),
            if self.multiply_adds > 0 { thousands(self.multiply_adds) } else { String::new() },
            field.map_or("all".to_string(), |[height, width]| format!("{height}x{width}")),
            thousands(self.activation_bytes),
        ]
    }
}

/// The table's columns, and whether they hold numbers, which stand to the right.
const COLUMNS: [(&str, bool); 11] = [
    ("layer", false),
    ("type", false),
    ("output shape", false),
    ("parameters", true),
    ("trainable", false),
    ("multiply-adds", true),
    ("receptive field", true),
    ("bytes", true),
    ("forward us", true),
    ("backward us", true),
    ("GFLOP/s", true),
];

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = self.layers.iter().any(|layer| layer.measured.is_some());
        let columns = if measured { &COLUMNS[..] } else { &COLUMNS[..8] };
        let rows = self.layers.iter().map(|layer| {
            let mut cells = layer.cells();
            if let Some(Measured { forward_seconds, backward_seconds, gflops }) = layer.measured {
                cells.push(format!("{:.3}", 1e6 * forward_seconds));
                cells.push(format!("{:.3}", 1e6 * backward_seconds));
                cells.push(gflops.map_or(String::new(), |gflops| format!("{gflops:.1}")));
            }
            cells
        });
        let seconds = |of: fn(&Measured) -> f64| {
            let all = self.layers.iter().filter_map(|layer| layer.measured.as_ref());
            format!("{:.3}", 1e6 * all.map(of).sum::<f64>())
        };
        let total = vec![
            "total".to_string(),
            String::new(),
            String::new(),
            thousands(self.parameters()),
            String::new(),
            thousands(self.multiply_adds()),
            String::new(),
            thousands(self.activation_bytes()),
            seconds(|measured| measured.forward_seconds),
            seconds(|measured| measured.backward_seconds),
        ];
        let rows: Vec<Vec<String>> = rows.chain([total]).collect();
        let cell = |row: &[String], column| row.get(column).map_or("", String::as_str).to_string();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| cell(row, column).chars().count());
            cells.chain([columns[column].0.len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        let line = |row: &dyn Fn(usize) -> String| {
            let cells = columns.iter().zip(&widths).enumerate().map(|(i, ((_, number), width))| {
                let cell = row(i);
                if *number { format!("{cell:>width$}") } else { format!("{cell:width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
        };
        let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));

        writeln!(f, "{}", line(&|i| columns[i].0.to_string()))?;
        writeln!(f, "{rule}")?;
        for (i, row) in rows.iter().enumerate() {
            if i + 1 == rows.len() {
                writeln!(f, "{rule}")?;
            }
            writeln!(f, "{}", line(&|i| cell(row, i)))?;
        }
        let (all, trained) = (self.parameters(), self.trainable());
        if all == trained {
            write!(f, "per image; all {} parameters are trainable", thousands(all))?;
        } else {
            let frozen = thousands(all - trained);
            write!(
                f,
                "per image; {} parameters are trainable, {frozen} frozen",
                thousands(trained)
            )?;
        }
        if let Some(TrainingSummary { optimizer, loss, callbacks, groups }) = &self.training {
            write!(f, "\noptimizer {optimizer}, loss {loss}")?;
            if *groups > 1 {
                write!(f, ", {groups} parameter groups")?;
            }
            write!(f, "\ncallbacks {}", callbacks.join(", "))?;
        }
        Ok(())
    }
}

/// `1234567` as `1,234,567`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{ConvTranspose2d, ConvTranspose2dConfig, Sequential};
    use crate::{Net, NetConfig};
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    fn build(net: Net) -> Sequential {
        net.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(1)).unwrap()
    }

    fn summary(net: Net) -> Summary {
        Summary::of(&mut build(net), &[1, 28, 28]).unwrap()
    }

    /// The chapter's figures, counted at output positions.
    #[test]
    fn cost_of_the_ten_digit_network() {
        let summary = summary(Net::SimpleCnn);
        let convolutions: Vec<_> =
            summary.layers.iter().filter(|l| l.layer.starts_with("Conv2d")).collect();
        let shapes: Vec<_> = convolutions.iter().map(|l| l.output_shape.clone()).collect();
        assert_eq!(shapes, [[8, 14, 14], [16, 7, 7], [32, 4, 4], [64, 2, 2], [10, 1, 1]]);
        let costs: Vec<_> = convolutions.iter().map(|l| l.multiply_adds).collect();
        assert_eq!(costs, [39_200, 56_448, 73_728, 73_728, 5_760]);
        let parameters: Vec<_> = convolutions.iter().map(|l| l.parameters).collect();
        assert_eq!(parameters, [208, 1168, 4640, 18_496, 5770]);
        assert_eq!(summary.parameters(), 30_282);
        let fields: Vec<_> = convolutions.iter().filter_map(|l| l.receptive_field).collect();
        assert_eq!(fields, [5, 9, 17, 33, 65].map(|n| [n, n]));
        assert_eq!(convolutions[0].activation_bytes, 4 * 8 * 14 * 14);
    }

    /// The chapter's figures for layers 2 to 4.
    #[test]
    fn cost_of_the_two_digit_network() {
        let summary = summary(Net::SimpleCnn2);
        let costs: Vec<_> = summary.layers.iter().map(|l| l.multiply_adds).collect();
        assert_eq!([costs[2], costs[4], costs[6]], [14_112, 18_432, 18_432]);
    }

    #[test]
    fn a_transposed_convolution_uses_its_weights_at_each_input() {
        let config = ConvTranspose2dConfig { stride: [2, 2], ..Default::default() };
        let mut rng = Pcg64::seed_from_u64(1);
        let up = ConvTranspose2d::new(3, 5, [2, 2], &config, &mut rng).unwrap();
        let summary = Summary::of(&mut Sequential::new().push(up), &[3, 4, 6]).unwrap();
        assert_eq!(summary.layers[0].output_shape, [5, 8, 12]);
        assert_eq!(summary.multiply_adds(), 3 * 5 * 2 * 2 * 4 * 6);
    }

    #[test]
    fn a_linear_layer_uses_each_weight_once_and_norms_multiply_nothing() {
        let simple = summary(Net::SimpleNet);
        assert_eq!(simple.multiply_adds(), 784 * 30 + 300);
        assert_eq!(simple.parameters(), 784 * 30 + 30 + 300 + 10);
        let fields: Vec<_> = simple.layers.iter().map(|l| l.receptive_field).collect();
        assert_eq!(fields, [Some([1, 1]), None, None, None]);
        let (plain, norm) = (summary(Net::SimpleCnn), summary(Net::SimpleCnnBn));
        assert_eq!(norm.multiply_adds(), plain.multiply_adds());
        assert_eq!(norm.parameters(), 30_542);
    }

    #[test]
    fn the_table_is_aligned() {
        let table = summary(Net::SimpleCnnBn).to_string();
        let numbers = table.lines().filter(|line| line.contains("Conv2d"));
        let widths: Vec<_> = numbers.map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 5);
        assert!(widths.iter().all(|&w| w == widths[0]), "{table}");
        assert!(table.contains("30,542") && table.contains("65x65"), "{table}");
        assert_eq!(thousands(0) + &thousands(999) + &thousands(1000), "09991,000");
    }

    /// Makes one number of all images.
    struct Total;

    impl Module for Total {
        fn kind(&self) -> &'static str {
            "Total"
        }

        fn forward(&mut self, x: &Tensor, _: &mut Context<'_>) -> Result<Tensor> {
            Ok(x.sum())
        }

        fn output_shape(&self, _: &[usize]) -> Result<Vec<usize>> {
            Ok(vec![])
        }
    }

    #[test]
    fn an_output_without_axes_has_no_shape() {
        let mut network = build(Net::SimpleNet).push(Total);
        let summary = Summary::of(&mut network, &[1, 28, 28]).unwrap();
        assert_eq!(summary.layers.last().unwrap().output_shape, [0; 0]);
    }

    #[test]
    fn an_input_that_does_not_fit_is_refused() {
        assert!(Summary::of(&mut build(Net::SimpleCnn), &[3, 28, 28]).is_err());
    }

    #[test]
    fn measured_times_count_the_passes_that_there_were() {
        let mut summary = summary(Net::SimpleNet);
        let times = |path: &str, backward_seconds| LayerTimes {
            path: path.to_string(),
            forward_seconds: 1.0,
            backward_seconds,
            images: 10,
        };
        summary.add_times(&[times("0", 0.0), times("1", 1.0), times("2", 1.0), times("3", 3.0)]);
        let measured: Vec<_> = summary.layers.iter().filter_map(|l| l.measured).collect();
        // The first linear layer computes no gradient of its input.
        let first = 2.0 * 2.0 * (784.0 * 30.0) / 0.2 * 1e-9;
        let second = 2.0 * 3.0 * 300.0 / 0.4 * 1e-9;
        let gflops: Vec<_> = measured.iter().map(|m| m.gflops).collect();
        assert_eq!(gflops, [None, Some(first), None, Some(second)]);
        assert!(summary.to_string().contains("GFLOP/s"));
    }
}
