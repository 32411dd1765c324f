//! Keeps shared caches from storing a response that sets a cookie.
//!
//! A cache may store a response with a `Set-Cookie` (RFC 9111, section 7.3), and then sends it to others:
//! all of them have the same pin, and one backend has all clients. nginx does not store such a response
//! unless it is told to; others do. So a response that gets a cookie from the balancer goes out with
//!
//! * `Cache-Control: private` in front of the other directives, and without those that invite a shared
//!   cache: [`private`];
//! * none of the headers that overrule `Cache-Control` in some caches: [`overrules`].
//!
//! The client's own cache may keep it as before. HAProxy's `nocache` adds a `Cache-control: private` and
//! leaves the rest, as a `public` or an `s-maxage` that contradicts it; a cache should then follow the
//! stricter one (RFC 9111, section 4.2.1), and not every cache does.

use alloc::vec::Vec;

/// The value of the one `Cache-Control` header that takes the place of these. Linear in the bytes.
///
/// `private` comes first, so that nothing that follows can swallow it, as would a quote without an end.
/// `public` and `s-maxage` go, and `private="..."`, which would keep only the fields that it names from
/// being stored. All else stays as it is, in its order: no other directive allows a shared cache what
/// `private` forbids (RFC 9111, section 5.2.2.7).
///
/// ```
/// use equipoise_sticky::affinity::cache_guard::private;
///
/// let guarded = |line: &str| String::from_utf8(private([line.as_bytes()])).unwrap();
/// assert_eq!(guarded("public, max-age=60, s-maxage=600"), "private, max-age=60");
/// assert_eq!(guarded("no-store"), "private, no-store");
/// assert_eq!(private([]), b"private"); // there was none
/// ```
pub fn private<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut guarded = b"private".to_vec();
    for directive in lines.into_iter().flat_map(directives) {
        let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        let goes = [&b""[..], b"public", b"private", b"s-maxage"];
        if !goes.iter().any(|other| name.eq_ignore_ascii_case(other)) {
            guarded.extend_from_slice(b", ");
            guarded.extend_from_slice(directive);
        }
    }
    guarded
}

/// Whether a response header of this name overrules `Cache-Control` in some shared cache, so that a
/// response with a cookie must not have it. `name` may be in upper or lower case.
///
/// These are `CDN-Cache-Control` and the likes of it that are for one CDN (RFC 9213), `Surrogate-Control`
/// (Edge Architecture, W3C 2001) and `X-Accel-Expires` (nginx).
///
/// ```
/// use equipoise_sticky::affinity::cache_guard::overrules;
///
/// assert!(overrules("cdn-cache-control") && overrules("Cloudflare-CDN-Cache-Control"));
/// assert!(!overrules("cache-control"));
/// ```
pub fn overrules(name: &str) -> bool {
    const TARGETED: &[u8] = b"cdn-cache-control";
    let end = name.as_bytes().last_chunk::<{ TARGETED.len() }>();
    end.is_some_and(|end| end.eq_ignore_ascii_case(TARGETED))
        || name.eq_ignore_ascii_case("surrogate-control")
        || name.eq_ignore_ascii_case("x-accel-expires")
}

/// What stands between commas that are not between quotes.
fn directives(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    line.split(move |byte| {
        if is_escaped {
            is_escaped = false;
        } else {
            match byte {
                b'\\' => is_escaped = is_quoted,
                b'"' => is_quoted = !is_quoted,
                b',' => return !is_quoted,
                _ => {}
            }
        }
        false
    })
    .map(<[u8]>::trim_ascii)
}
