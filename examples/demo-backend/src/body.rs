//! A request's body, if it is a text that is not too long.

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};

use crate::answer::{Answer, line};

/// Reads it to its end. `what` is what it should be: "an order".
///
/// # Errors
/// The answer that says what is wrong.
pub(crate) async fn read(body: Incoming, most: usize, what: &str) -> Result<Bytes, Answer> {
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(line(StatusCode::PAYLOAD_TOO_LARGE, format!("{what} has at most {most} bytes")))
        }
        Err(error) => Err(line(StatusCode::BAD_REQUEST, error.to_string())),
    }
}
