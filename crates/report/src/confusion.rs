//! Which classes are taken for which.

use std::cmp::Reverse;

use crate::error::PlotError;
use crate::figure::{Figure, Panel};
use crate::shape::{Anchor, Shape};

/// Beyond this many classes the numbers of a matrix cannot be read any more.
const CLASSES: usize = 40;

/// How often images of each class were taken for each class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    classes: Vec<String>,
    /// `[label][prediction]`
    counts: Vec<usize>,
}

impl Confusion {
    /// Of images with these labels and predictions, indices into `classes`.
    ///
    /// ```
    /// use topedge_report::Confusion;
    ///
    /// let classes = ["cat", "dog"].map(String::from);
    /// let confusion = Confusion::new(&classes, [(0, 0), (0, 1), (1, 1), (0, 1)])?;
    /// assert_eq!(confusion.most_confused(), [("cat", "dog", 2)]);
    /// assert!(confusion.rows().eq([[1, 2], [0, 1]]));
    /// # Ok::<(), topedge_report::PlotError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When one of them is no class.
    pub fn new(
        classes: &[String],
        labels_and_predictions: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Confusion, PlotError> {
        let n = classes.len();
        let mut counts = vec![0; n * n];
        for (label, prediction) in labels_and_predictions {
            if label >= n || prediction >= n {
                let expected = format!("classes below {n}");
                let found = label.max(prediction);
                return Err(PlotError::new("a confusion matrix", expected, found));
            }
            counts[label * n + prediction] += 1;
        }
        Ok(Confusion { classes: classes.to_vec(), counts })
    }

    /// The pairs that were confused at all: label, prediction, how often; the most frequent first.
    pub fn most_confused(&self) -> Vec<(&str, &str, usize)> {
        let n = self.classes.len();
        let wrong = (0..n * n).filter(|i| i / n != i % n && self.counts[*i] > 0);
        let mut pairs: Vec<_> =
            wrong.map(|i| (&*self.classes[i / n], &*self.classes[i % n], self.counts[i])).collect();
        pairs.sort_by_key(|&(_, _, count)| Reverse(count));
        pairs
    }

    /// How often images of each class were taken for each class: a row for each label.
    pub fn rows(&self) -> impl Iterator<Item = &[usize]> {
        self.counts.chunks(self.classes.len().max(1))
    }

    /// The matrix: a row for each label, a column for each prediction.
    ///
    /// # Errors
    ///
    /// With more classes than a matrix can show legibly.
    pub fn figure(&self) -> Result<Figure, PlotError> {
        let n = self.classes.len();
        if !(1..=CLASSES).contains(&n) {
            return Err(PlotError::new("a confusion matrix", format!("1 to {CLASSES} classes"), n));
        }
        let (cell, left, top) = (38.0, 90.0, 56.0);
        let side = cell * n as f64;
        let mut body = vec![
            Shape::title([left, 18.0], "prediction"),
            Shape::title([6.0, top - 10.0], "label"),
        ];
        for (i, class) in self.classes.iter().enumerate() {
            let (name, middle) = (shortened(class), cell * (i as f64 + 0.5));
            body.push(Shape::text([left + middle, top - 10.0], Anchor::Middle, &name));
            body.push(Shape::text([left - 8.0, top + middle + 4.0], Anchor::End, name));
        }
        for (i, &count) in self.counts.iter().enumerate() {
            let (row, column) = (i / n, i % n);
            let of_label: usize = self.counts[row * n..][..n].iter().sum();
            let part = count as f64 / of_label.max(1) as f64;
            let right = row == column;
            // A few mistakes among thousands of images are to be seen, too.
            let opacity = if right { part } else { part.sqrt() };
            let at = [left + cell * column as f64, top + cell * row as f64];
            let size = [cell; 2];
            let class = if right { "right" } else { "wrong" };
            body.push(Shape::Rectangle { class, opacity, at, size });
            body.push(Shape::Frame { class: "grid", at, size });
            if count > 0 {
                body.push(Shape::Text {
                    class: if opacity > 0.5 { "inverse" } else { "" },
                    at: [at[0] + cell / 2.0, at[1] + cell / 2.0 + 4.0],
                    anchor: Anchor::Middle,
                    text: count.to_string(),
                });
            }
        }
        let label = "confusion matrix: labels in rows, predictions in columns".to_string();
        let size = [left + side + 8.0, top + side + 8.0];
        Ok(Figure::new(vec![Panel { label, size, body }]))
    }
    /// Shows the matrix in an evcxr notebook; with too many classes, why not.
    pub fn evcxr_display(&self) {
        match self.figure() {
            Ok(figure) => figure.evcxr_display(),
            Err(error) => println!("{error}"),
        }
    }
}

/// A class's name as far as there is room for it.
fn shortened(name: &str) -> String {
    match name.chars().count() {
        0..=12 => name.to_string(),
        _ => name.chars().take(11).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stand_in_rows_of_labels() {
        let classes = ["a", "<b>", "c"].map(String::from);
        let seen = [(0, 0), (0, 0), (1, 2), (2, 1), (2, 1), (2, 2)];
        let confusion = Confusion::new(&classes, seen).unwrap();
        assert_eq!(confusion.counts, [2, 0, 0, 0, 0, 1, 0, 2, 1]);
        assert_eq!(confusion.most_confused(), [("c", "<b>", 2), ("<b>", "c", 1)]);
        let svg = confusion.figure().unwrap().svg();
        assert!(svg.contains("&lt;b&gt;") && !svg.contains("<b>"), "{svg}");
        assert!(Confusion::new(&classes, [(0, 3)]).is_err());
        assert!(Confusion::new(&[], []).unwrap().figure().is_err());
    }
}
