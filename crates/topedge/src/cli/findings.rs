//! What looks wrong, in the terminal: before training, after each epoch, and at the end.

use std::io;

use serde::Serialize;
use topedge::nn::{Finding, Severity};

use super::failure::Failure;
use super::output;

/// A finding for a program.
#[derive(Serialize)]
struct FindingEvent<'a> {
    event: &'static str,
    #[serde(flatten)]
    finding: &'a Finding,
}

/// A finding as a line of JSON.
fn event(finding: &Finding) -> io::Result<String> {
    output::json(&FindingEvent { event: "finding", finding })
}

/// Says what is odd before training: on standard error, as what comes on standard output is the run; or
/// to a program.
pub(crate) fn warn(findings: &[Finding], json: bool) -> Result<(), Failure> {
    if json {
        return events(findings)?.iter().try_for_each(|event| Ok(output::line(event)?));
    }
    for Finding { text, advice, .. } in findings {
        output::aside(format_args!("warning: {text}; what to try: {advice}"));
    }
    Ok(())
}

/// Says what has gone wrong so far, below the row of an epoch; or to a program.
pub(crate) fn so_far(finding: &Finding, json: bool) -> io::Result<()> {
    if json {
        return output::line(event(finding)?);
    }
    output::line(format_args!("       {}  {}", severity(finding), finding.text))
}

/// A line of JSON for each.
pub(crate) fn events(findings: &[Finding]) -> Result<Vec<String>, Failure> {
    findings.iter().map(|finding| Ok(event(finding)?)).collect()
}

fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Failure => "failure",
        Severity::Warning => "warning",
    }
}

/// All of them for a person, one below the other; nothing of none. An advice that several in a row share
/// comes once.
pub(crate) fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for (i, finding) in findings.iter().enumerate() {
        text += &format!("  {}  {}\n", severity(finding), finding.text);
        let next = findings.get(i + 1);
        if next.is_none_or(|next| next.advice != finding.advice) {
            text += &format!("           what to try: {}\n", finding.advice);
        }
    }
    if text.is_empty() { text } else { format!("\nWhat looks wrong\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use topedge::nn::FindingKind;

    fn finding(severity: Severity, text: &str, advice: &str) -> Finding {
        Finding {
            severity,
            kind: FindingKind::DeadLayer,
            layer: Some("1.0".to_string()),
            batch: Some(7),
            text: text.to_string(),
            advice: advice.to_string(),
        }
    }

    #[test]
    fn a_shared_advice_comes_once() {
        let findings = [
            finding(Severity::Failure, "layer 1.0 is dead", "lower the rate"),
            finding(Severity::Warning, "layer 2.0 collapses", "lower the rate"),
            finding(Severity::Warning, "overfitting", "more images"),
        ];
        assert_eq!(
            text(&findings),
            "\nWhat looks wrong\n  failure  layer 1.0 is dead\n  warning  layer 2.0 collapses\n           \
             what to try: lower the rate\n  warning  overfitting\n           what to try: more images\n"
        );
        assert_eq!(text(&[]), "");
        assert_eq!(
            events(&findings[..1]).unwrap(),
            [
                "{\"event\":\"finding\",\"severity\":\"failure\",\"kind\":\"dead_layer\",\"layer\":\"1.0\",\
              \"batch\":7,\"text\":\"layer 1.0 is dead\",\"advice\":\"lower the rate\"}"
            ]
        );
    }
}
