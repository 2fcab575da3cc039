//! A training step, as the criterion benchmark and the examples measure it.

use std::fmt;

use topedge::nn::losses::Loss;
use topedge::nn::{Context, zero_grad};
use topedge::prelude::*;

/// A step of `simple-cnn-bn` on drawn digits: forward, loss, backward, Adam. The batch is ready in memory.
pub struct TrainingStep {
    x: Tensor,
    labels: Vec<u32>,
    network: Sequential,
    optimizer: Adam,
    context: Context<'static>,
}

impl TrainingStep {
    /// At `batch_size`.
    ///
    /// # Errors
    ///
    /// If `batch_size` is below 10: there is to be a digit of each kind.
    pub fn new(batch_size: usize) -> topedge::Result<Self> {
        let digits = Digits { train: batch_size, valid: 10, ..Default::default() };
        let config = LoadersConfig { batch_size, ..Default::default() };
        let data = DataLoaders::new(&digits::generate(&digits)?, &config)?;
        let batch = data.train.epoch(0).next().expect("there is one")?;
        Ok(TrainingStep {
            x: Tensor::from_parts(batch.values, &batch.shape, &batch.strides, batch.parts)?,
            labels: batch.labels,
            network: Net::SimpleCnnBn
                .build(&NetConfig::default(), &mut Pcg64::seed_from_u64(42))?,
            optimizer: Adam::fastai(),
            context: Context::train(42),
        })
    }

    /// Floating-point operations of a step: each multiply-add of the forward pass is met again in the
    /// gradient of the weight and, but for the first layer, in that of the input.
    ///
    /// # Errors
    ///
    /// None: the network takes such images.
    pub fn operations(&mut self) -> topedge::Result<u64> {
        let summary = Summary::of(&mut self.network, &[1, 28, 28])?;
        let first = summary.layers[0].multiply_adds;
        Ok((2 * self.labels.len() * (3 * summary.multiply_adds() - first)) as u64)
    }

    /// Takes one step.
    ///
    /// # Errors
    ///
    /// None: the shapes fit together.
    pub fn run(&mut self) -> topedge::Result<()> {
        let tape = Tape::new();
        let prediction = self.network.forward(&self.x, &mut self.context)?;
        let loss = CrossEntropy::default().forward(&prediction, &self.labels)?;
        tape.backward(&loss)?;
        self.optimizer.step(&mut self.network)?;
        zero_grad(&mut self.network);
        Ok(())
    }
}

impl fmt::Debug for TrainingStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrainingStep").field("network", &self.network).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_runs() {
        let mut step = TrainingStep::new(10).unwrap();
        step.run().unwrap();
        // Multiply-adds of an image, layer by layer.
        let forward = [39_200, 56_448, 73_728, 73_728, 5_760];
        let expected = 3 * forward.iter().sum::<u64>() - forward[0];
        assert_eq!(step.operations().unwrap(), 2 * 10 * expected);
    }
}
