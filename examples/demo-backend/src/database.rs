//! A question to the database, in bounded time.

mod redis;
mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use proxy_kit::StartError;
use tokio::sync::Semaphore;

use crate::config::DatabaseUrl;
use crate::down::{Down, within};
use redis::Redis;
use sqlite::Sqlite;

/// Most questions at a time. One that SQLite does not answer holds a thread, even when nobody waits for it
/// any more; so a disk that hangs must not take them all.
const AT_A_TIME: usize = 32;

/// The database, and how long it may take.
#[derive(Debug)]
pub(crate) struct Database {
    kind: Kind,
    limit: Duration,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
enum Kind {
    Sqlite(Arc<Sqlite>),
    Redis(Redis),
}

/// What the database is asked. Every answer is a number.
#[derive(Debug)]
pub(crate) enum Question {
    /// How many orders are there?
    Orders,
    /// How many orders with this id are there?
    OrdersOf { id: String },
    /// Appends an order; how many are there now?
    Append { id: String, by: String, body: Bytes },
    /// Reads and writes a little, as a check of its health: the how-manieth check by this name is it?
    Check { name: String },
}

impl Database {
    /// Makes the tables of an SQLite file, and the file. A Redis server is not asked yet: it may come later.
    ///
    /// # Errors
    /// Names the file.
    pub(crate) async fn open(url: DatabaseUrl, limit: Duration) -> Result<Self, StartError> {
        let kind = match url {
            DatabaseUrl::Redis(address) => Kind::Redis(Redis::new(address)),
            DatabaseUrl::Sqlite(path) => {
                let thing = format!("--database sqlite:{}", path.display());
                let sqlite = Arc::new(Sqlite::new(path, limit));
                let prepared = blocking(&sqlite, Sqlite::prepare).await;
                prepared.map_err(|error| StartError::new(thing, error))?;
                Kind::Sqlite(sqlite)
            }
        };
        Ok(Self { kind, limit, places: Arc::new(Semaphore::new(AT_A_TIME)) })
    }

    /// Asks, and waits for the answer for as long as is allowed.
    pub(crate) async fn ask(&self, question: Question) -> Result<u64, Down> {
        let answer = async {
            let place = Arc::clone(&self.places).acquire_owned().await.map_err(Down::new)?;
            match &self.kind {
                Kind::Redis(redis) => redis.ask(question).await,
                Kind::Sqlite(sqlite) => {
                    let ask = move |sqlite: &Sqlite| {
                        let answer = sqlite.ask(&question);
                        // Not before: whoever waits may have left.
                        drop(place);
                        answer
                    };
                    blocking(sqlite, ask).await
                }
            }
        };
        within(self.limit, answer).await
    }

    /// Takes the database away, until it is brought back.
    pub(crate) async fn take_away(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Sqlite(sqlite) => blocking(sqlite, Sqlite::take_away).await,
            Kind::Redis(redis) => redis.take_away(),
        }
        .map_err(|error| format!("the database can't be taken away: {error}"))
    }

    /// Brings it back, if it has been taken away.
    pub(crate) async fn bring_back(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Sqlite(sqlite) => blocking(sqlite, Sqlite::bring_back).await,
            Kind::Redis(redis) => {
                redis.bring_back();
                Ok(())
            }
        }
        .map_err(|error| format!("the database can't be brought back: {error}"))
    }
}

/// SQLite blocks its thread.
async fn blocking<T: Send + 'static>(
    sqlite: &Arc<Sqlite>,
    work: impl FnOnce(&Sqlite) -> Result<T, Down> + Send + 'static,
) -> Result<T, Down> {
    let sqlite = Arc::clone(sqlite);
    tokio::task::spawn_blocking(move || work(&sqlite)).await.map_err(Down::new)?
}
