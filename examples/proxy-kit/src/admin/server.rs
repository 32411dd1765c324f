//! The server: bounded requests, and who may make them.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::routes::{Asked, Reply, answer, shown};
use super::{AdminSettings, Pools};
use crate::shutdown::Guard;
use crate::{listen, log};

/// Most headers of a request, and most bytes in their lines; more is answered with 431.
const MAX_HEADERS: usize = 50;
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Most bytes of a body: it is a number, if anything.
const MAX_BODY: usize = 1024;
/// For the head of a request, and for a connection as a whole: it has one request.
const HEAD_TIME: Duration = Duration::from_secs(5);
const CONNECTION_TIME: Duration = Duration::from_secs(30);
/// Most connections at a time. Another one is closed: operators are few.
const MAX_CONNECTIONS: usize = 64;

/// What all connections share.
struct Admin {
    settings: AdminSettings,
    pools: Arc<dyn Pools>,
    local: SocketAddr,
}

/// Serves operators until shutdown begins.
pub async fn serve(
    listener: Arc<TcpListener>,
    settings: AdminSettings,
    pools: Arc<dyn Pools>,
    guard: Guard,
) {
    let local = listener.local_addr().unwrap_or(settings.address());
    let admin = Arc::new(Admin { settings, pools, local });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    listen::accept(listener, guard, |stream, client, guard| {
        let (admin, place) = (Arc::clone(&admin), Arc::clone(&places).try_acquire_owned());
        async move {
            if let Ok(_place) = place {
                // When the time is up, the connection is dropped, whatever it was doing.
                let _ = timeout(CONNECTION_TIME, connection(admin, stream, client, guard)).await;
            }
        }
    })
    .await;
}

async fn connection(admin: Arc<Admin>, stream: TcpStream, client: SocketAddr, mut guard: Guard) {
    let service = service_fn(|request| {
        let admin = Arc::clone(&admin);
        async move { Ok::<_, Infallible>(admin.respond(client, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // What a client does wrong is its own business, and it has been told.
    let _ = tokio::select! {
        result = connection.as_mut() => result,
        () = guard.stopping() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
}

impl Admin {
    async fn respond(
        &self,
        client: SocketAddr,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let mut written = Bytes::new();
        let reply = match self.may(&head.method, head.uri.authority(), &head.headers) {
            Err(refusal) => refusal,
            Ok(()) => match read(body).await {
                Err(refusal) => refusal,
                Ok(body) => {
                    written = body;
                    let (method, path, query) = (&head.method, head.uri.path(), head.uri.query());
                    let asked = Asked { method, path, query, body: &written, local: self.local };
                    answer(&*self.pools, asked)
                }
            },
        };
        if head.method == Method::POST {
            log_post(client, &head.uri, &written, reply.status);
        }
        reply.into()
    }

    /// Whether it may be asked.
    fn may(
        &self,
        method: &Method,
        authority: Option<&Authority>,
        headers: &HeaderMap,
    ) -> Result<(), Reply> {
        if self.settings.has_token() {
            let is_right = bearer(headers).is_some_and(|token| self.settings.is_token(token));
            let wanted = "give the token of [admin], as Authorization: Bearer TOKEN";
            return is_right
                .then_some(())
                .ok_or_else(|| Reply::text(StatusCode::UNAUTHORIZED, wanted));
        }
        let refuse = |text| Err(Reply::text(StatusCode::FORBIDDEN, text));
        let mut hosts = headers.get_all(header::HOST).iter();
        let is_ours = match (hosts.next(), hosts.next()) {
            (Some(host), None) => {
                Authority::try_from(host.as_bytes()).is_ok_and(|it| is_local(&it))
            }
            _ => false,
        };
        if !is_ours || !authority.is_none_or(is_local) {
            return refuse(
                "Host must be localhost or a loopback address, as in curl http://127.0.0.1",
            );
        }
        if method == Method::POST && headers.contains_key(header::ORIGIN) {
            return refuse("not for web pages: the request has an Origin");
        }
        Ok(())
    }
}

/// Who changed what, or tried.
fn log_post(client: SocketAddr, uri: &Uri, body: &[u8], status: StatusCode) {
    let asked = uri.path_and_query().map_or("", PathAndQuery::as_str);
    let body = String::from_utf8_lossy(body);
    let space = if body.trim().is_empty() { "" } else { " " };
    let (asked, body, status) = (shown(asked), shown(body.trim()), status.as_u16());
    log::line(format_args!("admin: {client} POST {asked}{space}{body}: {status}"));
}

/// The token that a request has. The scheme is named in any case (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (only, None) = (given.next()?, given.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_local(authority: &Authority) -> bool {
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
    host.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_loopback)
}

async fn read(body: Incoming) -> Result<Bytes, Reply> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!("the body is longer than {MAX_BODY} bytes");
            Err(Reply::text(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Err(_) => Err(Reply::text(StatusCode::BAD_REQUEST, "the body breaks off")),
    }
}

impl From<Reply> for Response<Full<Bytes>> {
    fn from(reply: Reply) -> Self {
        let mut response = Self::new(Full::from(reply.text));
        *response.status_mut() = reply.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(allow) = reply.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if reply.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
