//! `script = [...]`: what a check sends and expects, as it is written.

use std::time::Duration;

use equipoise_tokio::probe::{Script, ScriptBuilder, TlsClient};
use serde::Deserialize;

use super::named;
use crate::StartError;

/// One step: exactly one of the four, and `within` beside one that expects something.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepSection {
    send: Option<String>,
    expect: Option<String>,
    expect_prefix: Option<String>,
    expect_regex: Option<String>,
    within: Option<usize>,
}

/// The script, checked; `timeout` is the check's.
pub(super) fn script(
    at: &str,
    steps: &[StepSection],
    tls: Option<TlsClient>,
    timeout: Duration,
) -> Result<Script, StartError> {
    // The script says what it still waits for, a little before the check is given up.
    let early = (timeout / 10).min(Duration::from_millis(10));
    let mut script = Script::builder().deadline(timeout.saturating_sub(early));
    for (index, step) in steps.iter().enumerate() {
        script = step.add(&format!("{at}.script[{index}]"), script)?;
    }
    if let Some(client) = tls {
        script = script.tls(client);
    }
    script.build().map_err(|error| named(at, "script", error.field(), error))
}

impl StepSection {
    /// Adds it to those before.
    fn add(&self, at: &str, script: ScriptBuilder) -> Result<ScriptBuilder, StartError> {
        let given = [
            ("send", &self.send),
            ("expect", &self.expect),
            ("expect_prefix", &self.expect_prefix),
            ("expect_regex", &self.expect_regex),
        ];
        let mut given = given.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let Some((name, text)) = given.next() else {
            let missing = "give `send`, `expect`, `expect_prefix` or `expect_regex`";
            return Err(StartError::new(at, missing));
        };
        if let Some((other, _)) = given.next() {
            let wrong = format!("`{name}` is given as well; a step does one of them");
            return Err(StartError::new(format!("{at}.{other}"), wrong));
        }
        let bytes =
            || unescape(text).map_err(|wrong| StartError::new(format!("{at}.{name}"), wrong));
        let script = match name {
            "send" => script.send(bytes()?),
            "expect" => script.expect(bytes()?),
            "expect_prefix" => script.expect_prefix(bytes()?),
            _ => script.expect_regex(text),
        };
        Ok(match self.within {
            Some(limit) => script.within(limit),
            None => script,
        })
    }
}

/// Not what is sent: it may be a password.
impl std::fmt::Debug for StepSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepSection")
            .field("send", &self.send.as_ref().map(String::len))
            .field("expect", &self.expect)
            .field("expect_prefix", &self.expect_prefix)
            .field("expect_regex", &self.expect_regex)
            .field("within", &self.within)
            .finish()
    }
}

/// The bytes of a text: `\r`, `\n`, `\t`, `\0`, `\\` and `\xff` are one each, the rest is itself.
///
/// TOML has no way to write a byte that is no text. What its own escapes have made of a text in double
/// quotes is left as it is, so that "\r\n" and '\r\n' are the same.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                let value = value.and_then(|value| u8::try_from(value).ok());
                value.ok_or("two hexadecimal digits must follow `\\x`")?
            }
            _ => return Err("after `\\` must come r, n, t, 0, \\ or x and two digits".to_owned()),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_text_with_escapes() {
        assert_eq!(unescape(r"PING\r\n").unwrap(), b"PING\r\n");
        assert_eq!(unescape("PING\r\n").unwrap(), b"PING\r\n");
        assert_eq!(unescape(r"\x00\0\xfF\\x\té").unwrap(), b"\0\0\xff\\x\t\xc3\xa9");
        for bad in [r"\", r"\q", r"\x", r"\x1", r"\xg0", r"\x0g", "\\x+1", "\\xé"] {
            assert!(unescape(bad).is_err(), "{bad}");
        }
    }
}
