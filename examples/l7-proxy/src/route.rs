//! Which pool takes a request: the first route whose conditions all hold.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use proxy_kit::StartError;
use serde::Deserialize;

use crate::cookies::cookies;

/// `[[routes]]`, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteSection {
    host: Option<String>,
    path_prefix: Option<String>,
    header: Option<NameAndValue>,
    cookie: Option<NameAndValue>,
    pool: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NameAndValue {
    name: String,
    value: Option<String>,
}

/// All routes, in the order of the file.
#[derive(Debug)]
pub(crate) struct Routes(Vec<Route>);

#[derive(Debug, Default)]
struct Route {
    host: Option<HostPattern>,
    path_prefix: Option<String>,
    header: Option<(HeaderName, Option<String>)>,
    cookie: Option<(String, Option<String>)>,
    pool: usize,
}

#[derive(Debug, PartialEq)]
enum HostPattern {
    Exactly(String),
    /// `*.example.org` holds `.example.org`: one or more labels in front.
    EndsWith(String),
}

/// What a route looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// In lower case, without a port.
    pub(crate) host: &'a str,
    /// As it was sent. A prefix is not an access rule: `/a/../b` is under `/a` here, and what the
    /// backend makes of it is the backend's.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
}

impl Routes {
    /// One pool takes everything.
    pub(crate) fn all_to_the_first() -> Self {
        Self(vec![Route::default()])
    }

    /// Checks the routes; `pool` finds a pool by its name.
    pub(crate) fn new(
        sections: Vec<RouteSection>,
        pool: impl Fn(&str, &str) -> Result<usize, StartError>,
    ) -> Result<Self, StartError> {
        let check = |(index, section)| Route::new(index, section, &pool);
        sections.into_iter().enumerate().map(check).collect::<Result<_, _>>().map(Self)
    }

    /// The pool's index.
    pub(crate) fn find(&self, asked: Asked<'_>) -> Option<usize> {
        self.0.iter().find(|route| route.matches(asked)).map(|route| route.pool)
    }
}

impl Route {
    fn new(
        index: usize,
        section: RouteSection,
        pool: impl Fn(&str, &str) -> Result<usize, StartError>,
    ) -> Result<Self, StartError> {
        let field = |name: &str| format!("routes[{index}].{name}");
        let host = match section.host.as_deref().map(HostPattern::new) {
            Some(None) => {
                let wrong = "give a host name without a port, or *.NAME for all hosts under it";
                return Err(StartError::new(field("host"), wrong));
            }
            host => host.flatten(),
        };
        if section.path_prefix.as_ref().is_some_and(|prefix| !prefix.starts_with('/')) {
            return Err(StartError::new(field("path_prefix"), "a path begins with `/`"));
        }
        let header = match section.header {
            None => None,
            Some(NameAndValue { name, value }) => {
                let wrong = |_| {
                    StartError::new(field("header.name"), format!("`{name}` is no header name"))
                };
                Some((name.parse().map_err(wrong)?, value))
            }
        };
        let cookie = section.cookie.map(|NameAndValue { name, value }| (name, value));
        if let Some((name, _)) = &cookie
            && (name.is_empty() || name.contains(['=', ';', ' ']))
        {
            let wrong = format!("`{name}` is no cookie name");
            return Err(StartError::new(field("cookie.name"), wrong));
        }
        let pool = pool(&field("pool"), &section.pool)?;
        Ok(Self { host, path_prefix: section.path_prefix, header, cookie, pool })
    }

    fn matches(&self, asked: Asked<'_>) -> bool {
        self.host.as_ref().is_none_or(|pattern| pattern.matches(asked.host))
            && self.path_prefix.as_ref().is_none_or(|prefix| is_under(asked.path, prefix))
            && self.header.as_ref().is_none_or(|(name, value)| {
                asked.headers.get_all(name).iter().any(|given| {
                    value.as_ref().is_none_or(|value| given.as_bytes() == value.as_bytes())
                })
            })
            && self.cookie.as_ref().is_none_or(|(name, value)| {
                cookies(asked.headers).any(|(given, its)| {
                    given == name && value.as_ref().is_none_or(|value| value == its)
                })
            })
    }
}

impl HostPattern {
    fn new(text: &str) -> Option<Self> {
        let (name, wildcard) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        let v6 = name.starts_with('[') && name.ends_with(']');
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        if name.is_empty() || !(v6 || name.bytes().all(plain)) {
            return None;
        }
        let name = name.to_ascii_lowercase();
        Some(if wildcard { Self::EndsWith(format!(".{name}")) } else { Self::Exactly(name) })
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exactly(name) => host == name,
            Self::EndsWith(end) => host.len() > end.len() && host.ends_with(end.as_str()),
        }
    }
}

/// Whether the path is the prefix, or goes on below it: `/api` takes `/api` and `/api/x`, and not
/// `/apis`.
fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_segment() {
        for (path, prefix, expected) in [
            ("/api", "/api", true),
            ("/api/x", "/api", true),
            ("/apis", "/api", false),
            ("/api", "/api/", false),
            ("/api/", "/api/", true),
            ("/anything", "/", true),
            ("*", "/", false),
        ] {
            assert_eq!(is_under(path, prefix), expected, "{path} under {prefix}");
        }
    }

    #[test]
    fn a_wildcard_needs_a_label_in_front() {
        let pattern = HostPattern::new("*.Example.org").unwrap();
        assert!(pattern.matches("a.example.org"));
        assert!(pattern.matches("a.b.example.org"));
        assert!(!pattern.matches("example.org"));
        assert!(!pattern.matches("badexample.org"));
        for wrong in ["", "*.", "a:80", "*", "a b"] {
            assert_eq!(HostPattern::new(wrong), None, "{wrong}");
        }
    }
}
