//! `[admin]`: where it listens, and whom it answers.

use std::fmt;
use std::net::SocketAddr;

use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::StartError;
use crate::flags::parse_listen;

/// `[admin]`, as it is written.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSection {
    /// Where it listens.
    pub address: String,
    /// What a request has to know. Any value at first: an error of the reader would quote it.
    pub token: Option<toml::Value>,
}

/// Where the admin server listens, and whom it answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminSettings {
    address: SocketAddr,
    token: Option<Token>,
}

#[derive(Clone, PartialEq, Eq)]
struct Token(String);

impl AdminSettings {
    /// The shortest and the longest token, in bytes.
    const TOKEN: std::ops::RangeInclusive<usize> = 16..=256;

    /// Checks a section.
    ///
    /// # Errors
    /// An address that is none, or that others can reach although there is no token; a token that is
    /// too short, or that a header can't have.
    pub fn new(section: &AdminSection) -> Result<Self, StartError> {
        let wrong = |wrong| StartError::new("admin.address", wrong);
        let address = parse_listen(&section.address).map_err(wrong)?;
        let token = section.token.as_ref().map(Token::check).transpose()?;
        let settings = Self { address, token };
        settings.for_those_who_may("admin.address", "without admin.token it must be a loopback one")
    }

    /// Without a token, as the flag `--admin` has it.
    ///
    /// # Errors
    /// An address that others can reach.
    pub fn from_flag(address: SocketAddr) -> Result<Self, StartError> {
        let wrong = "it must be a loopback one; for another, give [admin] with a token in the file of \
                     --config";
        Self { address, token: None }.for_those_who_may("--admin", wrong)
    }

    fn for_those_who_may(self, field: &str, wrong: &str) -> Result<Self, StartError> {
        if self.token.is_none() && !self.address.ip().to_canonical().is_loopback() {
            let wrong =
                format!("others can reach {}; {wrong}, such as 127.0.0.1:9000", self.address);
            return Err(StartError::new(field, wrong));
        }
        Ok(self)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether a token has to be known.
    pub(super) const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether this is the token, in a time that does not tell how much of it is right.
    pub(super) fn is_token(&self, given: &str) -> bool {
        let is_same = |token: &Token| bool::from(token.0.as_bytes().ct_eq(given.as_bytes()));
        self.token.as_ref().is_some_and(is_same)
    }
}

impl Token {
    fn check(value: &toml::Value) -> Result<Self, StartError> {
        let is_good = |text: &&str| {
            AdminSettings::TOKEN.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        let text = value.as_str().filter(is_good).ok_or_else(|| {
            let wanted = "not a text of 16 to 256 visible ASCII characters, as `openssl rand -hex 16` \
                          makes";
            StartError::new("admin.token", wanted)
        })?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl fmt::Debug for AdminSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminSection").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn settings(text: &str) -> Result<AdminSettings, String> {
        let section = crate::file::parse("test", text).map_err(|error| error.to_string())?;
        AdminSettings::new(&section).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_token_only_a_loopback_address_will_do() {
        for good in ["127.0.0.1:0", "127.9.9.9:80", "[::1]:9000", "[::ffff:127.0.0.1]:80"] {
            assert!(settings(&format!("address = \"{good}\"")).is_ok(), "{good}");
            assert!(AdminSettings::from_flag(good.parse().unwrap()).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"] {
            let error = settings(&format!("address = \"{bad}\"")).unwrap_err();
            assert!(error.starts_with("admin.address: others can reach"), "{error}");
            let error = AdminSettings::from_flag(bad.parse().unwrap()).unwrap_err().to_string();
            assert!(error.starts_with("--admin: others can reach"), "{error}");
            assert!(settings(&format!("address = \"{bad}\"\ntoken = \"{TOKEN}\"")).is_ok());
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_a_token_is_not_quoted() {
        for (text, named) in [
            ("address = \"localhost:80\"", "admin.address: `localhost:80` is not an IP address"),
            ("", "missing field `address`"),
            (
                "address = \"127.0.0.1:1\"\ntoken = \"0123456789abcde\"",
                "admin.token: not a text of",
            ),
            ("address = \"127.0.0.1:1\"\ntoken = \"0123456789abcde 0\"", "admin.token: "),
            ("address = \"127.0.0.1:1\"\ntoken = 123456789012345678", "admin.token: "),
            ("address = 1\ntoken = \"0123456789abcdef\"", "test:1:"),
            ("address = \"127.0.0.1:1\"\ntoken = \"0123456789abcde", "test:2:"),
        ] {
            let error = settings(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
            assert!(!error.contains("123456789"), "{error}");
        }
    }

    #[test]
    fn a_token_is_compared_whole_and_not_shown() {
        let settings = settings(&format!("address = \"0.0.0.0:1\"\ntoken = \"{TOKEN}\"")).unwrap();
        assert!(settings.is_token(TOKEN));
        for bad in ["", &TOKEN[1..], &TOKEN[..15], "0123456789abcdeF", "0123456789abcdef0"] {
            assert!(!settings.is_token(bad), "{bad}");
        }
        assert!(!format!("{settings:?}").contains("0123"));
    }
}
