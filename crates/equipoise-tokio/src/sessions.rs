//! Sessions that several balancers share through Redis or Valkey.

mod config;
mod counters;
mod error;
mod fresh;
mod generation;
mod link;
mod queue;
mod redis;
mod shared;
mod store;

pub use self::config::{SharedBuilder, SharedConfig, WriteMode};
pub use self::counters::{SharedCounters, StoreNotice};
pub use self::error::SessionsError;
pub use self::redis::{RedisStore, RedisStoreBuilder};
pub use self::shared::SharedSessions;
pub use self::store::{
    Held, KeepTimes, SessionStore, StoreError, StoreReplies, StoreReply, StoreRequest, Verb,
};
