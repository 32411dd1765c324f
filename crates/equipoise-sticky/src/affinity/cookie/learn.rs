//! The application's own session id, from what it has its clients keep.
//!
//! A client has a session from the moment when the application sets its cookie, and none any more when
//! the application deletes it. In requests its id is the first of the
//! [values](super::values) of that name.

use super::{Pair, date, parts, unquoted};

/// What a response does to a client's session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change<'a> {
    /// The session has this id now.
    Set(&'a [u8]),
    /// The client has no session any more.
    Deleted,
}

/// What a response's `Set-Cookie` headers do to the cookie of this name, as a browser would take them
/// (RFC 6265, sections 5.2 and 5.3); `None` if they don't mention it. If there are several, the last one
/// counts, whatever its domain and path. `now` is in seconds since 1970.
///
/// A cookie is deleted by a `Max-Age` of 0 or less, by an `Expires` that is not in the future if there is
/// no `Max-Age`, and by an empty value. Attributes that can't be understood are no attributes. Linear in
/// the bytes.
///
/// ```
/// use equipoise_sticky::affinity::cookie::learn::{Change, change};
///
/// let now = 1_800_000_000;
/// let learned = |line: &'static str| change([line.as_bytes()], "id", now);
/// assert_eq!(learned("id=abc; Path=/; HttpOnly"), Some(Change::Set(b"abc")));
/// assert_eq!(learned("id=abc; Max-Age=0"), Some(Change::Deleted));
/// assert_eq!(learned("id=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"), Some(Change::Deleted));
/// assert_eq!(learned("identity=abc"), None);
/// ```
pub fn change<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    name: &str,
    now: u64,
) -> Option<Change<'a>> {
    lines.into_iter().filter_map(|line| change_of_line(line, name, now)).last()
}

fn change_of_line<'a>(line: &'a [u8], name: &str, now: u64) -> Option<Change<'a>> {
    let mut parts = parts(line);
    let pair = Pair::of(parts.next()?).filter(|pair| pair.is(name))?;
    let value = unquoted(pair.value);
    let (mut max_age, mut expires) = (None, None);
    for attribute in parts.filter_map(Pair::of) {
        // Of several that can be understood the last one counts.
        if attribute.name.eq_ignore_ascii_case(b"max-age") {
            max_age = is_over(attribute.value).or(max_age);
        } else if attribute.name.eq_ignore_ascii_case(b"expires") {
            expires = date::seconds(attribute.value)
                .map(|at| at <= i64::try_from(now).unwrap_or(i64::MAX))
                .or(expires);
        }
    }
    let is_over = max_age.or(expires).unwrap_or(false);
    Some(if is_over || value.is_empty() { Change::Deleted } else { Change::Set(value) })
}

/// Whether a `Max-Age` is 0 or less; `None` if it is no number. It may be any number of digits.
fn is_over(max_age: &[u8]) -> Option<bool> {
    let digits = max_age.strip_prefix(b"-").unwrap_or(max_age);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.len() < max_age.len() || digits.iter().all(|digit| *digit == b'0'))
}
