//! What a user is called.

use std::fmt;
use std::str::FromStr;

/// Most characters of a name.
pub(crate) const MAX_NAME: usize = 64;

/// 1 to 64 characters, none of them a control character, and without space around them. It may be HTML all
/// the same: a page must escape it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct UserName(String);

impl UserName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim();
        let fits = (1..=MAX_NAME).contains(&name.chars().take(MAX_NAME + 1).count());
        if fits && !name.chars().any(char::is_control) {
            Ok(Self(name.to_owned()))
        } else {
            Err(format!("`user` must have 1 to {MAX_NAME} characters, and no control characters"))
        }
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::UserName;

    #[test]
    fn a_name_is_short_and_printable() {
        let long = "é".repeat(64);
        for (text, name) in
            [("ada", "ada"), (" Ada Lovelace ", "Ada Lovelace"), ("<b>", "<b>"), (&long, &long)]
        {
            assert_eq!(text.parse::<UserName>().unwrap().as_str(), name);
        }
        for text in ["", " ", "a\nb", "a\0", "\u{1b}[31m", "a\u{85}b", &"é".repeat(65)] {
            assert!(text.parse::<UserName>().is_err(), "{text:?}");
        }
    }
}
