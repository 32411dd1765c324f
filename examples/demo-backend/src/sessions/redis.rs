//! Sessions in Redis: any backend that asks the same server knows them, and they outlive each of them.

use std::fmt;
use std::time::Duration;

use proxy_kit::backend::Address;

use super::{SessionId, UserName, Visit};
use crate::down::Down;
use crate::resp::{Client, Value, unexpected};

/// All keys begin so: the server may have others.
const SESSION: &str = "demo-backend:session";

/// Scripts, so that a server that dies in between leaves no session without its end, and a session that ends in
/// between is not made anew by its count.
const BEGIN: &str = "redis.call('HSET', KEYS[1], 'user', ARGV[1], 'visits', 0) \
                     return redis.call('EXPIRE', KEYS[1], ARGV[2])";
const VISIT: &str = "if redis.call('EXPIRE', KEYS[1], ARGV[1]) == 0 then return false end \
                     return { redis.call('HGET', KEYS[1], 'user'), redis.call('HINCRBY', KEYS[1], 'visits', 1) }";

/// A server, connected to for each question.
#[derive(Debug)]
pub(crate) struct Redis {
    address: Address,
    /// In seconds, in digits.
    idle: String,
}

impl Redis {
    pub(super) fn new(address: Address, idle: Duration) -> Self {
        Self { address, idle: idle.as_secs().to_string() }
    }

    pub(super) async fn begin(&self, id: SessionId, user: &UserName) -> Result<(), Down> {
        let (key, user, idle) = (key(id), user.as_str().as_bytes(), self.idle.as_bytes());
        match self.call(&[b"EVAL", BEGIN.as_bytes(), b"1", key.as_bytes(), user, idle]).await? {
            Value::Integer(1) => Ok(()),
            other => unexpected(&other),
        }
    }

    pub(super) async fn visit(&self, id: SessionId) -> Result<Option<Visit>, Down> {
        let (key, idle) = (key(id), self.idle.as_bytes());
        match self.call(&[b"EVAL", VISIT.as_bytes(), b"1", key.as_bytes(), idle]).await? {
            Value::Bulk(None) => Ok(None),
            Value::Array(values) => {
                visit_of(&values).map_or_else(|| unexpected(&values), |v| Ok(Some(v)))
            }
            other => unexpected(&other),
        }
    }

    pub(super) async fn end(&self, id: SessionId) -> Result<(), Down> {
        match self.call(&[b"DEL", key(id).as_bytes()]).await? {
            Value::Integer(_) => Ok(()),
            other => unexpected(&other),
        }
    }

    async fn call(&self, command: &[&[u8]]) -> Result<Value, Down> {
        Client::connect(self.address.as_str()).await?.call(command).await
    }
}

impl fmt::Display for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis, at {}", self.address)
    }
}

fn key(id: SessionId) -> String {
    format!("{SESSION}:{}", id.to_hex())
}

/// A name is checked again: others can write to the server.
fn visit_of(values: &[Value]) -> Option<Visit> {
    let [Value::Bulk(Some(user)), Value::Integer(number)] = values else { return None };
    let user = str::from_utf8(user).ok()?.parse().ok()?;
    Some(Visit { user, number: u64::try_from(*number).ok()? })
}
