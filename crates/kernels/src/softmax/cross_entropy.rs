//! Cross-entropy of logits and labels, and its gradient, in one pass over the samples.

use super::columns::{ColumnOp, Layout, Steps, for_each_vector};
use super::max_step;
use crate::arch::{MAX_LANES, Vector};
use crate::element::Element;
use crate::elementwise::lanes::splat;
use crate::error::{Result, ShapeError, check_elements, check_len};
use crate::parallel::SharedMut;
use crate::scratch;
use crate::view::{MatMut, MatRef};

/// Options of [`cross_entropy`]; by default there are none.
#[derive(Debug, Clone, Copy, Default)]
pub struct CrossEntropy<'a, T> {
    /// How much the samples of each class count: `[classes]`, all 1 by default.
    pub class_weights: Option<&'a [T]>,
    /// The share of each target, 0 to 1, that is spread evenly over all classes.
    pub label_smoothing: f64,
    /// Samples of this label count for nothing.
    pub ignore_index: Option<u32>,
}

impl<T: Element> CrossEntropy<'_, T> {
    fn weight(&self, class: usize) -> f64 {
        self.class_weights.map_or(1.0, |weights| weights[class].to_f64())
    }

    /// Checks the options and labels, and sums the weights of the labels that count.
    fn check(&self, classes: usize, labels: &[u32]) -> Result<f64> {
        let op = "cross_entropy";
        if let Some(weights) = self.class_weights {
            check_len(op, "class_weights", classes, weights.len())?;
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(ShapeError::new(op, "label_smoothing", "0 to 1", self.label_smoothing));
        }
        let mut total = 0.0;
        for (i, &label) in labels.iter().enumerate() {
            if Some(label) == self.ignore_index {
                continue;
            }
            if label as usize >= classes {
                let expected = format!("a class below {classes}");
                return Err(ShapeError::new(op, format!("label of sample {i}"), expected, label));
            }
            total += self.weight(label as usize);
        }
        Ok(total)
    }
}

/// What one vector of samples needs: everything but their logits.
#[derive(Clone, Copy)]
struct Op<'a, T> {
    config: &'a CrossEntropy<'a, T>,
    labels: &'a [u32],
    /// The sum of the weights of the labels that count.
    total: f64,
    /// The sum of the weights of all classes.
    class_total: f64,
    /// `[samples]`, before division by `total`.
    losses: SharedMut<f64>,
}

impl<T: Element> Op<'_, T> {
    /// Adds `sum_k weight_k * (max - x_k)`, what label smoothing needs of the logits.
    ///
    /// # Safety
    ///
    /// `x` must have `classes` steps that can be read.
    #[inline(always)]
    unsafe fn spread<V: Vector<Elem = T>>(&self, classes: usize, x: Steps<T>, max: V) -> V {
        let mut spread = splat::<V>(0.0);
        if self.config.label_smoothing > 0.0 {
            for k in 0..classes {
                let weight = splat::<V>(self.config.weight(k));
                // SAFETY: a step of `x`, by the caller's duty.
                spread = max.sub(unsafe { x.load(k) }).mul_add(weight, spread);
            }
        }
        spread
    }
}

// With t the label and w the weights, a sample's loss is
//   (1 - smoothing) * w[t] * -log p[t]  +  smoothing / classes * sum over k of w[k] * -log p[k],
// and all losses are divided by the sum of the w[t].
impl<T: Element, const OUT: usize> ColumnOp<T, 1, OUT> for Op<'_, T> {
    #[inline(always)]
    unsafe fn apply<V: Vector<Elem = T>>(
        self,
        classes: usize,
        [first, count]: [usize; 2],
        [x]: [Steps<T>; 1],
        y: [Steps<T>; OUT],
    ) {
        let smoothing = self.config.label_smoothing;
        let share = smoothing / classes as f64;
        // SAFETY: steps are below `classes`, which labels that count are too; lanes
        // are those of samples, which have a place in `losses` each.
        unsafe {
            let max: V = max_step(classes, x);
            let mut sum = splat::<V>(0.0);
            for k in 0..classes {
                let exp = x.load::<V>(k).sub(max).exp();
                sum = sum.add(exp);
                for y in y {
                    y.store(k, exp);
                }
            }
            let spread = self.spread(classes, x, max);
            let mut lanes = [[T::ZERO; MAX_LANES]; 3];
            for (lanes, values) in lanes.iter_mut().zip([max, sum, spread]) {
                values.write_to(lanes);
            }

            // The gradient is `of_p * p[k] - of_class * w[k]`, less `of_label` at the label.
            let (mut of_p, mut of_class) = ([T::ZERO; MAX_LANES], [T::ZERO; MAX_LANES]);
            let mut of_label = [0.0; MAX_LANES];
            for lane in 0..count {
                let label = self.labels[first + lane];
                let loss = self.losses.get().add(first + lane);
                if Some(label) == self.config.ignore_index {
                    *loss = 0.0;
                    continue;
                }
                let weight = self.config.weight(label as usize);
                let [max, sum, spread] = lanes.each_ref().map(|lanes| lanes[lane].to_f64());
                let log_sum = sum.ln();
                let nll = log_sum + max - (*x.lane(label as usize, lane)).to_f64();
                *loss = (1.0 - smoothing) * weight * nll
                    + share * (spread + self.class_total * log_sum);
                of_label[lane] = (1.0 - smoothing) * weight / self.total;
                let of_sum = of_label[lane] + share * self.class_total / self.total;
                of_p[lane] = T::from_f64(of_sum / sum);
                of_class[lane] = T::from_f64(share / self.total);
            }
            let (of_p, of_class) = (V::from_slice(&of_p), V::from_slice(&of_class));
            for y in y {
                for k in 0..classes {
                    let weight = splat::<V>(self.config.weight(k));
                    y.store(k, y.load::<V>(k).mul(of_p).sub(of_class.mul(weight)));
                }
                for lane in 0..count {
                    let label = self.labels[first + lane];
                    if Some(label) == self.config.ignore_index {
                        // Not by a product with 0: what is ignored may be NaN.
                        for k in 0..classes {
                            *y.lane(k, lane) = T::ZERO;
                        }
                        continue;
                    }
                    let at_label = y.lane(label as usize, lane);
                    *at_label = *at_label - T::from_f64(of_label[lane]);
                }
            }
        }
    }
}

/// The mean cross-entropy of `logits` `[samples, classes]` and one label for each sample, as
/// PyTorch's `cross_entropy` defines it: with class weights the mean divides by the sum of the
/// weights of the labels. NaN if no sample counts.
///
/// `dlogits`, if it is wanted, becomes the gradient of that mean; 0 for samples that do not count.
///
/// # Errors
///
/// If shapes or lengths do not fit, `logits` has more elements than any memory holds, a label that is
/// not ignored is no class, or the smoothing is not within 0 to 1.
///
/// ```
/// use topedge_kernels::{MatMut, MatRef, softmax::{CrossEntropy, cross_entropy}};
///
/// let logits = [0.0f32, 0.0, 0.0];
/// let mut gradient = [0.0f32; 3];
/// let loss = cross_entropy(
///     MatRef::row_major(&logits, 1, 3)?,
///     &[2],
///     &CrossEntropy::default(),
///     Some(MatMut::row_major(&mut gradient, 1, 3)?),
/// )?;
/// assert!((loss - 3.0f32.ln()).abs() < 1e-6);
/// assert!((gradient[2] - (1.0 / 3.0 - 1.0)).abs() < 1e-6);
/// # Ok::<(), topedge_kernels::ShapeError>(())
/// ```
pub fn cross_entropy<T: Element>(
    logits: MatRef<'_, T>,
    labels: &[u32],
    config: &CrossEntropy<'_, T>,
    dlogits: Option<MatMut<'_, T>>,
) -> Result<T> {
    let op = "cross_entropy";
    let [samples, classes] = logits.shape();
    check_elements(op, "logits", [samples, classes, 1, 1])?;
    check_len(op, "labels", samples, labels.len())?;
    if let Some(dlogits) = &dlogits
        && dlogits.shape() != logits.shape()
    {
        let (expected, got) = (logits.shape(), dlogits.shape());
        let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
        return Err(ShapeError::new(op, "shape of dlogits", expected, got));
    }
    let total = config.check(classes, labels)?;
    if samples == 0 || classes == 0 {
        return Ok(T::from_f64(f64::NAN));
    }
    let class_total = (0..classes).map(|class| config.weight(class)).sum();
    let layout = |[sample, class]: [usize; 2]| Layout {
        group: samples,
        group_stride: 0,
        column: sample,
        step: class,
    };
    let x = [(logits.as_ptr(), layout(logits.strides()))];
    Ok(scratch::with(samples, |losses: &mut [f64]| {
        let op =
            Op { config, labels, total, class_total, losses: SharedMut::new(losses.as_mut_ptr()) };
        // SAFETY: the views have checked every index of `[samples, classes]`, and those of dlogits
        // are distinct.
        unsafe {
            match &dlogits {
                Some(dlogits) => {
                    let y = [(dlogits.as_ptr(), layout(dlogits.strides()))];
                    for_each_vector([samples, classes], op, x, y);
                }
                None => for_each_vector([samples, classes], op, x, []),
            }
        }
        T::from_f64(losses.iter().sum::<f64>() / total)
    }))
}
