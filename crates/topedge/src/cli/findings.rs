//! What the diagnosis of a run says, in the terminal.

use serde::Serialize;
use topedge::nn::{Finding, FindingKind, Severity};

use super::failure::Failure;
use super::output;

/// For people: each with what to try, the same advice once; empty where nothing was found.
pub(crate) fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for (i, finding) in findings.iter().enumerate() {
        if i == 0 {
            text += "\nWhat looks wrong:\n";
        }
        text += &format!("  {}\n", finding.text);
        if findings[..i].iter().all(|earlier| earlier.advice != finding.advice) {
            text += &format!("    to try: {}\n", finding.advice);
        }
    }
    text
}

/// A finding for a program.
#[derive(Serialize)]
struct FindingEvent<'a> {
    event: &'static str,
    severity: Severity,
    kind: FindingKind,
    layer: Option<&'a str>,
    batch: Option<usize>,
    text: &'a str,
    advice: &'a str,
}

/// A line for each.
pub(crate) fn json(findings: &[Finding]) -> Result<Vec<String>, Failure> {
    let line = |finding: &Finding| {
        let Finding { severity, kind, layer, batch, text, advice } = finding;
        Ok(output::json(&FindingEvent {
            event: "finding",
            severity: *severity,
            kind: *kind,
            layer: layer.as_deref(),
            batch: *batch,
            text,
            advice,
        })?)
    };
    findings.iter().map(line).collect()
}
