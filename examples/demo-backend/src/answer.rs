//! Responses: a status and a line, or JSON.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// A response whose body is here already.
pub(crate) type Answer = Response<Full<Bytes>>;

/// A line of text.
pub(crate) fn line(status: StatusCode, text: impl Into<String>) -> Answer {
    of(status, "text/plain; charset=utf-8", text.into() + "\n")
}

/// A page.
pub(crate) fn html(page: String) -> Answer {
    of(StatusCode::OK, "text/html; charset=utf-8", page)
}

/// How the database is, as `GET /health` says it.
#[derive(Debug, Serialize)]
pub(crate) struct Health<'a> {
    pub(crate) name: &'a str,
    pub(crate) db: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Health<'_> {
    /// 200 without an error, 503 with one.
    pub(crate) fn answer(&self) -> Answer {
        let status = match self.error {
            None => StatusCode::OK,
            Some(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        match serde_json::to_string(self) {
            Ok(json) => of(status, "application/json", json),
            Err(error) => line(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

fn of(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
