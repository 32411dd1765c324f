//! The sessions of the login app: in the memory of this process, or in a Redis server that several share.
//!
//! Those in memory are the classic cause of "my login keeps dropping": another backend does not know them.

mod id;
mod memory;
mod name;
mod redis;

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::config::SessionsUrl;
use crate::down::{Down, within};
pub(crate) use id::SessionId;
use memory::Memory;
pub(crate) use name::{MAX_NAME, UserName};
use redis::Redis;

/// A session ends when nobody has come with it for so long.
pub(crate) const IDLE: Duration = Duration::from_secs(30 * 60);

/// Most sessions in memory. In Redis it is the server's `maxmemory` that bounds them.
const CAPACITY: usize = 10_000;

/// Most questions to Redis at a time.
const AT_A_TIME: usize = 32;

/// What keeps the sessions.
#[derive(Debug)]
pub(crate) enum Sessions {
    /// This process, alone.
    Memory(Mutex<Memory>),
    /// A server.
    Redis { redis: Redis, limit: Duration, places: Semaphore },
}

/// Somebody has come with a session.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Visit {
    /// Who has logged in.
    pub(crate) user: UserName,
    /// The how-manieth it is in this session, from 1 on.
    pub(crate) number: u64,
}

impl Sessions {
    /// A Redis server is not asked yet: it may come later. `limit` is how long it may take for an answer.
    pub(crate) fn new(url: SessionsUrl, limit: Duration) -> Self {
        match url {
            SessionsUrl::Memory => Self::Memory(Mutex::new(Memory::new(CAPACITY, IDLE))),
            SessionsUrl::Redis(address) => Self::Redis {
                redis: Redis::new(address, IDLE),
                limit,
                places: Semaphore::new(AT_A_TIME),
            },
        }
    }

    /// Begins a session of this user, with an id that nobody can guess.
    ///
    /// # Errors
    /// There is no room for more, or Redis does not answer.
    pub(crate) async fn begin(&self, user: &UserName) -> Result<SessionId, Down> {
        let id = SessionId::draw()?;
        match self {
            Self::Memory(memory) => memory.lock().begin(id, user, now())?,
            Self::Redis { redis, limit, places } => {
                bounded(*limit, places, redis.begin(id, user)).await?;
            }
        }
        Ok(id)
    }

    /// Counts a visit, which makes the session last longer. `None` if there is no such session, or no more.
    ///
    /// # Errors
    /// Redis does not answer.
    pub(crate) async fn visit(&self, id: SessionId) -> Result<Option<Visit>, Down> {
        match self {
            Self::Memory(memory) => Ok(memory.lock().visit(id, now())),
            Self::Redis { redis, limit, places } => bounded(*limit, places, redis.visit(id)).await,
        }
    }

    /// Ends a session, if it is there.
    ///
    /// # Errors
    /// Redis does not answer.
    pub(crate) async fn end(&self, id: SessionId) -> Result<(), Down> {
        match self {
            Self::Memory(memory) => {
                memory.lock().end(id);
                Ok(())
            }
            Self::Redis { redis, limit, places } => bounded(*limit, places, redis.end(id)).await,
        }
    }
}

impl fmt::Display for Sessions {
    /// Where they are, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("in the memory of this backend"),
            Self::Redis { redis, .. } => write!(f, "in {redis}"),
        }
    }
}

/// The wait for a place counts too.
async fn bounded<T>(
    limit: Duration,
    places: &Semaphore,
    answer: impl Future<Output = Result<T, Down>>,
) -> Result<T, Down> {
    let placed = async {
        let _place = places.acquire().await.map_err(Down::new)?;
        answer.await
    };
    within(limit, placed).await
}

#[allow(clippy::disallowed_methods, reason = "an application is a driver: here it reads the clock")]
fn now() -> Instant {
    Instant::now()
}
