//! A token in front of the application's own cookie, for clients that keep no other.
//!
//! What the application sets goes to the client with a token and a tilde in front of it, and comes
//! back like that; the backend sees what it has set:
//!
//! | | backend | client |
//! |---|---|---|
//! | response | `Set-Cookie: id=abc; Path=/` | `Set-Cookie: id=TOKEN~abc; Path=/` |
//! | request | `Cookie: id=abc` | `Cookie: id=TOKEN~abc` |
//!
//! HAProxy's `cookie NAME prefix` does so too. What has not the form of a token passes as it is: the
//! client had its cookie before there were tokens. A tilde and a token are 64 bytes; browsers keep 4096
//! of a name and a value.
//!
//! # A token is not renewed here
//! The client gets a token when the application sets its cookie, and only then: nobody else knows that
//! cookie's attributes. Many applications set it once, at the login. So the token's `idle` is counted from
//! there, however active the session is, and ends the session's pin in the middle of its work. Let it be
//! longer than any session lasts, as a year; HAProxy's cookies of this kind have no end at all (its
//! `maxidle` and `maxlife` are for inserted ones). Nor does a token tell how long the session was
//! [idle](crate::affinity::token::Tokens::idle), or follow it to another backend, before the application
//! sets its cookie again: so don't move such sessions because their backend has too many.
//!
//! ```
//! use core::time::Duration;
//! use equipoise_core::BackendId;
//! use equipoise_sticky::affinity::cookie::{self, Edit, prefix};
//! use equipoise_sticky::affinity::token::Tokens;
//!
//! let tokens = Tokens::new("web", &[7; 16], Duration::from_secs(1800))?;
//! let (text, token) = tokens.issue(BackendId::new(5), 1_800_000_000, None);
//!
//! let set = prefix::add(b"id=abc; Path=/", "id", &text);
//! assert_eq!(set, Edit::Changed(format!("id={}~abc; Path=/", text.as_str()).into_bytes()));
//!
//! let line = format!("lang=en; id={}~abc", text.as_str());
//! let sent = prefix::tokens([line.as_bytes()], "id");
//! let open = |text: &[u8]| tokens.open(text, 1_800_000_060).ok();
//! assert_eq!(cookie::first_that_opens(sent, open).opened, Some(token));
//! assert_eq!(prefix::strip(line.as_bytes(), "id"), Edit::Changed(b"lang=en; id=abc".to_vec()));
//! # Ok::<(), equipoise_sticky::affinity::token::TokensError>(())
//! ```

use alloc::vec::Vec;

use super::{Edit, Pair, parts, raw_values};
use crate::affinity::token::SealedToken;

/// What stands between a token and the application's value: no token has one.
const SEPARATOR: u8 = b'~';

/// The tokens in front of the values of all cookies of this name, or what looks like tokens.
pub fn tokens<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    name: &str,
) -> impl Iterator<Item = &'a [u8]> {
    raw_values(lines, name).filter_map(split).map(|(token, _)| token)
}

/// A line of a request without the tokens in front of the cookies of this name, whether they open or
/// not. All else keeps its bytes.
pub fn strip(line: &[u8], name: &str) -> Edit {
    let split_part = |part| {
        Pair::of(part).filter(|pair| pair.is(name)).and_then(|pair| {
            let (token, _) = split(pair.value)?;
            let quote = usize::from(pair.value.first() == Some(&b'"'));
            let start = pair.at + quote;
            Some((start, start + token.len() + 1))
        })
    };
    if !parts(line).any(|part| split_part(part).is_some()) {
        return Edit::Kept;
    }
    let mut stripped = Vec::with_capacity(line.len());
    for (at, part) in parts(line).enumerate() {
        if at > 0 {
            stripped.push(b';');
        }
        let (start, end) = split_part(part).unwrap_or_default();
        let kept = [part.get(..start), part.get(end..)];
        kept.into_iter().flatten().for_each(|kept| stripped.extend_from_slice(kept));
    }
    Edit::Changed(stripped)
}

/// A `Set-Cookie` of the application with a token in front of the cookie's value, if the cookie has
/// this name and a value. The attributes keep their bytes. [`strip`] takes off what this puts on.
pub fn add(line: &[u8], name: &str, token: &SealedToken) -> Edit {
    let pair = parts(line).next().and_then(Pair::of).filter(|pair| pair.is(name));
    let Some(pair) = pair.filter(|pair| !pair.value.is_empty()) else { return Edit::Kept };
    // Quotes stand around a value: the token goes between them.
    let at = pair.at + usize::from(pair.value.first() == Some(&b'"'));
    let Some((before, after)) = line.split_at_checked(at) else { return Edit::Kept };
    let token = token.as_str().as_bytes();
    Edit::Changed([before, token, &[SEPARATOR], after].concat())
}

/// A value's token, or what looks like one, and the rest.
fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let (token, rest) = value.split_at_checked(SealedToken::LEN)?;
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let rest = rest.strip_prefix(&[SEPARATOR])?;
    token.iter().all(is_token).then_some((token, rest))
}
