//! The application's name for a backend, which the application adds to its session ids.
//!
//! Tomcat, Jetty and others know it as `jvmRoute`: a session id `abc.node1` says that `node1` has the
//! session. A client sends it in a cookie, or in the URI if it keeps no cookies:
//! `/shop;jsessionid=abc.node1?item=7`. It is no secret, and nothing seals it: look it up among the names
//! that you know, and take no other for anything.
//!
//! ```
//! use equipoise_sticky::affinity::{cookie, route};
//!
//! let id = route::id_in_uri(b"/shop;jsessionid=abc.node1?item=7", "JSESSIONID");
//! assert_eq!(id.and_then(route::of_id), Some("node1"));
//!
//! let line: &[u8] = b"lang=en; JSESSIONID=abc.node2";
//! let id = cookie::values([line], "JSESSIONID").next();
//! assert_eq!(id.and_then(route::of_id), Some("node2"));
//! ```

/// The longest name of a backend, in bytes.
pub const MAX_LEN: usize = 64;

/// What follows the first period of a session id: the name of its backend. Apache's `mod_proxy` takes
/// the first one too, so that `10.0.0.1` can be a name. `None` if there is no period, and if the name is
/// empty, longer than [`MAX_LEN`], or has other than visible ASCII characters. Linear in the bytes.
pub fn of_id(id: &[u8]) -> Option<&str> {
    let period = id.iter().position(|byte| *byte == b'.')?;
    let name = id.get(period + 1..)?;
    if name.is_empty() || name.len() > MAX_LEN || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    core::str::from_utf8(name).ok()
}

/// The value of a parameter of a URI: the first of this name in its path (`;name=value`), or else in its
/// query (`?name=value`). `None` if there is none, or if it is empty. Linear in the bytes.
///
/// Upper and lower case are the same in the name, as applications call their cookie `JSESSIONID` and
/// their parameter `jsessionid`. The value is as it was sent: what is percent-encoded stays so, as it
/// does in Apache's `mod_proxy`.
///
/// ```
/// use equipoise_sticky::affinity::route::id_in_uri;
///
/// assert_eq!(id_in_uri(b"/a;sid=1/b;sid=2?sid=3", "sid"), Some(&b"1"[..]));
/// assert_eq!(id_in_uri(b"/a;aside=1?x&sid=3#top", "sid"), Some(&b"3"[..]));
/// assert_eq!(id_in_uri(b"/sid=1?x;sid=2", "sid"), None);
/// ```
pub fn id_in_uri<'a>(uri: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let uri = until(uri, b'#');
    let path = until(uri, b'?');
    let query = uri.get(path.len() + 1..).unwrap_or_default();
    // A segment is over at its slash, and its parameters with it.
    let in_path = path
        .split(|byte| *byte == b'/')
        .flat_map(|segment| segment.split(|byte| *byte == b';').skip(1));
    let in_query = query.split(|byte| *byte == b'&');
    in_path.chain(in_query).find_map(|parameter| value(parameter, name))
}

fn until(text: &[u8], end: u8) -> &[u8] {
    text.split(|byte| *byte == end).next().unwrap_or_default()
}

fn value<'a>(parameter: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (start, rest) = parameter.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b"=").filter(|value| !value.is_empty())?;
    start.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
}
