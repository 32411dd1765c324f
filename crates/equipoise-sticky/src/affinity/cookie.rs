//! The cookies of a request: find one, take one out.
//!
//! A line is the value of one `Cookie` header; a request may have several. They are split as RFC 6265
//! says, sections 4.2 and 5.2: at every semicolon, also between quotes, and each part at its first
//! equals sign. Names count upper and lower case as different. Blanks around names and values don't
//! count, nor does a pair of quotes around a value. A part without an equals sign is no cookie. Any
//! bytes will do, in any number: the time is linear in them.
//!
//! ```
//! use equipoise_sticky::affinity::cookie::{self, Edit};
//!
//! let lines: [&[u8]; 2] = [b"lang=en; srv=made-up; theme=dark", b"srv=sealed"];
//! let open = |value: &[u8]| (value == b"sealed").then_some(7);
//! let found = cookie::first_that_opens(cookie::values(lines, "srv"), open);
//! assert_eq!((found.opened, found.refused, found.ignored), (Some(7), 1, 0));
//!
//! // The backend is not to see it.
//! assert_eq!(cookie::without(lines[0], "srv"), Edit::Changed(b"lang=en; theme=dark".to_vec()));
//! assert_eq!(cookie::without(lines[1], "srv"), Edit::Dropped);
//! ```

mod date;
pub mod learn;
pub mod prefix;

use alloc::vec::Vec;

/// How many cookies of our name are tried.
pub const MAX_TRIED: usize = 4;

/// What becomes of a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Edit {
    /// It stays as it is.
    Kept,
    /// It has this value instead.
    Changed(Vec<u8>),
    /// It has nothing left, and goes.
    Dropped,
}

/// What came of the cookies of one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found<T> {
    /// What the first one holds that opens.
    pub opened: Option<T>,
    /// How many did not open.
    pub refused: usize,
    /// How many were not tried: they came after one that opens, or after [`MAX_TRIED`] others.
    pub ignored: usize,
}

/// Whether a cookie may have this name: 1 to 64 characters of those that RFC 6265 allows, which are
/// visible ASCII characters and no separators.
///
/// ```
/// use equipoise_sticky::affinity::cookie;
///
/// assert!(cookie::is_name("JSESSIONID") && cookie::is_name("__Host-srv"));
/// assert!(!cookie::is_name("") && !cookie::is_name("a b") && !cookie::is_name("a=b"));
/// ```
pub fn is_name(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_token)
}

/// The values of all cookies of this name, without those that are empty.
pub fn values<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    name: &str,
) -> impl Iterator<Item = &'a [u8]> {
    raw_values(lines, name).map(unquoted).filter(|value| !value.is_empty())
}

/// Whether there is a cookie of this name, be it an empty one: that is of no use, and no new client's.
pub fn is_sent<'a>(lines: impl IntoIterator<Item = &'a [u8]>, name: &str) -> bool {
    raw_values(lines, name).next().is_some()
}

/// The values with their quotes.
fn raw_values<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    name: &str,
) -> impl Iterator<Item = &'a [u8]> {
    let pairs = lines.into_iter().flat_map(parts).filter_map(Pair::of);
    pairs.filter(|pair| pair.is(name)).map(|pair| pair.value)
}

/// The first of the values that opens. A client may send several: of one domain and of one above it,
/// of several paths, or made up. No more than [`MAX_TRIED`] of them are tried, as to try one costs more
/// than to send it.
pub fn first_that_opens<'a, T>(
    values: impl IntoIterator<Item = &'a [u8]>,
    mut open: impl FnMut(&'a [u8]) -> Option<T>,
) -> Found<T> {
    let mut found = Found { opened: None, refused: 0, ignored: 0 };
    for value in values {
        if found.opened.is_some() || found.refused == MAX_TRIED {
            found.ignored += 1;
            continue;
        }
        found.opened = open(value);
        found.refused += usize::from(found.opened.is_none());
    }
    found
}

/// A line without the cookies of this name. All others keep their bytes and their order.
pub fn without(line: &[u8], name: &str) -> Edit {
    let is_it = |part: &[u8]| Pair::of(part).is_some_and(|pair| pair.is(name));
    if !parts(line).any(is_it) {
        return Edit::Kept;
    }
    let mut rest = Vec::with_capacity(line.len());
    for (at, part) in parts(line).filter(|part| !is_it(part)).enumerate() {
        if at == 0 {
            rest.extend_from_slice(trimmed_start(part));
        } else {
            rest.push(b';');
            rest.extend_from_slice(part);
        }
    }
    if trimmed(&rest).is_empty() { Edit::Dropped } else { Edit::Changed(rest) }
}

fn parts(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';')
}

/// A part of a line that has an equals sign.
#[derive(Clone, Copy)]
struct Pair<'a> {
    name: &'a [u8],
    /// Where the value begins in the part.
    at: usize,
    value: &'a [u8],
}

impl<'a> Pair<'a> {
    fn of(part: &'a [u8]) -> Option<Self> {
        let equals = part.iter().position(|byte| *byte == b'=')?;
        let (name, rest) = (part.get(..equals)?, part.get(equals + 1..)?);
        let value = trimmed_start(rest);
        let at = part.len() - value.len();
        Some(Self { name: trimmed(name), at, value: trimmed(value) })
    }

    fn is(&self, name: &str) -> bool {
        self.name == name.as_bytes()
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trimmed_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    text
}

fn trimmed(text: &[u8]) -> &[u8] {
    let mut text = trimmed_start(text);
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

fn unquoted(value: &[u8]) -> &[u8] {
    if let [b'"', inner @ .., b'"'] = value { inner } else { value }
}
