//! The cookies of a request.

use cookie::Cookie;
use hyper::HeaderMap;
use hyper::header::COOKIE;

/// Names and values in the order in which they were sent, of all lines. What is no cookie is
/// skipped, and so is a line that is not UTF-8.
pub(crate) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| std::str::from_utf8(line.as_bytes()).ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .filter_map(|cookie| Some((cookie.name_raw()?, cookie.value_raw()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn cookies_come_from_all_lines() {
        let mut headers = HeaderMap::new();
        for line in ["a=1; b=2=3", "c", "=4; d = 5 ;e=\"6\";f=", "g=ä"] {
            headers.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers.append(COOKIE, HeaderValue::from_bytes(b"h=\xff").unwrap());
        let expected =
            [("a", "1"), ("b", "2=3"), ("d", "5"), ("e", "\"6\""), ("f", ""), ("g", "ä")];
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), expected);
    }
}
