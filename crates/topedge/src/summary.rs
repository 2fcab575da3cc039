//! A network, layer by layer.

use std::fmt;

use topedge_autograd::Tensor;
use topedge_nn::{Context, Item, Module, Observed, ParameterKind, describe};

use crate::error::Result;

/// The layers of a network, in the order in which they run. It is displayed as a table.
///
/// ```
/// use topedge::prelude::*;
///
/// let mut network = Net::SimpleCnn2.build(&NetConfig::default(), &mut Pcg64::seed_from_u64(1))?;
/// let summary = Summary::of(&mut network, &[1, 28, 28])?;
/// let second = &summary.layers[2];
/// assert_eq!((second.output_shape.as_slice(), second.parameters), (&[8, 7, 7][..], 296));
/// println!("{summary}");
/// # Ok::<(), topedge::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// A row for each layer that has no layers inside.
    pub layers: Vec<LayerSummary>,
}

/// A layer of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSummary {
    /// Where it stands, as in `0.2`.
    pub path: String,
    /// Kind and configuration, as in `Dropout(p=0.5)`.
    pub layer: String,
    /// The shape of the output for one input, as in `[channels, height, width]`.
    pub output_shape: Vec<usize>,
    /// The number of values that are trained.
    pub parameters: usize,
    /// Multiplications of a weight with an activation, each with its addition, for one input.
    pub multiply_adds: usize,
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
        cx.observer = Some(Box::new(|observed| layers.push(LayerSummary::of(&observed))));
        let run = network.forward(&x, &mut cx);
        drop(cx);
        run?;
        Ok(Summary { layers })
    }

    /// The number of values that are trained.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.parameters).sum()
    }

    /// Multiply-adds for one input.
    pub fn multiply_adds(&self) -> usize {
        self.layers.iter().map(|layer| layer.multiply_adds).sum()
    }
}

impl LayerSummary {
    fn of(observed: &Observed<'_>) -> LayerSummary {
        let output_shape = observed.output.shape()[1..].to_vec();
        // A convolution uses each weight once at each position, a linear layer once.
        let positions: usize = output_shape.iter().skip(1).product();
        let (mut parameters, mut weights) = (0, 0);
        observed.module.visit(&mut |_, item| {
            if let Item::Parameter(parameter) = item {
                parameters += parameter.value.len();
                if parameter.kind == ParameterKind::Weight {
                    weights += parameter.value.len();
                }
            }
        });
        LayerSummary {
            path: observed.path.to_string(),
            layer: describe(observed.module),
            output_shape,
            parameters,
            multiply_adds: weights * positions,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["layer", "type", "output shape", "parameters", "trainable", "multiply-adds"];
        let rows = self.layers.iter().map(|layer| {
            let shape: Vec<_> = layer.output_shape.iter().map(usize::to_string).collect();
            [
                layer.path.clone(),
                layer.layer.clone(),
                shape.join("x"),
                thousands(layer.parameters),
                if layer.parameters > 0 { "yes" } else { "" }.to_string(),
                if layer.multiply_adds > 0 {
                    thousands(layer.multiply_adds)
                } else {
                    String::new()
                },
            ]
        });
        let total = [
            "total".to_string(),
            String::new(),
            String::new(),
            thousands(self.parameters()),
            String::new(),
            thousands(self.multiply_adds()),
        ];
        let rows: Vec<[String; 6]> = rows.chain([total]).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([header[column].len()]).max().unwrap_or(0)
        };
        let widths: [usize; 6] = std::array::from_fn(width);
        let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));

        write_row(f, header, widths)?;
        writeln!(f, "{rule}")?;
        for (i, row) in rows.iter().enumerate() {
            if i + 1 == rows.len() {
                writeln!(f, "{rule}")?;
            }
            write_row(f, row.each_ref().map(String::as_str), widths)?;
        }
        write!(f, "per image; all {} parameters are trainable", thousands(self.parameters()))
    }
}

/// Texts to the left, numbers to the right.
fn write_row(f: &mut fmt::Formatter<'_>, row: [&str; 6], widths: [usize; 6]) -> fmt::Result {
    let [a, b, c, d, e, g] = row;
    let [wa, wb, wc, wd, we, wg] = widths;
    let line = format!("{a:wa$}  {b:wb$}  {c:wc$}  {d:>wd$}  {e:we$}  {g:>wg$}");
    writeln!(f, "{}", line.trim_end())
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
    use rand::SeedableRng;
    use rand_pcg::Pcg64;
    use topedge_nn::layers::Sequential;
    use topedge_nn::{Net, NetConfig};

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
    }

    #[test]
    fn a_linear_layer_uses_each_weight_once_and_norms_multiply_nothing() {
        let simple = summary(Net::SimpleNet);
        assert_eq!(simple.multiply_adds(), 784 * 30 + 300);
        assert_eq!(simple.parameters(), 784 * 30 + 30 + 300 + 10);
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
        assert!(table.contains("30,542"), "{table}");
        assert_eq!(thousands(0) + &thousands(999) + &thousands(1000), "09991,000");
    }

    #[test]
    fn an_input_that_does_not_fit_is_refused() {
        assert!(Summary::of(&mut build(Net::SimpleCnn), &[3, 28, 28]).is_err());
    }
}
