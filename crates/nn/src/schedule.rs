//! Schedules: a hyperparameter's value at each position of a training run.

use std::f64::consts::PI;

use crate::error::{Error, Result};
use crate::optim::Hyper;

/// A value for each position from 0 (the start of training) to 1 (its end).
///
/// ```
/// use topedge_nn::Schedule;
///
/// // Up for a tenth of the time, then level, then down to zero.
/// let schedule = Schedule::combine(vec![
///     (0.1, Schedule::linear(0.0, 0.3)),
///     (0.6, Schedule::flat(0.3)),
///     (0.3, Schedule::cosine(0.3, 0.0)),
/// ])?;
/// assert_eq!(schedule.at(0.05), 0.15);
/// assert_eq!(schedule.at(0.5), 0.3);
/// # Ok::<(), topedge_nn::Error>(())
/// ```
pub struct Schedule(Box<dyn Fn(f64) -> f64 + Send + Sync>);

impl Schedule {
    /// The value `f(position)`.
    pub fn new(f: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Self {
        Schedule(Box::new(f))
    }

    /// The same value throughout.
    pub fn flat(value: f64) -> Self {
        Self::new(move |_| value)
    }

    /// A straight line.
    pub fn linear(start: f64, end: f64) -> Self {
        Self::new(move |position| start + position * (end - start))
    }

    /// Half a wave of the cosine: `start + (1 - cos(pi * position)) * (end - start) / 2`.
    pub fn cosine(start: f64, end: f64) -> Self {
        Self::new(move |position| start + (1.0 - (PI * position).cos()) * (end - start) / 2.0)
    }

    /// The same factor over each equal distance: `start * (end / start)^position`, of two numbers
    /// above 0.
    pub fn exponential(start: f64, end: f64) -> Self {
        Self::new(move |position| start * (end / start).powf(position))
    }

    /// `start + (end - start) * position^power`.
    pub fn polynomial(start: f64, end: f64, power: f64) -> Self {
        Self::new(move |position| start + (end - start) * position.powf(power))
    }

    /// Schedules one after another, each for its share of the whole.
    ///
    /// # Errors
    ///
    /// When a share is not above 0, or they do not sum to 1.
    pub fn combine(pieces: Vec<(f64, Schedule)>) -> Result<Self> {
        let shares: Vec<f64> = pieces.iter().map(|(share, _)| *share).collect();
        // A comparison that also refuses NaN.
        let positive = shares.iter().all(|&share| share > 0.0);
        if !positive || (shares.iter().sum::<f64>() - 1.0).abs() > 1e-9 {
            let expected = "shares above 0 that sum to 1";
            return Err(Error::setting("combined schedule", format!("{shares:?}"), expected));
        }
        Ok(Self::in_turn(pieces))
    }

    /// [`combine`](Self::combine) of shares that are known to be right.
    fn in_turn(mut pieces: Vec<(f64, Schedule)>) -> Self {
        let last = pieces.pop();
        Self::new(move |position| {
            let mut start = 0.0;
            for (share, schedule) in &pieces {
                if position < start + share {
                    return schedule.at((position - start) / share);
                }
                start += share;
            }
            last.as_ref()
                .map_or(f64::NAN, |(share, schedule)| schedule.at((position - start) / share))
        })
    }

    /// The value at `position`, 0 to 1.
    pub fn at(&self, position: f64) -> f64 {
        (self.0)(position)
    }
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let values = [0.0, 0.25, 0.5, 0.75].map(|position| self.at(position));
        write!(f, "Schedule({values:?} ..)")
    }
}

/// 1cycle (Smith 2018) as fastai has it: the learning rate goes from `lr_max / 25` to `lr_max` in
/// the first quarter and from there to `lr_max / 1e5`, the momentum from .95 to .85 and back, all
/// along cosines.
pub fn one_cycle(lr_max: f64) -> Vec<(Hyper, Schedule)> {
    let up_down = |start, middle, end| {
        Schedule::in_turn(vec![
            (0.25, Schedule::cosine(start, middle)),
            (0.75, Schedule::cosine(middle, end)),
        ])
    };
    vec![
        (Hyper::Lr, up_down(lr_max / 25.0, lr_max, lr_max / 1e5)),
        (Hyper::Momentum, up_down(0.95, 0.85, 0.95)),
    ]
}

/// `lr` for three quarters of the training run, then down to `lr / 1e5` along a cosine, as fastai's
/// `fit_flat_cos`.
pub fn flat_cos(lr: f64) -> Vec<(Hyper, Schedule)> {
    let pieces = vec![(0.75, Schedule::flat(lr)), (0.25, Schedule::cosine(lr, lr / 1e5))];
    vec![(Hyper::Lr, Schedule::in_turn(pieces))]
}

/// The cycles of [`sgdr`]. By default: one, one epoch long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sgdr {
    /// The number of cycles.
    pub cycles: u32,
    /// The epochs of the first one.
    pub cycle_len: usize,
    /// How many times longer each is than the one before.
    pub cycle_mult: usize,
}

impl Default for Sgdr {
    fn default() -> Self {
        Sgdr { cycles: 1, cycle_len: 1, cycle_mult: 2 }
    }
}

impl Sgdr {
    /// The epochs of each cycle.
    fn lengths(self) -> Result<Vec<usize>> {
        let length =
            |i| self.cycle_mult.checked_pow(i).and_then(|times| times.checked_mul(self.cycle_len));
        // At most some 64 cycles fit, unless all are alike.
        let lengths: Option<Vec<usize>> = (0..self.cycles).map(length).collect();
        let all = |lengths: &Vec<usize>| {
            !lengths.is_empty()
                && !lengths.contains(&0)
                && lengths.iter().try_fold(0_usize, |sum, &n| sum.checked_add(n)).is_some()
        };
        lengths.filter(all).ok_or_else(|| {
            let expected = "cycles of at least one epoch, not more than can be counted";
            Error::setting("SGDR", format!("{self:?}"), expected)
        })
    }

    /// The epochs of all cycles.
    ///
    /// # Errors
    ///
    /// When there are no cycles, one has no epochs, or they are more than can be counted.
    pub fn epochs(self) -> Result<usize> {
        Ok(self.lengths()?.iter().sum())
    }
}

/// Stochastic gradient descent with restarts (Loshchilov and Hutter 2016): in each cycle from
/// `lr_max` down to 0 along a cosine, as fastai's `fit_sgdr`.
///
/// # Errors
///
/// Those of [`Sgdr::epochs`].
pub fn sgdr(cycles: Sgdr, lr_max: f64) -> Result<Vec<(Hyper, Schedule)>> {
    let lengths = cycles.lengths()?;
    let epochs: usize = lengths.iter().sum();
    let share = |length: usize| length as f64 / epochs as f64;
    let pieces = lengths.iter().map(|&n| (share(n), Schedule::cosine(lr_max, 0.0)));
    Ok(vec![(Hyper::Lr, Schedule::in_turn(pieces.collect()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(got: f64, expected: f64, tolerance: f64) {
        assert!((got - expected).abs() <= tolerance, "{got} is not {expected}");
    }

    /// Measured with fastai 2.8.12: `combined_cos(.25, .06/25, .06, .06/1e5)`.
    #[test]
    fn one_cycle_golden_numbers() {
        let expected =
            [0.0024, 0.0312, 0.06, 0.0559808, 0.0450001, 0.0300003, 0.0150004, 0.0040198];
        let schedules = one_cycle(0.06);
        for (i, lr) in expected.into_iter().enumerate() {
            assert_close(schedules[0].1.at(i as f64 / 8.0), lr, 6e-8);
        }
    }

    #[test]
    fn momentum_mirrors_the_learning_rate() {
        let schedules = one_cycle(0.06);
        let momentum = &schedules[1].1;
        for (position, expected) in [(0.0, 0.95), (0.125, 0.9), (0.25, 0.85), (0.625, 0.9)] {
            assert_close(momentum.at(position), expected, 1e-12);
        }
        assert_close(momentum.at(1.0), 0.95, 1e-12);
    }

    #[test]
    fn simple_schedules() {
        assert_eq!(Schedule::flat(0.3).at(0.7), 0.3);
        assert_eq!(Schedule::linear(1.0, 3.0).at(0.25), 1.5);
        assert_close(Schedule::cosine(1.0, 3.0).at(0.5), 2.0, 1e-15);
        assert_eq!(Schedule::cosine(1.0, 3.0).at(1.0), 3.0);
        assert_eq!(Schedule::new(|p| p * p).at(0.5), 0.25);
    }

    #[test]
    fn curved_schedules() {
        assert_close(Schedule::exponential(1e-7, 10.0).at(0.5), 1e-3, 1e-15);
        assert_eq!(Schedule::polynomial(1.0, 3.0, 2.0).at(0.5), 1.5);
        let flat_cos = &flat_cos(0.1)[0].1;
        assert_eq!([0.0, 0.5, 0.75].map(|p| flat_cos.at(p)), [0.1; 3]);
        assert_close(flat_cos.at(1.0), 1e-6, 1e-15);
    }

    #[test]
    fn cycles_restart() {
        let cycles = Sgdr { cycles: 3, cycle_len: 2, cycle_mult: 2 };
        assert_eq!(cycles.epochs().unwrap(), 14);
        let schedule = &sgdr(cycles, 0.1).unwrap()[0].1;
        for (epoch, expected) in [(0.0, 0.1), (1.0, 0.05), (2.0, 0.1), (4.0, 0.05), (6.0, 0.1)] {
            assert_close(schedule.at(epoch / 14.0), expected, 1e-12);
        }
        let alike = Sgdr { cycles: 3, cycle_len: 1, cycle_mult: 1 };
        assert_eq!(alike.epochs().unwrap(), 3);
        let none = Sgdr { cycles: 0, ..alike };
        let empty = Sgdr { cycle_len: 0, ..alike };
        let endless = Sgdr { cycles: 100, cycle_len: 1, cycle_mult: 2 };
        for wrong in [none, empty, endless] {
            let error = wrong.epochs().unwrap_err().to_string();
            assert!(error.starts_with("SGDR is "), "{error}");
        }
    }

    #[test]
    fn a_piece_starts_where_the_one_before_ends() {
        let combined = Schedule::combine(vec![
            (0.5, Schedule::linear(0.0, 1.0)),
            (0.25, Schedule::flat(7.0)),
            (0.25, Schedule::linear(2.0, 4.0)),
        ])
        .unwrap();
        let values = [0.0, 0.25, 0.5, 0.74, 0.75, 0.875, 1.0].map(|p| combined.at(p));
        assert_eq!(values, [0.0, 0.5, 7.0, 7.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn wrong_shares_are_refused() {
        for shares in [vec![], vec![0.5], vec![0.5, 0.6], vec![1.5, -0.5], vec![1.0, f64::NAN]] {
            let pieces = shares.iter().map(|&s| (s, Schedule::flat(1.0))).collect();
            let error = Schedule::combine(pieces).unwrap_err().to_string();
            assert!(error.contains("sum to 1"), "{error}");
        }
    }
}
