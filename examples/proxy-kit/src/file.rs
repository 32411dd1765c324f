//! A TOML file, and errors that fit on a line.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::StartError;

/// Longest piece of the file that an error quotes.
const QUOTED: usize = 80;

/// Reads a configuration file.
///
/// # Errors
/// Names the file.
pub fn read(path: &Path) -> Result<String, StartError> {
    fs::read_to_string(path).map_err(|error| StartError::new(path.display(), error))
}

/// Reads a configuration's text into its model; `name` is what the errors call it.
///
/// # Errors
/// Names the file, the line, the column and the text there.
pub fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, StartError> {
    toml::from_str(text).map_err(|error| {
        let Some(span) = error.span() else { return StartError::new(name, error.message()) };
        let (line, column, quote) = place(text, span.start);
        let place = format!("{name}:{line}:{column}");
        StartError::new(place, format!("{} (at `{quote}`)", error.message().trim_end()))
    })
}

/// Line and column, both from 1, and the beginning of the line.
fn place(text: &str, at: usize) -> (usize, usize, String) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let column = before[start..].chars().count() + 1;
    let quote = without_secret(line.trim()).chars().take(QUOTED).collect();
    (before.matches('\n').count() + 1, column, quote)
}

/// A log is no place for a secret or a token, not even for one that is written wrong. Of a list over several
/// lines each secret has one that does not say so, and a URL may hold a password.
fn without_secret(line: &str) -> &str {
    // That says what is sent, and is no secret; it has as many characters.
    let lower = line.to_ascii_lowercase().replace("send_proxy", "with_proxy");
    let end = |word: &str| lower.find(word).map(|at| at + word.len());
    let ends = ["secret", "token", "send", "://"].into_iter().filter_map(end);
    let end = ends.chain(hexadecimal(&lower)).min();
    end.map_or(line, |end| &line[..end])
}

/// Where so many hexadecimal digits begin that they are hardly anything but a secret.
fn hexadecimal(line: &str) -> Option<usize> {
    let are_digits = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    line.as_bytes().windows(16).position(are_digits)
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_place_is_counted_from_one() {
        assert_eq!(place("a = 1\n b = 2\n", 11), (2, 6, "b = 2".to_owned()));
        assert_eq!(place("", 0), (1, 1, String::new()));
    }

    #[test]
    fn a_secret_is_not_quoted() {
        assert_eq!(place("a.Secret = \"00\n", 3).2, "a.Secret");
        assert_eq!(place("a = { b = 1, secret = \"00\", c }", 3).2, "a = { b = 1, secret");
        assert_eq!(place("send_proxy = \"v3\"", 3).2, "send_proxy = \"v3\"");
        assert_eq!(place("{ send = 'a' }", 3).2, "{ send");
        assert_eq!(place("token = \"00\", secret", 3).2, "token");
        assert_eq!(place("\"0123456789aBcDeF\",", 3).2, "\"");
        assert_eq!(place("{ send = 'AUTH pw' }", 3).2, "{ send");
        assert_eq!(place("url = \"redis://:pw@a\"", 3).2, "url = \"redis://");
    }
}
