//! `topedge evaluate`: how good is a trained network on a data set?

use std::path::PathBuf;

use serde::Serialize;
use topedge::data::{DataError, DataLoader, LoadOptions, LoaderConfig};
use topedge::report::Confusion;

use super::failure::Failure;
use super::{MAX_THREADS, images, output, predict, train};

/// A matrix of more classes is too wide for a terminal.
const CLASSES: usize = 20;

/// So many of the pairs that were confused are shown.
const PAIRS: usize = 10;

/// Measures a trained network on the validation images of a data set
#[derive(clap::Args)]
#[command(
    long_about = "\
Measures a trained network on the validation images of a data set: accuracy, loss, and what it takes for
what.

The data may be others than those of the training, in the same layouts. Images are resized, and made grey
or RGB, as the network needs them; those of classes that it does not know are left out.",
    after_help = "\
Examples:
  topedge evaluate runs/1 --data mnist
  topedge evaluate runs/1/model.safetensors --data photos --json

With --json, one object; the matrix has a row for each label, a column for each prediction:
  {\"images\":10000,\"accuracy\":...,\"loss\":...,\"classes\":[...],\"confusion\":[[...],...],\"most_confused\":[{\"label\":\"4\",\"prediction\":\"9\",\"count\":12},...]}"
)]
pub(crate) struct Args {
    /// The model.safetensors of a training run, or the run's folder
    model: PathBuf,
    /// A folder with MNIST's IDX files, or with a tree of images
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Threads to compute on [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
    threads: Option<u16>,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    json: bool,
}

/// The outcome for a program.
#[derive(Serialize)]
struct Outcome<'a> {
    images: usize,
    accuracy: f64,
    loss: f64,
    classes: &'a [String],
    confusion: Vec<&'a [usize]>,
    most_confused: Vec<Pair<'a>>,
}

/// Images of one class that were taken for another.
#[derive(Serialize)]
struct Pair<'a> {
    label: &'a str,
    prediction: &'a str,
    count: usize,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    train::run_threads(args.threads)?;
    let file = predict::model_file(&args.model)?;
    let model = predict::load_model(&file)?;
    let info = model.info.clone();
    let [channels, height, width] = info.image_shape;
    let options = LoadOptions { size: Some([height, width]), channels: Some(channels) };
    let all = images::folder(&args.data, &options)?.valid;
    let classes: Vec<&str> = info.classes.iter().map(String::as_str).collect();
    let known = all.with_labels(&classes).map_err(|error| match error {
        DataError::UnknownLabel { label, vocab } => Failure::flag(
            "--data",
            args.data.display(),
            format!("images of {label:?}, which the network knows, found {}", vocab.join(", ")),
        ),
        error => error.into(),
    })?;
    let config = LoaderConfig { batch_size: 512, normalize: info.normalize, ..Default::default() };
    let loader = DataLoader::new(known, config)?;
    let seen = topedge::evaluate(&mut model.into_network(), &loader)
        .map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))?;

    let classes = loader.dataset().vocab();
    let images = seen.len();
    let right = seen.iter().filter(|image| image.label == image.prediction).count();
    let accuracy = right as f64 / images as f64;
    let loss = seen.iter().map(|image| f64::from(image.loss)).sum::<f64>() / images as f64;
    let confusion = seen.iter().map(|image| (image.label, image.prediction));
    let confusion = Confusion::new(classes, confusion).map_err(topedge::Error::from)?;
    if args.json {
        let pair = |(label, prediction, count)| Pair { label, prediction, count };
        let most_confused = confusion.most_confused().into_iter().map(pair).collect();
        let confusion = confusion.rows().collect();
        let outcome = Outcome { images, accuracy, loss, classes, confusion, most_confused };
        return Ok(output::line(output::json(&outcome)?)?);
    }
    let left_out = match all.len() - images {
        0 => String::new(),
        n => format!(", without {n} of other classes"),
    };
    output::line(format_args!(
        "{} on {images} images of {}{left_out}\n\naccuracy  {accuracy:.4}, loss {loss:.4}",
        file.display(),
        args.data.display()
    ))?;
    if classes.len() <= CLASSES {
        output::line(format_args!("\n{}", matrix(classes, &confusion)))?;
    }
    let pairs = confusion.most_confused();
    if !pairs.is_empty() {
        output::line("\nMost confused")?;
    }
    for (label, prediction, count) in pairs.into_iter().take(PAIRS) {
        output::line(format_args!("{count:>6}  {label} taken for {prediction}"))?;
    }
    Ok(())
}

/// The matrix as a table: labels in rows, predictions in columns.
fn matrix(classes: &[String], confusion: &Confusion) -> String {
    const LONGEST: usize = 10;
    let name = |class: &String| class.chars().take(LONGEST).collect::<String>();
    let names: Vec<String> = classes.iter().map(name).collect();
    let numbers = confusion.rows().flatten().map(|count| count.to_string().len());
    let lengths = names.iter().map(|name| name.chars().count());
    let width = numbers.chain(lengths).max().unwrap_or(0) + 2;
    let head = names.iter().map(|name| format!("{name:>width$}")).collect::<String>();
    let mut lines = vec![format!("{:<LONGEST$}{head}", "prediction"), "label".to_string()];
    for (name, row) in names.iter().zip(confusion.rows()) {
        let counts = row.iter().map(|count| format!("{count:>width$}")).collect::<String>();
        lines.push(format!("{name:<LONGEST$}{counts}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_aligned() {
        let classes = ["cat", "a dog of the house"].map(String::from);
        let pairs = [(0, 0), (0, 1), (1, 1), (1, 1)];
        assert_eq!(
            matrix(&classes, &Confusion::new(&classes, pairs).unwrap()),
            "prediction         cat  a dog of t\nlabel\n\
             cat                  1           1\na dog of t           0           2"
        );
    }
}
