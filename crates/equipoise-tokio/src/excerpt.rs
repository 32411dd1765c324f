//! What another program wrote, fit for a page and a log.

use std::fmt::Write;

/// The most characters of an excerpt.
const LIMIT: usize = 80;

/// The beginning of the text, with everything escaped that does not print: line ends, control
/// sequences of terminals, marks that turn the direction of the text.
pub(crate) fn excerpt(text: &str) -> String {
    excerpt_of(text, LIMIT)
}

fn excerpt_of(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == limit {
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

/// The same of bytes; those that are no text are written as `\xff`.
#[cfg(feature = "script")]
pub(crate) fn excerpt_bytes(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut left = LIMIT;
    for chunk in bytes.utf8_chunks() {
        let length = chunk.valid().chars().count();
        out.push_str(&excerpt_of(chunk.valid(), left));
        if length > left || chunk.invalid().len() > left - length {
            if length <= left {
                out.push('…');
            }
            break;
        }
        left -= length + chunk.invalid().len();
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
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

    #[cfg(feature = "script")]
    #[test]
    fn bytes_that_are_no_text_are_shown_by_number() {
        assert_eq!(excerpt_bytes(b"J\0\0\0\x0a8.4\xff\xfe ok"), "J\\0\\0\\0\\n8.4\\xff\\xfe ok");
        assert_eq!(excerpt_bytes(&[0xff; 80]), "\\xff".repeat(80));
        assert_eq!(excerpt_bytes(&[0xff; 81]), "\\xff".repeat(80) + "…");
        assert_eq!(excerpt_bytes(&[b'a'; 81]), "a".repeat(80) + "…");
        assert_eq!(excerpt_bytes(&[&[b'a'; 80][..], &[0xff]].concat()), "a".repeat(80) + "…");
    }
}
