//! Sessions that several balancers share through Redis or Valkey.
//!
//! First choose a way that needs no shared state: a sealed cookie, or a hash. Where a session can only be
//! told by an id that is not the balancer's, [`SharedSessions`] keeps a local table, the cache, in step
//! with a [`SessionStore`], the truth; [`RedisStore`] is the one that is here.
//!
//! ```
//! use std::time::Duration;
//! use equipoise_core::{BackendId, Clock, Instant};
//! use equipoise_sticky::{SessionHasher, TableConfig};
//! use equipoise_tokio::sessions::{RedisStore, SharedConfig, SharedSessions};
//!
//! struct Monotonic(std::time::Instant);
//! impl Clock for Monotonic {
//!     fn now(&self) -> Instant {
//!         Instant::ZERO + self.0.elapsed()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = RedisStore::builder("redis://127.0.0.1:1/").pool("web").build()?; // nobody is there
//! let table = TableConfig::builder().idle(Duration::from_secs(1_800)).build()?;
//! let clock = Monotonic(std::time::Instant::now());
//! let sessions = SharedSessions::new(
//!     &table, store, SharedConfig::default(), 42, clock, |notice| eprintln!("{notice}"),
//! );
//! tokio::spawn({
//!     let sessions = sessions.clone();
//!     async move { sessions.run().await }
//! });
//!
//! // The secret is the same on all balancers.
//! let key = SessionHasher::new([7; 16]).key(b"the value of a cookie").ok_or("it is empty")?;
//! let (a, now) = (BackendId::named("a"), Instant::ZERO);
//! assert_eq!(sessions.lookup(&key, now).await, None);
//! assert_eq!(sessions.bind(&key, a, now).await, a); // or whoever another balancer was quicker with
//! assert_eq!(sessions.lookup(&key, now).await, Some(a));
//! assert_eq!(sessions.counters().queued, 1); // for when Redis comes
//! # Ok(())
//! # }
//! ```
//!
//! # What happens when
//! | the store | what a request sees | what is kept |
//! |---|---|---|
//! | answers in time | its answer, or, within the trusted time, what it said last | all |
//! | is slow | the local table, after the time limit; after some failures at once | pins are made locally and queued |
//! | is down | the local table, at once | the same; a session is queued once, the oldest are dropped when the queue is full |
//! | comes back | the local table, until the queue was replayed | the store wins, and the local table follows |
//! | comes back empty | the local table | a session that asks is put back |
//! | reads, but does not write | the store, for lookups; the local table, for pins | pins are queued until it writes |
//!
//! `docs/sessions-redis.md` in the repository has the whole table, with the times and the bounds. A move that
//! another balancer made is seen after the trusted time and the time limit, at the latest.

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
