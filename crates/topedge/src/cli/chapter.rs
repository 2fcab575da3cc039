//! `topedge chapter`: the chapter on convolutions of the fastai book, step by step.
//!
//! Each step is an example of this crate, included here: what it prints is what it has computed.

use std::error::Error;
use std::path::{Path, PathBuf};

use topedge::data::write_whole;
use topedge::prelude::*;
use topedge::report::{self, Story, Tell};

use super::failure::Failure;
use super::images::Images;
use super::output;

/// Declares the examples as modules, with their `main` left aside, and lists them.
macro_rules! steps {
    ($($file:literal $module:ident $title:literal,)*) => {
        $(
            #[allow(dead_code)]
            #[path = $file]
            mod $module;
        )*
        const STEPS: &[Step] = &[$(Step { title: $title, run: $module::run },)*];
    };
}

struct Step {
    title: &'static str,
    run: Run,
}

/// Looks at the data, and writes what it has found.
type Run = fn(&Splits, &mut dyn Tell) -> Result<(), Box<dyn Error>>;

steps! {
    "../../examples/01_edges.rs" edges "Edges",
    "../../examples/02_feature_maps.rs" feature_maps "Feature maps",
    "../../examples/03_padding_and_strides.rs" padding_and_strides "Padding and strides",
    "../../examples/04_first_cnn.rs" first_cnn "The first CNN: 3 or 7?",
    "../../examples/05_convolution_arithmetic.rs" convolution_arithmetic "Convolution arithmetic",
    "../../examples/06_receptive_fields.rs" receptive_fields "Receptive fields",
    "../../examples/07_colour.rs" colour "Colour",
    "../../examples/08_unstable_run.rs" unstable_run "An unstable run",
    "../../examples/09_batch_size.rs" batch_size "Batch size",
    "../../examples/10_one_cycle.rs" one_cycle "1cycle",
    "../../examples/11_batch_norm.rs" batch_norm "Batch norm",
}

/// Walks through the fastai book's chapter on convolutions, step by step
#[derive(clap::Args)]
#[command(
    long_about = "\
Walks through the fastai book's chapter 13, on convolutions, step by step.

Each step answers some of the chapter's questions (Q1, Q2, ...; here in other words) with facts, computed
on the spot. Runs that train say what really happened in them; with other data, or another processor, that
may differ.

All steps end with the page of the whole story, chapter.html: one file with what they print, and pictures.

Each step is also a program to read and change: crates/topedge/examples/01_edges.rs and so on, started
by cargo run --release --example 01_edges.",
    after_help = "\
Examples:
  topedge chapter                       all steps, on digits that it draws
  topedge chapter --data mnist          on MNIST, as the book
  topedge chapter 8 --data mnist        one step
  topedge chapter 6 --out step.html     and its pictures

Steps:
   1 edges                     5 convolution arithmetic     9 batch size
   2 feature maps              6 receptive fields          10 1cycle
   3 padding and strides       7 colour                    11 batch norm
   4 the first CNN             8 an unstable run"
)]
pub(crate) struct Args {
    /// The step [default: all]
    #[arg(value_name = "STEP", value_parser = clap::value_parser!(u8).range(1..=11))]
    step: Option<u8>,
    /// A folder with MNIST's IDX files, or with its images [default: digits are drawn]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the page goes [default: chapter.html after all steps; after a single one there is none]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let data = Images { data: args.data.clone(), ..Default::default() };
    let data = data.load(Digits::default().seed)?;
    let (shape, vocab) = (data.train.image_shape(), data.train.vocab());
    if shape != [1, 28, 28] || vocab.len() != 10 || vocab.concat() != "0123456789" {
        let found = format!("has images {shape:?} of the classes {}", vocab.join(", "));
        return Err(Failure::flag("--data", found, "grey images of 28x28 of the digits 0 to 9"));
    }
    let source = args.data.as_ref().map_or("digits that it drew".to_string(), |dir| {
        dir.file_name().map_or(dir.as_os_str(), |name| name).to_string_lossy().into_owned()
    });
    let page = args.out.as_deref().or(args.step.is_none().then_some(Path::new("chapter.html")));
    if let Some(page) = page
        && let Some(folder) = page.parent().filter(|folder| !folder.as_os_str().is_empty())
        && !folder.is_dir()
    {
        let expected = format!("a file in a folder that exists, and {} is none", folder.display());
        return Err(Failure::flag("--out", page.display(), expected));
    }
    let title =
        args.step.map_or("Convolutions, step by step", |step| STEPS[usize::from(step) - 1].title);
    let mut story = Story {
        title: title.to_string(),
        introduction: format!(
            "The chapter on convolutions of the fastai book, with topedge, on {source}. Its questions, \
             in other words but with their numbers, are answered by what was computed for this page."
        ),
        steps: vec![],
    };
    for (i, step) in STEPS.iter().enumerate() {
        if args.step.is_some_and(|wanted| usize::from(wanted) != i + 1) {
            continue;
        }
        output::line(format_args!("{}. {}", i + 1, step.title))?;
        let mut told = report::Step::new(&format!("{}. {}", i + 1, step.title));
        (step.run)(&data, &mut told)
            .map_err(|error| Failure::Failed(format!("step {}: {error}", i + 1)))?;
        output::line(told.text())?;
        story.steps.push(told);
    }
    if let Some(page) = page {
        write_whole(page, story.html().as_bytes()).map_err(Failure::io("write", page))?;
        let what = if args.step.is_some() { "the step" } else { "the whole story" };
        output::line(format_args!("{what}, with pictures: {}", page.display()))?;
    }
    Ok(())
}
