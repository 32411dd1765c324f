//! Sessions in Redis or Valkey.

mod reply;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use equipoise_sticky::SessionKey;
use parking_lot::Mutex;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, Value};

use super::error::SessionsError;
use super::store::{
    KeepTimes, SessionStore, StoreError, StoreReplies, StoreReply, StoreRequest, Verb,
};

/// All that is done to a session, as one atomic step.
const SCRIPT: &str = include_str!("redis/session.lua");

/// Sessions in one Redis, 5 or later, or in Valkey.
///
/// A session is a key of its own, `PREFIX:POOL:` and the 16 hexadecimal digits of its
/// [`SessionKey`]; its value is `1:` (the version of this form), the 16 digits of the
/// [`BackendId`](equipoise_core::BackendId), `:`, and when the session was pinned there, in
/// milliseconds since 1970 by the clock of Redis. Redis lets it expire. Neither the
/// session's id nor a name or address of a backend is in it. `PREFIX:POOL:generation` holds a
/// number that tells whether Redis has lost its data since.
///
/// Each step is one run of a Lua script, so balancers may race. It needs these commands: `EVALSHA`, `SCRIPT LOAD`, `TIME`,
/// `GET`, `SET`, `DEL`, `PTTL`, `PEXPIRE`. It never lists keys. Redis Cluster is not supported: a single primary is, and
/// whatever fails over behind one address.
///
/// There is one connection, shared by all that asks; requests that meet travel together. It is
/// made when it is needed first, and again when it broke.
///
/// ```
/// use equipoise_tokio::sessions::RedisStore;
///
/// let store = RedisStore::builder("redis://127.0.0.1:6379/").pool("web").build()?;
/// assert_eq!(format!("{store:?}"), "RedisStore(127.0.0.1:6379, equipoise:web)");
/// # Ok::<(), equipoise_tokio::sessions::SessionsError>(())
/// ```
pub struct RedisStore {
    client: Client,
    /// What each session's key begins with.
    prefix: String,
    generation_key: String,
    connection: Mutex<Option<Connected>>,
    connections: AtomicU64,
    /// Held by whoever connects, so that the others wait instead of connecting as well.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Connected {
    connection: MultiplexedConnection,
    /// Which one it is: the first is 1.
    number: u64,
    /// The script's name on this server.
    digest: Arc<str>,
}

impl RedisStore {
    /// A store at this URL: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `redis+unix:///PATH`.
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        let (prefix, pool) = ("equipoise".to_owned(), "default".to_owned());
        RedisStoreBuilder { url: url.into(), prefix, pool }
    }

    /// Where it is: an address and a port, or a path.
    pub fn address(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// The key of a session in Redis.
    pub fn key(&self, key: &SessionKey) -> String {
        use fmt::Write;
        let mut name = String::with_capacity(self.prefix.len() + 16);
        name.push_str(&self.prefix);
        for byte in key.as_bytes() {
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    async fn connected(&self) -> Result<Connected, StoreError> {
        if let Some(connected) = self.connection.lock().clone() {
            return Ok(connected);
        }
        let _alone = self.connecting.lock().await;
        if let Some(connected) = self.connection.lock().clone() {
            return Ok(connected);
        }
        // Whoever waits for this sets the limits.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| reply::error(&error))?;
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(SCRIPT);
        let answer = connection.req_packed_command(&load).await;
        let answer = answer.map_err(|error| reply::error(&error))?;
        let number = self.connections.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let connected = Connected { connection, number, digest: reply::digest(answer)? };
        *self.connection.lock() = Some(connected.clone());
        Ok(connected)
    }

    fn command(&self, digest: &str, times: KeepTimes, request: &StoreRequest) -> Cmd {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(MAX_MS);
        let mut command = redis::cmd("EVALSHA");
        command.arg(digest).arg(2).arg(self.key(&request.key)).arg(&self.generation_key);
        let (verb, backends) = match request.verb {
            Verb::Get => ("get", None),
            Verb::Bind { backend, age } => ("bind", Some((backend, age, None))),
            Verb::Move { from, to, age } => ("move", Some((to, age, Some(from)))),
            Verb::Drop => ("drop", None),
        };
        command.arg(verb).arg(ms(times.keep).max(1)).arg(ms(times.slack));
        command.arg(times.lifetime.map_or(0, |time| ms(time).max(1)));
        if let Some((to, age, from)) = backends {
            command.arg(to.to_string()).arg(ms(age));
            if let Some(from) = from {
                command.arg(from.to_string());
            }
        }
        command
    }

    async fn send(
        &self,
        connected: &mut Connected,
        times: KeepTimes,
        requests: &[StoreRequest],
    ) -> Result<Vec<Value>, RedisError> {
        let digest = Arc::clone(&connected.digest);
        if let [request] = requests {
            let command = self.command(&digest, times, request);
            return Ok(vec![connected.connection.req_packed_command(&command).await?]);
        }
        let mut pipeline = Pipeline::with_capacity(requests.len());
        for request in requests {
            pipeline.add_command(self.command(&digest, times, request));
        }
        connected.connection.req_packed_commands(&pipeline, 0, requests.len()).await
    }
}

/// The longest time that the script is told, in milliseconds: 10,000 years. Lua's numbers are exact
/// up to 2⁵³.
const MAX_MS: u64 = 10_000 * 365 * 86_400_000;

impl SessionStore for RedisStore {
    async fn exchange(&self, times: KeepTimes, requests: &[StoreRequest]) -> StoreReplies {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let mut tries = 0;
        loop {
            let mut connected = self.connected().await?;
            let result = self.send(&mut connected, times, requests).await;
            let is_lost = match &result {
                Err(error) => reply::loses_connection(error),
                Ok(values) => values.iter().any(reply::asks_for_another_connection),
            };
            if is_lost {
                self.forget(&connected);
                // Redis closes connections that are idle, and forgets scripts when it starts anew:
                // that is no failure. Everything may be done twice.
                tries += 1;
                if tries < 2 {
                    continue;
                }
            }
            let values = result.map_err(|error| reply::error(&error))?;
            if values.len() != requests.len() {
                let reason = format!("{} answers to {} questions", values.len(), requests.len());
                return Err(StoreError::Malformed { reason });
            }
            return values.into_iter().map(|value| reply::sense(value, connected.number)).collect();
        }
    }

    fn reset(&self) {
        *self.connection.lock() = None;
    }
}

impl RedisStore {
    /// Drops this connection, unless somebody has replaced it by now.
    fn forget(&self, connected: &Connected) {
        let mut held = self.connection.lock();
        if held.as_ref().is_some_and(|held| held.number == connected.number) {
            *held = None;
        }
    }
}

impl fmt::Debug for RedisStore {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStore({}, {})", self.address(), self.prefix.trim_end_matches(':'))
    }
}

/// What a [`RedisStore`] is made of.
#[derive(Clone)]
#[must_use = "settings do nothing until they are built"]
pub struct RedisStoreBuilder {
    url: String,
    prefix: String,
    pool: String,
}

impl RedisStoreBuilder {
    /// What the keys begin with: 1 to 64 letters, digits, `-`, `_`, `.`, `:`. Default "equipoise".
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The pool whose sessions these are, which stands behind the prefix; the same characters.
    /// Balancers that share sessions have the same one. Default "default".
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = pool.into();
        self
    }

    /// Checks the settings. Connects to nobody.
    ///
    /// # Errors
    /// The setting that is wrong. What was given as URL is not in it, as it may hold a password.
    pub fn build(self) -> Result<RedisStore, SessionsError> {
        for (field, given) in [("prefix", &self.prefix), ("pool", &self.pool)] {
            let is_allowed =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
            if !(1..=64).contains(&given.len()) || !given.chars().all(is_allowed) {
                let given = given.chars().take(65).collect();
                let allowed = "1 to 64 letters, digits, `-`, `_`, `.`, `:`";
                return Err(SessionsError::Setting { field, given, allowed });
            }
        }
        let client = Client::open(self.url)
            .map_err(|error| SessionsError::Url { reason: reply::words(&error) })?;
        let prefix = format!("{}:{}:", self.prefix, self.pool);
        Ok(RedisStore {
            client,
            generation_key: format!("{prefix}generation"),
            prefix,
            connection: Mutex::new(None),
            connections: AtomicU64::new(0),
            connecting: tokio::sync::Mutex::new(()),
        })
    }
}

impl fmt::Debug for RedisStoreBuilder {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStoreBuilder({}:{})", self.prefix, self.pool)
    }
}
