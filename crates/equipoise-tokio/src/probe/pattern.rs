//! What a step of a script expects of the bytes that come.

use std::fmt;

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

use crate::excerpt::{excerpt, excerpt_bytes};

/// The most bytes of a text or a regular expression.
const TEXT_LIMIT: usize = 4096;
/// The most memory of a compiled regular expression, in bytes.
const REGEX_LIMIT: usize = 256 * 1024;

/// A condition on bytes that come piece by piece.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// They have these in them.
    Contains(Box<Finder<'static>>),
    /// They begin with these.
    Prefix(Box<[u8]>),
    /// They have a match in them; and how it is written.
    Regex(Regex, Box<str>),
}

/// What the bytes so far come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// It holds, and so many bytes were needed for it.
    Yes(usize),
    /// It can't hold any more.
    Never,
    /// It may hold with more bytes.
    NotYet,
}

impl Pattern {
    pub(super) fn contains(bytes: &[u8]) -> Result<Self, String> {
        check(bytes)?;
        Ok(Self::Contains(Box::new(Finder::new(bytes).into_owned())))
    }

    pub(super) fn prefix(bytes: &[u8]) -> Result<Self, String> {
        check(bytes)?;
        Ok(Self::Prefix(bytes.into()))
    }

    pub(super) fn regex(text: &str) -> Result<Self, String> {
        check(text.as_bytes())?;
        let regex = RegexBuilder::new(text)
            .size_limit(REGEX_LIMIT)
            .dfa_size_limit(REGEX_LIMIT)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self::Regex(regex, text.into()))
    }

    /// The fewest bytes for which it can hold.
    pub(super) fn shortest(&self) -> usize {
        match self {
            Self::Contains(finder) => finder.needle().len(),
            Self::Prefix(bytes) => bytes.len(),
            Self::Regex(..) => 0,
        }
    }

    /// Looks at all bytes so far, of which `old` were looked at before.
    pub(super) fn find(&self, bytes: &[u8], old: usize) -> Found {
        match self {
            Self::Contains(finder) => {
                let length = finder.needle().len();
                // A match may begin in what is old.
                let from = old.saturating_sub(length - 1).min(bytes.len());
                let at = finder.find(&bytes[from..]);
                at.map_or(Found::NotYet, |at| Found::Yes(from + at + length))
            }
            Self::Prefix(wanted) if bytes.starts_with(wanted) => Found::Yes(wanted.len()),
            Self::Prefix(wanted) if wanted.starts_with(bytes) => Found::NotYet,
            Self::Prefix(_) => Found::Never,
            Self::Regex(regex, _) => {
                regex.find(bytes).map_or(Found::NotYet, |found| Found::Yes(found.end()))
            }
        }
    }
}

fn check(text: &[u8]) -> Result<(), String> {
    if (1..=TEXT_LIMIT).contains(&text.len()) {
        return Ok(());
    }
    Err(format!("it has 1 to {TEXT_LIMIT} bytes, not {}", text.len()))
}

/// As the step of a configuration that asks for it.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(finder) => write!(f, "expect `{}`", excerpt_bytes(finder.needle())),
            Self::Prefix(bytes) => write!(f, "expect_prefix `{}`", excerpt_bytes(bytes)),
            Self::Regex(_, text) => write!(f, "expect_regex `{}`", excerpt(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_across_pieces_and_a_prefix_at_the_beginning_alone() {
        let text = Pattern::contains(b"PONG").unwrap();
        assert_eq!(text.find(b"+PO", 0), Found::NotYet);
        assert_eq!(text.find(b"+PONG\r\n", 3), Found::Yes(5));
        assert_eq!(text.find(b"+PONPONG", 4), Found::Yes(8));
        let prefix = Pattern::prefix(b"220 ").unwrap();
        assert_eq!(prefix.find(b"", 0), Found::NotYet);
        assert_eq!(prefix.find(b"22", 0), Found::NotYet);
        assert_eq!(prefix.find(b"220 mail", 2), Found::Yes(4));
        assert_eq!(prefix.find(b"221", 2), Found::Never);
        assert_eq!(prefix.find(b" 220 ", 0), Found::Never);
    }

    #[test]
    fn a_regex_looks_at_bytes() {
        let greeting = Pattern::regex(r"(?s-u)^.{3}\x00\x0a").unwrap();
        assert_eq!(greeting.find(b"\x4a\x00\x00\x00", 0), Found::NotYet);
        assert_eq!(greeting.find(b"\xff\x00\x00\x00\x0a8.4", 4), Found::Yes(5));
        assert_eq!(greeting.find(b"\xff\x00\x00\x00\xff\x6a", 4), Found::NotYet);
    }

    #[test]
    fn what_is_empty_or_too_long_or_does_not_compile_is_refused() {
        let long = "a".repeat(4097);
        for bad in ["", &long] {
            assert!(Pattern::contains(bad.as_bytes()).is_err());
            assert!(Pattern::prefix(bad.as_bytes()).is_err());
        }
        for bad in ["", &long, "(", "a{1,100}{1,100}{1,100}"] {
            assert!(Pattern::regex(bad).is_err(), "{bad}");
        }
    }
}
