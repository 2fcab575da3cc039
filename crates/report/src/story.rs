//! A story in steps, each of text and figures: what a program has found, to be read in a browser.

use std::io::{self, Stdout, Write};

use crate::figure::Figure;
use crate::html::escape;
use crate::page::document::{Section, document};

/// Where a program tells what it finds: text is written, and figures stand between.
pub trait Tell: Write {
    /// Shows a figure, if there is a place for it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    fn figure(&mut self, caption: &str, figure: Figure) -> io::Result<()>;
}

/// Text alone: figures are left out.
impl Tell for Stdout {
    fn figure(&mut self, _: &str, _: Figure) -> io::Result<()> {
        Ok(())
    }
}

/// Steps, one after another.
///
/// ```
/// use std::io::Write;
/// use topedge_report::{Picture, Step, Story, Tell};
///
/// let mut step = Step::new("Edges");
/// writeln!(step, "Q4   zeros give 0")?;
/// step.figure("one white pixel", Picture::image(&[255], [1, 1, 1])?.figure())?;
/// let story = Story { title: "Convolutions".to_string(), steps: vec![step], ..Default::default() };
/// assert!(story.html().contains("one white pixel"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// What it is about.
    pub title: String,
    /// What is to be known beforehand.
    pub introduction: String,
    /// The steps.
    pub steps: Vec<Step>,
}

/// A step of a [`Story`]. Lines that begin with the number of a question, as in `Q3`, answer it, with all
/// lines up to the next such.
#[derive(Clone, Debug, Default)]
pub struct Step {
    title: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(Vec<u8>),
    Figure { caption: String, figure: Figure },
}

impl Step {
    /// With nothing in it yet.
    pub fn new(title: &str) -> Step {
        Step { title: title.to_string(), parts: vec![] }
    }

    /// All that was written.
    pub fn text(&self) -> String {
        let texts = self.parts.iter().map(|part| match part {
            Part::Text(bytes) => String::from_utf8_lossy(bytes),
            Part::Figure { .. } => "".into(),
        });
        texts.collect()
    }

    fn html(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(bytes) => facts(&String::from_utf8_lossy(bytes)),
            Part::Figure { caption, figure } => {
                let (figure, caption) = (figure.html(), escape(caption));
                format!(
                    "<figure class=\"shown\">\n{figure}<figcaption>{caption}</figcaption></figure>\n"
                )
            }
        };
        self.parts.iter().map(part).collect()
    }
}

impl Write for Step {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.extend_from_slice(bytes),
            _ => self.parts.push(Part::Text(bytes.to_vec())),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tell for Step {
    fn figure(&mut self, caption: &str, figure: Figure) -> io::Result<()> {
        self.parts.push(Part::Figure { caption: caption.to_string(), figure });
        Ok(())
    }
}

impl Story {
    /// The whole page. It loads nothing: figures and style are inside.
    pub fn html(&self) -> String {
        let steps = self.steps.iter().enumerate().map(|(i, step)| Section {
            id: format!("step-{}", i + 1),
            heading: step.title.clone(),
            body: step.html(),
        });
        let mut steps: Vec<_> = steps.collect();
        if let (Some(first), false) = (steps.first_mut(), self.introduction.is_empty()) {
            first.body = format!("<p>{}</p>\n{}", escape(&self.introduction), first.body);
        }
        document(&self.title, &steps, &[])
    }
}

/// Text as answers to questions, each with its number beside it.
fn facts(text: &str) -> String {
    /// The question's number is written into the first columns.
    const INDENT: usize = 5;
    let mut facts: Vec<(&str, Vec<&str>)> = vec![];
    for line in text.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        let number = first.strip_prefix('Q').filter(|rest| rest.parse::<u32>().is_ok());
        let indented = line.get(INDENT..).filter(|_| number.is_some() || line.starts_with("     "));
        match facts.last_mut() {
            Some((_, lines)) if number.is_none() => lines.push(indented.unwrap_or(line)),
            _ => facts.push((number.map_or("", |_| first), vec![indented.unwrap_or(line)])),
        }
    }
    let fact = |(question, lines): (&str, Vec<&str>)| {
        let mut html = String::new();
        for some in lines.chunk_by(|a, b| is_row(a) == is_row(b)) {
            let text = some.iter().copied().map(escape).collect::<Vec<_>>().join("\n");
            html += &match is_row(some[0]) {
                true => format!("<code class=\"rows\">{text}</code>"),
                false => format!("<code>{text}</code>"),
            };
        }
        format!("<div class=\"fact\"><b>{question}</b><pre>{html}</pre></div>\n")
    };
    facts.into_iter().map(fact).collect()
}

/// Whether a line is part of a table or a drawing, and must not be broken.
fn is_row(line: &str) -> bool {
    line.trim().contains("  ") || line.contains('|')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Picture;

    #[test]
    fn text_is_answers_and_figures_stand_between() {
        let mut step = Step::new("<Edges>");
        let text = "Q1   a <b>\n       deeper\nQ22  two\n     1   2\n     3   4\n";
        write!(step, "{text}").unwrap();
        let picture = Picture::image(&[0, 255], [1, 1, 2]).unwrap();
        step.figure("c&d", picture.figure()).unwrap();
        writeln!(step, "     on").unwrap();
        assert_eq!(step.text(), format!("{text}     on\n"));
        let story = Story {
            title: "<t>".to_string(),
            introduction: "first".to_string(),
            steps: vec![step],
        };
        let html = story.html();
        let expected = [
            "<h2>&lt;Edges&gt;</h2>",
            "<p>first</p>",
            "<b>Q1</b><pre><code>a &lt;b&gt;\n  deeper</code></pre>",
            "<b>Q22</b><pre><code>two</code><code class=\"rows\">1   2\n3   4</code></pre>",
            "<figcaption>c&amp;d</figcaption>",
            "<b></b><pre><code>on</code></pre>",
        ];
        let places: Vec<_> = expected.iter().map(|part| html.find(part)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} {html}");
    }
}
