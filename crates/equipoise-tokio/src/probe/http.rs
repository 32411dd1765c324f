//! Does the application answer as it should?

use std::sync::Arc;

use ::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ::http::uri::PathAndQuery;
use ::http::{Method, Request};

use super::body::BodyReader;
use super::talk::{Line, wire_limit};
use super::target::check_host;
use super::{Answer, Asking, BodyMatch, InvalidProbe, Probe, ProbeError, StatusSet, Target};

/// Asks over HTTP, and looks at the status and the body.
///
/// ```
/// use equipoise_tokio::probe::{BodyMatch, Http, Probe};
///
/// let probe = Http::get("/healthz")
///     .host("shop.example.com")
///     .expect("200-204".parse()?)
///     .drain("429,503".parse()?)
///     .body(BodyMatch::json(r#"$.db == "ok""#.parse()?))
///     .build()?;
/// assert_eq!(probe.describe(), r#"GET /healthz, body has $.db == "ok""#);
///
/// assert_eq!(Http::get("healthz").build().unwrap_err().field(), "path");
/// # Ok::<(), equipoise_tokio::probe::InvalidProbe>(())
/// ```
///
/// Redirects are not followed: they are an answer, and not an expected one. The body is read to its
/// end, within [the limit](HttpBuilder::body_limit), even if nothing is looked for in it: an answer that
/// breaks off is none.
///
/// # Bounds
/// It takes 16 KiB and 100 lines of headers, 8 interim answers, and in all eight times the limit of the
/// body and 64 KiB on the wire (and 128 KiB for the handshake of TLS). It keeps the headers and at most
/// the limit of the body in memory; JSON takes up to about 25 times the limit while it is looked at.
#[derive(Clone, Debug)]
pub struct Http {
    method: Method,
    path: PathAndQuery,
    host: Option<String>,
    headers: HeaderMap,
    expect: StatusSet,
    drain: Option<StatusSet>,
    body: Option<BodyMatch>,
    body_limit: usize,
    version: HttpVersion,
    #[cfg(feature = "tls")]
    tls: Option<super::TlsClient>,
    /// `GET /healthz`
    name: Arc<str>,
}

/// The version of HTTP to ask in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: in clear by prior knowledge, over TLS by ALPN.
    #[cfg(feature = "http2")]
    Http2,
}

impl Http {
    /// The default limit of the body: 64 KiB.
    pub const DEFAULT_BODY_LIMIT: usize = 64 * 1024;
    /// The most bytes of a body that it can be told to read: 1 MiB.
    pub const MAX_BODY_LIMIT: usize = 1024 * 1024;

    /// Begins with a `GET` of this path: `/healthz`, `/health?deep=1`.
    pub fn get(path: &str) -> HttpBuilder {
        HttpBuilder {
            method: "GET".to_owned(),
            path: path.to_owned(),
            host: None,
            headers: Vec::new(),
            expect: StatusSet::default(),
            drain: None,
            body: None,
            body_limit: Self::DEFAULT_BODY_LIMIT,
            version: HttpVersion::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// What follows from the status.
    pub(super) fn judge(&self, status: u16) -> Result<BodyReader<'_>, ProbeError> {
        if self.drain.as_ref().is_some_and(|drain| drain.contains(status)) {
            return Ok(BodyReader::new(Answer::Drain, None, self.body_limit));
        }
        if self.expect.contains(status) {
            return Ok(BodyReader::new(Answer::Pass, self.body.as_ref(), self.body_limit));
        }
        let request = Arc::clone(&self.name);
        match &self.body {
            // "503" says that it is not well; the field says what it lacks.
            Some(body) if body.is_json() => {
                Ok(BodyReader::new(Answer::Pass, Some(body), self.body_limit)
                    .after(request, status))
            }
            _ => Err(ProbeError::Status { request, status, because: None }),
        }
    }

    /// The request, without its host.
    fn request<B>(&self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.clone().into();
        *request.headers_mut() = self.headers.clone();
        request
    }

    async fn open(&self, target: &Target) -> Result<Line, ProbeError> {
        let limit = wire_limit(self.body_limit);
        #[cfg(feature = "tls")]
        if let Some(client) = &self.tls {
            let h2 = self.version != HttpVersion::Http1;
            return Line::open_tls(target, client, limit, h2).await;
        }
        Line::open(target, limit).await
    }

    async fn ask(&self, target: &Target) -> Result<Answer, ProbeError> {
        let host = self.host.as_deref().unwrap_or(target.host());
        let line = self.open(target).await?;
        match self.version {
            HttpVersion::Http1 => {
                let mut request = self.request(http_body_util::Empty::new());
                let headers = request.headers_mut();
                headers.insert(header::HOST, value(host)?);
                // So that the backend closes, and does not keep a connection that nobody will use.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
                super::http1::ask(self, line, request).await
            }
            #[cfg(feature = "http2")]
            HttpVersion::Http2 => {
                #[cfg(feature = "tls")]
                let secure = self.tls.is_some();
                #[cfg(not(feature = "tls"))]
                let secure = false;
                let mut request = self.request(());
                *request.uri_mut() = super::http2::uri(secure, host, self.path.clone())?;
                super::http2::ask(self, line, request).await
            }
        }
    }
}

/// A host as a header; one that was checked is always one.
fn value(host: &str) -> Result<HeaderValue, ProbeError> {
    HeaderValue::from_str(host).map_err(|_| ProbeError::other("the host is not a host"))
}

impl Probe for Http {
    fn probe<'a>(&'a self, target: &'a Target) -> Asking<'a> {
        Box::pin(self.ask(target))
    }

    fn describe(&self) -> String {
        match &self.body {
            None => self.name.to_string(),
            Some(body) => format!("{}, {body}", self.name),
        }
    }
}

/// The settings of an [`Http`] probe, which [`build`](Self::build) checks.
#[derive(Clone, Debug)]
#[must_use]
pub struct HttpBuilder {
    method: String,
    path: String,
    host: Option<String>,
    headers: Vec<(String, String)>,
    expect: StatusSet,
    drain: Option<StatusSet>,
    body: Option<BodyMatch>,
    body_limit: usize,
    version: HttpVersion,
    #[cfg(feature = "tls")]
    tls: Option<super::TlsClient>,
}

impl HttpBuilder {
    /// Sets the method. It is sent without a body.
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Sets the `Host` header (`:authority` in HTTP/2), instead of the target's host.
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Adds a header; at most 32. Without one of that name, `user-agent` is `equipoise-probe`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the expected statuses, instead of 200 to 299.
    pub fn expect(mut self, statuses: StatusSet) -> Self {
        self.expect = statuses;
        self
    }

    /// Sets the statuses by which the backend asks for no new sessions ([`Answer::Drain`]). The body of
    /// such an answer is not looked at.
    pub fn drain(mut self, statuses: StatusSet) -> Self {
        self.drain = Some(statuses);
        self
    }

    /// Sets the condition on the body.
    pub fn body(mut self, condition: BodyMatch) -> Self {
        self.body = Some(condition);
        self
    }

    /// Sets the most bytes of a body that are read: 1 to [`Http::MAX_BODY_LIMIT`]. One that is longer is a
    /// failure, unless the [text](BodyMatch::contains) that was looked for is within.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Sets the version of HTTP, instead of HTTP/1.1.
    pub fn version(mut self, version: HttpVersion) -> Self {
        self.version = version;
        self
    }

    /// Asks over TLS.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, client: super::TlsClient) -> Self {
        self.tls = Some(client);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first field that is wrong: see [`InvalidProbe`].
    pub fn build(self) -> Result<Http, InvalidProbe> {
        let method = Method::from_bytes(self.method.as_bytes())
            .ok()
            .filter(|method| self.method.len() <= 32 && method != Method::CONNECT)
            .ok_or_else(|| InvalidProbe::Method(self.method.clone()))?;
        let path = path(&self.path)?;
        if let Some(host) = &self.host {
            check_host(host)?;
        }
        if let Some(status) = self.drain.as_ref().and_then(|drain| self.expect.common(drain)) {
            return Err(InvalidProbe::Drain(status));
        }
        if !(1..=Http::MAX_BODY_LIMIT).contains(&self.body_limit) {
            return Err(InvalidProbe::BodyLimit(self.body_limit));
        }
        if let Some(body) = &self.body {
            if method == Method::HEAD {
                return Err(InvalidProbe::Body("the answer to HEAD has no body to look at"));
            }
            if body.shortest() > self.body_limit {
                return Err(InvalidProbe::Body("the text is longer than what is read of the body"));
            }
        }
        Ok(Http {
            name: format!("{method} {path}").into(),
            method,
            path,
            host: self.host,
            headers: headers(&self.headers)?,
            expect: self.expect,
            drain: self.drain,
            body: self.body,
            body_limit: self.body_limit,
            version: self.version,
            #[cfg(feature = "tls")]
            tls: self.tls.map(|client| {
                client.with_protocol(match self.version {
                    HttpVersion::Http1 => b"http/1.1",
                    #[cfg(feature = "http2")]
                    HttpVersion::Http2 => b"h2",
                })
            }),
        })
    }
}

fn path(text: &str) -> Result<PathAndQuery, InvalidProbe> {
    // The type of the library would cut a fragment off and let some bytes pass that are not ASCII.
    let visible = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !text.starts_with('/') || text.len() > 4096 || !visible {
        return Err(InvalidProbe::Path(text.to_owned()));
    }
    text.parse().map_err(|_| InvalidProbe::Path(text.to_owned()))
}

/// The headers that decide where a message ends or goes, and are the probe's.
const OWN: [HeaderName; 9] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
];

fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, InvalidProbe> {
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static("equipoise-probe"));
    let mut own_agent = true;
    for (index, (text, value)) in pairs.iter().enumerate() {
        let bad = |why| InvalidProbe::Header { name: text.clone(), why };
        let name = HeaderName::from_bytes(text.as_bytes())
            .map_err(|_| bad("is not the name of a header"))?;
        if OWN.contains(&name) || name == "proxy-connection" {
            return Err(bad("is set by the probe"));
        }
        if index >= 32 || text.len() > 256 || value.len() > 4096 {
            return Err(bad("is one of more than 32 headers, or longer than 4096 bytes"));
        }
        let value =
            HeaderValue::from_str(value).map_err(|_| bad("has a value with control characters"))?;
        if name == header::USER_AGENT && std::mem::take(&mut own_agent) {
            headers.remove(&name);
        }
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: HttpBuilder) -> (&'static str, String) {
        let error = builder.build().unwrap_err();
        (error.field(), error.to_string())
    }

    #[test]
    fn settings_that_are_wrong_are_refused_with_the_name_of_the_field() {
        for method in ["", "GE T", "CONNECT", "GET\r\n", &"A".repeat(33)] {
            assert_eq!(refused(Http::get("/").method(method)).0, "method", "{method:?}");
        }
        let long = format!("/{}", "a".repeat(4096));
        for path in ["", "healthz", "*", "http://a/", "/a b", "/a\r\nx: y", "/a#b", "/é", &long] {
            assert_eq!(refused(Http::get(path)).0, "path", "{path:?}");
        }
        for host in ["", "a b", "a\r\nb", "http://a"] {
            assert_eq!(refused(Http::get("/").host(host)).0, "host", "{host:?}");
        }
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a", "x\r\nb: c"),
            ("Host", "x"),
            ("Content-Length", "5"),
            ("Proxy-Connection", "close"),
        ] {
            let (field, words) = refused(Http::get("/").header(name, value));
            assert_eq!(field, "headers", "{name:?}");
            assert!(words.starts_with(&format!("headers: {name:?} ")), "{words}");
        }
        let many = (0..33).fold(Http::get("/"), |builder, _| builder.header("x", "y"));
        assert_eq!(refused(many).0, "headers");
        for limit in [0, Http::MAX_BODY_LIMIT + 1] {
            assert_eq!(refused(Http::get("/").body_limit(limit)).0, "body_limit");
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let set = |text: &str| text.parse::<StatusSet>().unwrap();
        let both = Http::get("/").expect(set("200-404")).drain(set("404"));
        assert_eq!(both.build().unwrap_err(), InvalidProbe::Drain(404));
        let ready = || BodyMatch::contains("ready").unwrap();
        assert_eq!(refused(Http::get("/").method("HEAD").body(ready())).0, "body");
        assert_eq!(refused(Http::get("/").body(ready()).body_limit(4)).0, "body");
        assert!(Http::get("/").body(ready()).body_limit(5).build().is_ok());
    }

    #[test]
    fn the_user_may_name_another_agent() {
        let agents = |builder: HttpBuilder| {
            let request = builder.build().unwrap().request(());
            let values = request.headers().get_all("user-agent").iter();
            values.map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(agents(Http::get("/")), ["equipoise-probe"]);
        assert_eq!(agents(Http::get("/").header("User-Agent", "mine")), ["mine"]);
    }
}
