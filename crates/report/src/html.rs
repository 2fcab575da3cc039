//! Text inside of HTML and SVG.

/// `text` with everything escaped that means something in markup, also between quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // No character of XML, and none that a person reads.
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_markup() {
        assert_eq!(
            escape("<b a=\"x\" c='y'>&\u{1}"),
            "&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp; "
        );
        assert_eq!(escape("héllo 7"), "héllo 7");
    }
}
