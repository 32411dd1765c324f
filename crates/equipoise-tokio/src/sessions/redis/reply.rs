//! What Redis answers, as far as it makes sense.

use std::sync::Arc;
use std::time::Duration;

use equipoise_core::BackendId;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

use super::{StoreError, StoreReply};
use crate::excerpt::excerpt;
use crate::sessions::store::Held;

/// The script's digest, as `SCRIPT LOAD` says it.
pub(super) fn digest(answer: Value) -> Result<Arc<str>, StoreError> {
    match answer {
        Value::BulkString(bytes) if bytes.len() == 40 => match String::from_utf8(bytes) {
            Ok(digest) if digest.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(digest.into()),
            _ => Err(malformed("the name of the script")),
        },
        Value::ServerError(error) => Err(self::error(&error.into())),
        _ => Err(malformed("the name of the script")),
    }
}

/// One answer of the script. An error of Redis is about this request alone; an answer of another
/// form means that it is not the script that answers.
pub(super) fn sense(
    value: Value,
    connection: u64,
) -> Result<Result<StoreReply, StoreError>, StoreError> {
    let fields = match value {
        Value::ServerError(error) => return Ok(Err(self::error(&error.into()))),
        Value::Array(fields) => fields,
        _ => return Err(malformed("not the four fields of the script")),
    };
    let [
        Value::BulkString(backend),
        Value::Int(age),
        Value::BulkString(generation),
        Value::Int(was_malformed @ (0 | 1)),
    ] = fields.as_slice()
    else {
        return Err(malformed("not the four fields of the script"));
    };
    let held = if backend.is_empty() {
        None
    } else {
        let id = hex(backend).ok_or_else(|| malformed("the backend"))?;
        let age = u64::try_from(*age).map_err(|_| malformed("the age"))?;
        Some(Held { backend: BackendId::new(id), age: Duration::from_millis(age) })
    };
    let generation = std::str::from_utf8(generation).ok().and_then(|text| text.parse().ok());
    let was_malformed = *was_malformed == 1;
    Ok(Ok(StoreReply { held, generation, connection, was_malformed }))
}

fn hex(digits: &[u8]) -> Option<u64> {
    let is_hex = digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit);
    u64::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| is_hex)?, 16).ok()
}

fn malformed(what: &str) -> StoreError {
    StoreError::Malformed { reason: what.to_owned() }
}

/// Whether the connection is of no use after this.
pub(super) fn loses_connection(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error() || error.kind() == ErrorKind::Parse
}

/// Whether the answer says that another connection would do better: to a server that knows the
/// script, or to the one that is the primary now.
pub(super) fn asks_for_another_connection(value: &Value) -> bool {
    let Value::ServerError(error) = value else { return false };
    matches!(error.kind(), Some(ServerErrorKind::NoScript | ServerErrorKind::ReadOnly))
}

/// What went wrong.
pub(super) fn error(error: &RedisError) -> StoreError {
    let reason = words(error);
    match error.kind() {
        ErrorKind::Io => StoreError::Connection { reason },
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => StoreError::Malformed { reason },
        _ => StoreError::Refused { reason },
    }
}

/// The beginning of what an error says. It may hold what the server wrote.
pub(super) fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        _ if error.kind() == ErrorKind::AuthenticationFailed => {
            "the user or the password is wrong".to_owned()
        }
        (Some(code), Some(detail)) => {
            // Redis 7 goes on with where in the script that was.
            let detail = detail.split(" script: ").next().unwrap_or(detail);
            excerpt(&format!("{code} {detail}"))
        }
        _ => excerpt(&error.to_string()),
    }
}
