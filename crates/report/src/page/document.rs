//! What all pages are made of: the document around the sections, tables, galleries.

use super::{Captioned, Epoch, Finding, Table};
use crate::figure;
use crate::html::escape;

/// A section of a page.
pub(crate) struct Section {
    pub(crate) id: String,
    pub(crate) heading: String,
    pub(crate) body: String,
}

/// A page that loads nothing: style and scripts are inside.
pub(crate) fn document(title: &str, sections: &[Section], scripts: &[&str]) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{0}</title>\n\
         <style>{1}{2}</style>\n</head>\n<body>\n<header>\n<h1>{0}</h1>\n<nav>",
        escape(title),
        include_str!("style.css"),
        figure::STYLE,
    );
    for section in sections {
        html += &format!("<a href=\"#{}\">{}</a> ", section.id, escape(&section.heading));
    }
    html += "</nav>\n</header>\n<main>\n";
    for section in sections {
        html += &format!(
            "<section id=\"{}\">\n<h2>{}</h2>\n{}</section>\n",
            section.id,
            escape(&section.heading),
            section.body
        );
    }
    html += "</main>\n";
    for script in scripts {
        html += &format!("<script>\n{script}</script>\n");
    }
    html + "</body>\n</html>\n"
}

/// What a run came to.
pub(crate) fn numbers(epochs: &[Epoch]) -> String {
    let Some(last) = epochs.last() else {
        return String::new();
    };
    let seconds: f64 = epochs.iter().map(|epoch| epoch.seconds).sum();
    let numbers = [
        ("accuracy", last.accuracy.map(|part| format!("{:.2} %", 100.0 * part))),
        ("validation loss", last.valid_loss.map(|loss| format!("{loss:.4}"))),
        ("training loss", last.train_loss.map(|loss| format!("{loss:.4}"))),
        ("seconds of training", Some(format!("{seconds:.1}"))),
    ];
    let mut html = "<div class=\"numbers\">".to_string();
    for (name, value) in numbers {
        if let Some(value) = value {
            html += &format!("<div><b>{value}</b><span>{name}</span></div>");
        }
    }
    html + "</div>\n"
}

/// What goes wrong; of a run with `epochs`, that nothing does, if it was long enough to be `judged`.
pub(crate) fn findings(findings: &[Finding], epochs: &[Epoch], judged: bool) -> String {
    let mut html = String::new();
    for (i, finding) in findings.iter().enumerate() {
        let class = if finding.failure { "failure" } else { "warning" };
        let (text, advice) = (escape(&finding.text), escape(&finding.advice));
        // The same advice is said once.
        let said = findings[..i].iter().any(|earlier| earlier.advice == finding.advice);
        let advice = if said { String::new() } else { format!("<br>What to try: {advice}.") };
        html += &format!("<p class=\"finding {class}\"><strong>{text}</strong>{advice}</p>\n");
    }
    if findings.is_empty() && !epochs.is_empty() {
        html += match judged {
            true => {
                "<p class=\"finding fine\"><strong>Nothing looks wrong.</strong> The loss fell below that \
                 of a guess, and no layer died, collapsed or exploded.</p>\n"
            }
            false => {
                "<p class=\"finding\"><strong>Too few batches to judge.</strong> More epochs, or smaller \
                 batches, would show whether it learns.</p>\n"
            }
        };
    }
    html
}

/// Empty for a table without rows.
pub(crate) fn table(table: &Table) -> String {
    if table.rows.is_empty() {
        return String::new();
    }
    let class = |column: usize| match table.columns.get(column) {
        Some((_, true)) => " class=\"number\"",
        _ => "",
    };
    let mut html = "<div class=\"scroll\"><table>\n<thead><tr>".to_string();
    for (i, (name, _)) in table.columns.iter().enumerate() {
        html += &format!("<th{}>{}</th>", class(i), escape(name));
    }
    html += "</tr></thead>\n<tbody>\n";
    for row in &table.rows {
        html += "<tr>";
        for (i, cell) in row.iter().enumerate() {
            html += &format!("<td{}>{}</td>", class(i), escape(cell));
        }
        html += "</tr>\n";
    }
    html + "</tbody>\n</table></div>\n"
}

/// Pictures with their captions, whose lines are kept.
pub(crate) fn gallery(pictures: &[Captioned]) -> String {
    let figures = pictures.iter().map(|Captioned { picture, caption }| {
        let lines: Vec<_> = caption.lines().map(escape).collect();
        let (url, caption) = (picture.data_url(), lines.join("<br>"));
        format!("<figure><img src=\"{url}\" alt=\"\"><figcaption>{caption}</figcaption></figure>\n")
    });
    match figures.collect::<String>() {
        html if html.is_empty() => html,
        html if pictures.iter().any(|picture| picture.caption.contains('\n')) => {
            format!("<div class=\"gallery large\">{html}</div>\n")
        }
        html => format!("<div class=\"gallery\">{html}</div>\n"),
    }
}
