//! One line per request.

use std::sync::Arc;

use equipoise_core::{Clock, Instant, PinOutcome};
use hyper::{Method, StatusCode};
use proxy_kit::clock::Monotonic;
use proxy_kit::log;

/// What is known of a request. It is written when this is dropped: at the end of the response, or
/// when the client has gone.
#[derive(Debug)]
pub(crate) struct RequestLog {
    clock: Monotonic,
    since: Instant,
    method: Method,
    /// Without the query and the parameters of its segments, which may hold what no log should: a
    /// session id, say.
    path: String,
    pub(crate) status: Option<StatusCode>,
    pub(crate) pool: Option<Arc<str>>,
    pub(crate) backend: Option<String>,
    pub(crate) attempts: u32,
    /// What came of its session.
    pub(crate) pin: Option<PinOutcome>,
    /// Why the proxy answered by itself.
    pub(crate) refused: Option<String>,
    /// Whether the response's body was cut short, by whom.
    pub(crate) cut: Option<&'static str>,
}

impl RequestLog {
    pub(crate) fn new(clock: Monotonic, method: Method, path: &str) -> Self {
        let (path, since) = (without_parameters(path), clock.now());
        let (status, pool, backend, pin, refused, cut) = (None, None, None, None, None, None);
        Self { clock, since, method, path, status, pool, backend, attempts: 0, pin, refused, cut }
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        // 499 is nginx's number for a client that did not wait.
        let status = self.status.as_ref().map_or("499", StatusCode::as_str);
        let duration = self.clock.now().since(self.since).as_secs_f64() * 1e3;
        let pin = self.pin.map(|pin| format!(" pin={}", pin.name())).unwrap_or_default();
        let cut = self.cut.map(|by| format!(" cut_by={by}")).unwrap_or_default();
        let refused = self.refused.as_ref().map(|why| format!(" refused={why:?}"));
        let refused = refused.unwrap_or_default();
        log::line(format_args!(
            "{} {} {status} pool={} backend={} attempts={}{pin} duration={duration:.1}ms{cut}{refused}",
            self.method,
            self.path,
            self.pool.as_deref().unwrap_or("-"),
            self.backend.as_deref().unwrap_or("-"),
            self.attempts,
        ));
    }
}

/// `/shop;jsessionid=abc/cart` is `/shop;/cart`.
fn without_parameters(path: &str) -> String {
    let kept = |segment: &str| match segment.find(';') {
        Some(at) => segment[..=at].to_owned(),
        None => segment.to_owned(),
    };
    path.split('/').map(kept).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::without_parameters;

    #[test]
    fn a_session_id_in_a_path_is_not_logged() {
        for (path, logged) in [
            ("/", "/"),
            ("/shop;jsessionid=abc.node1/cart;a=b", "/shop;/cart;"),
            (";a", ";"),
            ("/a//b", "/a//b"),
            ("*", "*"),
        ] {
            assert_eq!(without_parameters(path), logged);
        }
    }
}
