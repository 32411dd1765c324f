//! From settings to sessions at work.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use equipoise_core::{BackendId, Clock};
use equipoise_hash::key::{AddressForm, KeySource, KeySpec};
use equipoise_sticky::affinity::set_cookie::CookieSettings;
use equipoise_sticky::affinity::token::{Tokens, TokensError};
use equipoise_sticky::surplus::Surplus;
use equipoise_sticky::{SessionHasher, SessionKey, ShardedTable, TableConfig};
use equipoise_tokio::sessions::{RedisStore, SessionsError, SharedSessions, StoreNotice};
use hyper::header::HeaderName;
use tokio::time::{MissedTickBehavior, interval};

use super::memory::Memory;
use super::pins::{Brought, Pins};
use super::settings::{By, Mode, RedisSettings, StickySettings, TokenSettings};
use crate::clock::Monotonic;
use crate::keys::Secret;
use crate::{StartError, log};

/// How a pool keeps a session's requests together.
#[derive(Debug)]
pub struct Sticky {
    /// How a session is told.
    pub way: Way,
    /// Who has which session.
    pub pins: Pins,
    /// The response header that says what came of a session.
    pub report: Option<HeaderName>,
    clock: Monotonic,
    is_random: bool,
    keeping: tokio::sync::Mutex<()>,
}

/// How a session is told.
#[derive(Debug)]
pub enum Way {
    /// By a token of ours.
    Token {
        /// Seals and opens them.
        tokens: Tokens,
        /// Where the client keeps it.
        cookie: CookieSettings,
        /// It stands in front of the application's cookie of this name.
        is_prefix: bool,
    },
    /// By the application's name for the backend.
    Route {
        /// The cookie or the parameter that it is in.
        name: String,
        /// Who is called what.
        routes: HashMap<String, BackendId>,
    },
    /// By what is in a table.
    Table {
        /// What tells sessions apart.
        by: By,
        /// From that to its key.
        hasher: SessionHasher,
    },
}

impl StickySettings {
    /// Sessions at work. Draws a secret if there is none.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn start(
        &self,
        pool: &str,
        clock: Monotonic,
        seed: u64,
    ) -> Result<Sticky, StartError> {
        let (way, memory, is_random) = match &self.mode {
            Mode::Token(settings) => {
                let secret =
                    settings.secret.and_then(Secret::bytes).map_or_else(random_secret, Ok)?;
                let safe = self.surplus.map(|surplus| surplus.idle());
                let tokens = settings.tokens(pool, secret, safe);
                let tokens = tokens.map_err(|error| StartError::new("sticky", error))?;
                let (cookie, is_prefix) = (settings.cookie.clone(), settings.is_prefix);
                (Way::Token { tokens, cookie, is_prefix }, None, settings.secret.is_none())
            }
            Mode::Route { name, routes } => {
                let named = |(backend, route): (&String, &String)| {
                    (route.clone(), BackendId::named(backend.as_str()))
                };
                let routes = routes.iter().map(named).collect();
                (Way::Route { name: name.clone(), routes }, None, false)
            }
            Mode::Table { by, table, secret, redis } => {
                // A random one does: nobody else sees these keys.
                let secret = secret.and_then(Secret::bytes).map_or_else(random_secret, Ok)?;
                let way = Way::Table { by: by.clone(), hasher: SessionHasher::new(secret) };
                let memory = match redis {
                    None => Memory::Local(Box::new(ShardedTable::new(table))),
                    Some(redis) => Memory::Shared(shared(redis, pool, table, clock, seed)?),
                };
                (way, Some(memory), false)
            }
        };
        let pins = Pins::new(self.on_lost, memory, self.surplus.map(Surplus::new));
        let (report, keeping) = (self.report.clone(), tokio::sync::Mutex::default());
        Ok(Sticky { way, pins, report, clock, is_random, keeping })
    }
}

impl TokenSettings {
    /// `safe` is how long a session has to be idle to move; tokens are renewed often enough to tell. If it
    /// need not be idle at all, there is nothing to tell.
    pub(super) fn tokens(
        &self,
        pool: &str,
        secret: [u8; 16],
        safe: Option<Duration>,
    ) -> Result<Tokens, TokensError> {
        let mut tokens = Tokens::new(pool, &secret, self.idle)?.with_epoch(self.epoch);
        for old in self.old_secrets.iter().filter_map(|secret| secret.bytes()) {
            tokens = tokens.with_old_secret(&old)?;
        }
        if let Some(lifetime) = self.lifetime {
            tokens = tokens.with_lifetime(lifetime)?;
        }
        let safe = safe.filter(|safe| !safe.is_zero());
        Ok(safe.map_or(tokens.clone(), |safe| tokens.with_renewal(safe)))
    }
}

impl RedisSettings {
    pub(super) fn store(&self, pool: &str) -> Result<RedisStore, SessionsError> {
        RedisStore::builder(&self.url).prefix(&self.prefix).pool(pool).build()
    }
}

fn shared(
    settings: &RedisSettings,
    pool: &str,
    table: &TableConfig,
    clock: Monotonic,
    seed: u64,
) -> Result<SharedSessions<RedisStore>, StartError> {
    let wrong = |error| StartError::new(format!("pools.{pool}.sticky.redis"), error);
    let store = settings.store(pool).map_err(wrong)?;
    let address = store.address();
    let pool = pool.to_owned();
    let tell = move |notice: &StoreNotice| {
        log::line(format_args!("sessions pool={pool} redis={address} state=\"{notice}\""));
    };
    Ok(SharedSessions::new(table, store, settings.shared.clone(), seed, clock, tell))
}

fn random_secret() -> Result<[u8; 16], StartError> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|error| StartError::new("random secret", error))?;
    Ok(secret)
}

/// How often a table is looked through for sessions that are over, and how much of it at a time.
const SWEEP: (Duration, usize) = (Duration::from_millis(100), 4096);

impl Sticky {
    /// What a client's address brings, if that is what tells sessions apart and it has one.
    pub fn of_client(&self, client: Option<SocketAddr>) -> Brought {
        match &self.way {
            Way::Table { by: By::Client(network), hasher } => {
                Brought::keyed(address_key(network, client, hasher), true)
            }
            _ => Brought::default(),
        }
    }

    /// Whether it is for the application to say that there is a session.
    pub const fn learns(&self) -> bool {
        matches!(self.way, Way::Table { by: By::Cookie(_), .. })
    }

    /// The cookie of ours that clients keep, if they do.
    pub fn own_cookie(&self) -> Option<&str> {
        match &self.way {
            Way::Token { cookie, is_prefix: false, .. } => Some(cookie.name()),
            _ => None,
        }
    }

    /// Whether its secret was drawn at the start, though others have to know it.
    pub const fn is_random(&self) -> bool {
        self.is_random
    }

    /// Connects to Redis, if sessions are there: the first request does not have to wait for that.
    pub(crate) async fn reach(&self) {
        if let Some(Memory::Shared(shared)) = self.pins.memory() {
            shared.reach().await;
        }
    }

    /// Forgets the sessions that are over, and keeps in touch with Redis. It never ends. After a reload two
    /// pools have the same sessions for a time: the second one takes over when the first has gone.
    pub(crate) async fn keep(&self) {
        let _alone = self.keeping.lock().await;
        let Some(memory) = self.pins.memory() else { return };
        let sweep = async {
            let mut ticks = interval(SWEEP.0);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                memory.sweep(self.clock.now(), SWEEP.1);
            }
        };
        match memory {
            Memory::Local(_) => sweep.await,
            Memory::Shared(shared) => _ = tokio::join!(shared.run(), sweep),
        }
    }
}

fn address_key(
    network: &KeySpec,
    client: Option<SocketAddr>,
    hasher: &SessionHasher,
) -> Option<SessionKey> {
    struct Client(Option<SocketAddr>);
    impl KeySource for Client {
        fn client(&self) -> Option<SocketAddr> {
            self.0
        }
    }
    hasher.key(&network.bytes(&Client(client), AddressForm::Bytes)?)
}
