//! Why a proxy does not start.

use std::fmt;

/// Why a proxy does not start: what is wrong, and how. One line, whatever it was made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartError(String);

impl StartError {
    /// `thing` is a field, a file, an address: what the reader has to look at.
    pub fn new(thing: impl fmt::Display, wrong: impl fmt::Display) -> Self {
        Self(one_line(&format!("{thing}: {wrong}")))
    }

    /// An error whose text names the thing itself.
    pub fn plain(text: impl fmt::Display) -> Self {
        Self(one_line(&text.to_string()))
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// Joins the lines; other control characters, which a terminal might obey, are escaped.
fn one_line(text: &str) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let escape =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    joined.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::StartError;

    #[test]
    fn it_is_one_line_without_control_characters() {
        let error = StartError::new("a\nb", "c\r\n\td\u{1b}[31m");
        assert_eq!(error.to_string(), "a b: c d\\u{1b}[31m");
    }
}
