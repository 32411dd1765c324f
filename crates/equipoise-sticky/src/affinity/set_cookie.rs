//! The balancer's own cookie, as a response sets it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt::{self, Write as _};

use super::cookie::is_name;
use super::token::{SealedToken, Token};

/// With which requests from other sites a browser sends a cookie.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum SameSite {
    /// With none.
    Strict,
    /// With those that open a page.
    #[default]
    Lax,
    /// With all of them. It has to be `Secure`.
    None,
}

/// How long a browser keeps a cookie.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum MaxAge {
    /// As long as its token lives.
    #[default]
    Token,
    /// Until it is closed; no `Max-Age`. The token does not live longer for that.
    Session,
}

/// The name and the attributes of the cookie that a client keeps its token in; checked.
///
/// ```
/// use core::time::Duration;
/// use equipoise_core::BackendId;
/// use equipoise_sticky::affinity::set_cookie::{CookieSettings, SameSite};
/// use equipoise_sticky::affinity::token::Tokens;
///
/// let settings = CookieSettings::builder("srv").secure(true).same_site(SameSite::None).build()?;
/// let tokens = Tokens::new("web", &[7; 16], Duration::from_secs(1800)).unwrap();
/// let (text, token) = tokens.issue(BackendId::new(5), 1_800_000_000, None);
/// assert_eq!(
///     settings.value(&text, &token),
///     format!("srv={}; Path=/; Max-Age=1800; SameSite=None; Secure; HttpOnly", text.as_str()),
/// );
/// # Ok::<(), equipoise_sticky::affinity::set_cookie::CookieError>(())
/// ```
///
/// With the feature `serde` it reads a table of `name` and of what [`CookieBuilder`] sets, by these names,
/// and refuses what the builder refuses and names that it does not know.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "CookieBuilder", into = "CookieBuilder"))]
pub struct CookieSettings(CookieBuilder);

impl CookieSettings {
    /// A cookie of this name with `Path=/; SameSite=Lax; HttpOnly`, which lives as long as its token.
    ///
    /// Take a name that neither the application nor another balancer on the way uses: of two that set
    /// the same cookie, each undoes what the other does. Where all of the site has TLS, let it begin with
    /// `__Host-` and be [`secure`](CookieBuilder::secure): then no other host of the domain can set it.
    pub fn builder(name: &str) -> CookieBuilder {
        CookieBuilder {
            name: name.to_owned(),
            path: root(),
            domain: None,
            max_age: MaxAge::Token,
            same_site: SameSite::Lax,
            secure: false,
            http_only: true,
            partitioned: false,
        }
    }

    /// The cookie's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The value of a `Set-Cookie` header that gives the client this token, as
    /// [`Tokens::issue`](super::token::Tokens::issue) returned it. Send it when a session is pinned, and
    /// when the token [needs to be renewed](super::token::Tokens::needs_renewal), and never else; and
    /// [guard the response](super::cache_guard).
    pub fn value(&self, text: &SealedToken, token: &Token) -> String {
        let CookieBuilder { name, path, domain, .. } = &self.0;
        let mut value = String::with_capacity(160 + name.len() + path.len());
        // Writing to a string does not fail.
        let _ = write!(value, "{name}={}; Path={path}", text.as_str());
        if let Some(domain) = domain {
            let _ = write!(value, "; Domain={domain}");
        }
        if self.0.max_age == MaxAge::Token {
            // At 0 the client would drop it at once.
            let seconds = token.expires.saturating_sub(token.issued).max(1);
            let _ = write!(value, "; Max-Age={seconds}");
        }
        value.push_str(match self.0.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        for (is_set, attribute) in [
            (self.0.secure, "; Secure"),
            (self.0.http_only, "; HttpOnly"),
            (self.0.partitioned, "; Partitioned"),
        ] {
            value.push_str(if is_set { attribute } else { "" });
        }
        value
    }
}

/// The settings of a cookie that were not checked yet. What a browser would refuse, or take otherwise
/// than it was meant, does not [build](Self::build).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[must_use = "settings do nothing until they are built"]
pub struct CookieBuilder {
    name: String,
    #[cfg_attr(feature = "serde", serde(default = "root"))]
    path: String,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    domain: Option<String>,
    #[cfg_attr(feature = "serde", serde(default))]
    max_age: MaxAge,
    #[cfg_attr(feature = "serde", serde(default))]
    same_site: SameSite,
    #[cfg_attr(feature = "serde", serde(default))]
    secure: bool,
    #[cfg_attr(feature = "serde", serde(default = "yes"))]
    http_only: bool,
    #[cfg_attr(feature = "serde", serde(default))]
    partitioned: bool,
}

fn root() -> String {
    "/".to_owned()
}

#[cfg(feature = "serde")]
const fn yes() -> bool {
    true
}

impl CookieBuilder {
    /// With which paths the cookie is sent: this one and those below it.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// With which hosts the cookie is sent: this one and those below it. Without it, only to the host
    /// that set it.
    pub fn domain(mut self, domain: &str) -> Self {
        self.domain = Some(domain.to_owned());
        self
    }

    /// How long the browser keeps the cookie.
    pub const fn max_age(mut self, max_age: MaxAge) -> Self {
        self.max_age = max_age;
        self
    }

    /// With which requests from other sites the cookie is sent.
    pub const fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Whether the cookie is sent over TLS only. Off by default, as a site without TLS would have no
    /// sessions; switch it on where all of the site has TLS.
    pub const fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Whether scripts don't see the cookie.
    pub const fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Whether a page in a frame has a cookie for each site that it is framed in (CHIPS).
    pub const fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = partitioned;
        self
    }

    /// Checks the settings, each alone and all together.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn build(self) -> Result<CookieSettings, CookieError> {
        if !is_name(&self.name) {
            return Err(CookieError::Name);
        }
        if !is_path(&self.path) {
            return Err(CookieError::Path);
        }
        if !self.domain.as_deref().is_none_or(is_domain) {
            return Err(CookieError::Domain);
        }
        let prefix = Prefix::of(&self.name);
        let reason = match prefix {
            _ if self.same_site == SameSite::None => Some("same_site = none"),
            _ if self.partitioned => Some("partitioned"),
            Some(prefix) => Some(prefix.text),
            None => None,
        };
        if let Some(reason) = reason.filter(|_| !self.secure) {
            return Err(CookieError::NotSecure(reason));
        }
        match prefix {
            Some(Prefix { text, host: true, .. }) if self.domain.is_some() => {
                Err(CookieError::DomainWithPrefix(text))
            }
            Some(Prefix { text, host: true, .. }) if self.path != "/" => {
                Err(CookieError::PathWithPrefix(text))
            }
            Some(Prefix { text, http: true, .. }) if !self.http_only => {
                Err(CookieError::NotHttpOnly(text))
            }
            _ => Ok(CookieSettings(self)),
        }
    }
}

/// Beginnings of names that browsers take as a promise about the attributes. All of them promise
/// `Secure`.
#[derive(Clone, Copy)]
struct Prefix {
    text: &'static str,
    /// It promises that only one host has the cookie, on all its paths.
    host: bool,
    /// It promises `HttpOnly`.
    http: bool,
}

impl Prefix {
    /// In upper or lower case: browsers differ there, and what holds for one is good for all.
    fn of(name: &str) -> Option<Self> {
        [
            Self { text: "__Secure-", host: false, http: false },
            Self { text: "__Host-Http-", host: true, http: true },
            Self { text: "__Host-", host: true, http: false },
            Self { text: "__Http-", host: false, http: true },
        ]
        .into_iter()
        .find(|prefix| {
            let start = name.get(..prefix.text.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.text))
        })
    }
}

fn is_path(path: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    path.starts_with('/') && path.len() <= 1024 && path.bytes().all(is_good)
}

/// Labels of letters, digits and hyphens (RFC 1034, section 3.5).
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_good)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.len() <= 253 && domain.split('.').all(is_label)
}

/// What is wrong with the settings of a cookie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CookieError {
    /// `name` is empty, longer than 64 bytes, or has a character that no name may have.
    Name,
    /// `path` does not begin with a slash, is longer than 1024 bytes, or has a character that is not a
    /// visible one of ASCII, or a semicolon.
    Path,
    /// `domain` is not the name of a host, or begins or ends with a period.
    Domain,
    /// `secure` is off, and this asks for it.
    NotSecure(&'static str),
    /// `http_only` is off, and a name that begins so asks for it.
    NotHttpOnly(&'static str),
    /// `domain` is given, and a name that begins so forbids it.
    DomainWithPrefix(&'static str),
    /// `path` is not `/`, and a name that begins so forbids others.
    PathWithPrefix(&'static str),
}

impl fmt::Display for CookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str(
                "name: not one of a cookie; allowed are 1 to 64 visible ASCII characters, no \
                 separators",
            ),
            Self::Path => f.write_str(
                "path: not one of a cookie; allowed are up to 1024 visible ASCII characters, no \
                 semicolon, a slash first",
            ),
            Self::Domain => f.write_str(
                "domain: not the name of a host; allowed are labels of letters, digits and \
                 hyphens, no period first",
            ),
            Self::NotSecure(why) => write!(f, "secure: off; `{why}` is allowed only with it"),
            Self::NotHttpOnly(prefix) => {
                write!(f, "http_only: off; a name with `{prefix}` is allowed only with it")
            }
            Self::DomainWithPrefix(prefix) => {
                write!(f, "domain: given; a name with `{prefix}` is allowed only without it")
            }
            Self::PathWithPrefix(prefix) => {
                write!(f, "path: not `/`; a name with `{prefix}` is allowed only with that")
            }
        }
    }
}

impl core::error::Error for CookieError {}

impl TryFrom<CookieBuilder> for CookieSettings {
    type Error = CookieError;

    fn try_from(builder: CookieBuilder) -> Result<Self, CookieError> {
        builder.build()
    }
}

impl From<CookieSettings> for CookieBuilder {
    fn from(settings: CookieSettings) -> Self {
        settings.0
    }
}
