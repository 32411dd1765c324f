//! What another program wrote, fit for a page and a log.

use std::fmt::Write;

/// The most characters of an excerpt.
const LIMIT: usize = 80;

/// The beginning of the text, with everything escaped that does not print: line ends, control
/// sequences of terminals, marks that turn the direction of the text.
pub(crate) fn excerpt(text: &str) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == LIMIT {
            out.push('…');
            break;
        }
        match c {
            '"' | '\'' | '\\' => out.push(c),
            _ => {
                let _ = write!(out, "{}", c.escape_debug());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_print_is_escaped_and_what_is_long_is_shortened() {
        assert_eq!(excerpt("\"down\""), "\"down\"");
        assert_eq!(excerpt("a\r\n\u{1b}[31mb\u{202e}c"), "a\\r\\n\\u{1b}[31mb\\u{202e}c");
        assert_eq!(excerpt(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(excerpt(&"é".repeat(81)), "é".repeat(80) + "…");
    }
}
