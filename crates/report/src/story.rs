//! A story in steps, each of text and figures: what a program has found, to be read in a browser.

use std::io::{self, Stdout, Write};

use crate::figure::Figure;
use crate::html::escape;
use crate::page::document::{Section, document};

/// Where a program tells what it finds: questions, text that answers them, and figures between.
///
/// An answer's lines are sentences, indented by five columns. What is indented deeper is shown as it is: tables,
/// drawings, code.
pub trait Tell: Write {
    /// Asks the question that the text up to the next one answers.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    fn question(&mut self, number: u32, question: &str) -> io::Result<()>;

    /// Shows a figure, if there is a place for it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    fn figure(&mut self, caption: &str, figure: Figure) -> io::Result<()>;
}

/// A question as lines of text.
fn asked(number: u32, question: &str) -> String {
    format!("\n{:<5}{question}\n", format!("Q{number}"))
}

/// Text alone: figures are left out.
impl Tell for Stdout {
    fn question(&mut self, number: u32, question: &str) -> io::Result<()> {
        self.write_all(asked(number, question).as_bytes())
    }

    fn figure(&mut self, _: &str, _: Figure) -> io::Result<()> {
        Ok(())
    }
}

/// Steps, one after another.
///
/// ```
/// use std::io::Write;
///
/// use topedge_report::{Picture, Step, Story, Tell};
///
/// let mut step = Step::new("Edges");
/// step.question(4, "What does a kernel make of zeros?")?;
/// writeln!(step, "     It makes 0 of them.")?;
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

/// A step of a [`Story`].
#[derive(Clone, Debug, Default)]
pub struct Step {
    title: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Question { number: u32, question: String },
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
            Part::Question { number, question } => asked(*number, question).into(),
            Part::Text(bytes) => String::from_utf8_lossy(bytes),
            Part::Figure { .. } => "".into(),
        });
        texts.collect()
    }

    fn html(&self) -> String {
        let part = |part: &Part| match part {
            Part::Question { number, question } => {
                let question = escape(question);
                format!("<div class=\"fact\"><b>Q{number}</b><h3>{question}</h3></div>\n")
            }
            Part::Text(bytes) => answer(&String::from_utf8_lossy(bytes)),
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
    fn question(&mut self, number: u32, question: &str) -> io::Result<()> {
        self.parts.push(Part::Question { number, question: question.to_string() });
        Ok(())
    }

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

/// Lines as an answer: sentences, and what is shown as it is.
fn answer(text: &str) -> String {
    let mut html = "<div class=\"answer\">\n".to_string();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    for some in lines.chunk_by(|a, b| as_it_is(a).is_some() && as_it_is(b).is_some()) {
        let rows: Vec<_> = some.iter().filter_map(|line| as_it_is(line)).map(escape).collect();
        html += &match &rows[..] {
            [] => format!("<p>{}</p>\n", escape(some[0].trim())),
            rows => format!("<pre>{}</pre>\n", rows.join("\n")),
        };
    }
    html + "</div>\n"
}

/// What stands in a line that is part of a table, a drawing or code.
fn as_it_is(line: &str) -> Option<&str> {
    line.strip_prefix("       ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Picture;

    #[test]
    fn text_is_answers_and_figures_stand_between() {
        let mut step = Step::new("<Edges>");
        step.question(1, "Is a < b?").unwrap();
        writeln!(step, "     One <sentence>.\n     Another.").unwrap();
        step.question(22, "And these?").unwrap();
        writeln!(step, "     A table:\n       1   2\n         4").unwrap();
        let picture = Picture::image(&[0, 255], [1, 1, 2]).unwrap();
        step.figure("c&d", picture.figure()).unwrap();
        writeln!(step, "     on").unwrap();
        let text = "\nQ1   Is a < b?\n     One <sentence>.\n     Another.\n\nQ22  And these?\n     A table:\n       \
                    1   2\n         4\n     on\n";
        assert_eq!(step.text(), text);
        let story = Story {
            title: "<t>".to_string(),
            introduction: "first".to_string(),
            steps: vec![step],
        };
        let html = story.html();
        let expected = [
            "<h2>&lt;Edges&gt;</h2>",
            "<p>first</p>",
            "<b>Q1</b><h3>Is a &lt; b?</h3>",
            "<p>One &lt;sentence&gt;.</p>\n<p>Another.</p>",
            "<b>Q22</b><h3>And these?</h3>",
            "<p>A table:</p>\n<pre>1   2\n  4</pre>",
            "<figcaption>c&amp;d</figcaption>",
            "<p>on</p>",
        ];
        let places: Vec<_> = expected.iter().map(|part| html.find(part)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} {html}");
    }
}
