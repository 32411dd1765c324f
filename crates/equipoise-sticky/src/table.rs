//! The table of one thread: sessions, for how long, and no more of them than it may hold.

mod backends;
mod config;
mod counters;
mod journal;
#[cfg(feature = "std")]
mod layout;
mod room;
mod session;
mod store;
mod time;

use core::time::Duration;

use equipoise_core::{BackendId, Instant};

pub use self::config::{TableBuilder, TableConfig, TableConfigError};
pub use self::counters::Counters;
pub use self::journal::{Delta, Deltas, Removal};
pub use self::session::{Found, Imported, Session};
pub use self::store::Swept;

pub(crate) use self::backends::Names;
pub(crate) use self::journal::{Journal, Record};
pub(crate) use self::store::{Common, FIRST_BYTES, Pin, Store};

#[cfg(feature = "std")]
pub(crate) use self::{layout::Layout, store::Import, time::Moment};

use self::backends::Places;
use self::room::Room;
#[cfg(not(feature = "std"))]
use self::store::Import;
use self::time::{Stamp, Ticks};
use crate::SessionKey;
use crate::primitive::Apart;

/// Which backend each session has: with a time to live, a cap, and an eviction rule.
///
/// * A session lives until it has been idle for [`idle`](TableBuilder::idle), or until its
///   [`lifetime`](TableBuilder::lifetime) is over. What is over is a miss, whether or not it was swept.
/// * There are never more sessions than [`max_sessions`](TableBuilder::max_sessions), nor more bytes
///   than [`max_bytes`](TableBuilder::max_bytes). A full table is never closed to new sessions: it
///   evicts the one that was idle for longest among eight neighbours, or a dead one. Keys are keyed
///   digests, so nobody can choose their neighbours.
/// * Who pins a session that is pinned follows: [`bind`](Self::bind) and [`rebind`](Self::rebind) say
///   whose it is.
/// * A clock that was set back, even far, gives sessions at most as long again as they had.
///
/// This is the table of one thread, without std; `ShardedTable` (feature `std`) is for many.
///
/// # Complexity
/// Lookup, bind, rebind, `unbind_session`: O(1), and O(1) amortised where the table grows: then it
/// moves all sessions, as hash tables do. `unbind_backend`: O(1), whatever number of sessions it has.
/// Sweep: O(budget). Lookups never allocate, nor does anything else once the table has its size.
/// Memory: 20 to 39 bytes a session. A table that has shrunk keeps its memory.
///
/// ```
/// use core::time::Duration;
/// use equipoise_core::{BackendId, Instant};
/// use equipoise_sticky::{SessionHasher, Table, TableConfig};
///
/// let hasher = SessionHasher::new([7; 16]);
/// let mut table = Table::new(&TableConfig::builder().idle(Duration::from_secs(60)).build()?);
/// let (blue, green) = (BackendId::named("blue"), BackendId::named("green"));
/// let session = hasher.key(b"cookie").expect("it is not empty");
///
/// let now = Instant::ZERO;
/// assert_eq!(table.lookup(&session, now), None);
/// assert_eq!(table.bind(&session, blue, now), blue);
/// // Another request of the same client was slower, and follows.
/// assert_eq!(table.bind(&session, green, now), blue);
///
/// let later = now + Duration::from_secs(50);
/// assert_eq!(table.lookup(&session, later), Some(blue));
/// assert_eq!(table.rebind(&session, blue, green, later), green);
/// assert_eq!(table.lookup(&session, later + Duration::from_secs(61)), None);
/// # Ok::<(), equipoise_sticky::TableConfigError>(())
/// ```
#[derive(Debug)]
pub struct Table {
    store: Store,
    names: Names,
    common: Common,
    journal: Option<Journal>,
    refused: u64,
}

impl Table {
    /// An empty table.
    pub fn new(config: &TableConfig) -> Self {
        Self {
            store: Store::new(store::buckets_for(config.max_sessions())),
            names: Names::new(config.max_backends() as u16),
            common: Common::new(config, FIRST_BYTES),
            journal: Journal::new(config.deltas()),
            refused: 0,
        }
    }

    /// Pins a session, unless it is pinned. Says to whom it is pinned now.
    ///
    /// If [`max_backends`](TableBuilder::max_backends) other backends have sessions it pins nothing,
    /// counts that as refused, and says `backend`.
    pub fn bind(&mut self, key: &SessionKey, backend: BackendId, now: Instant) -> BackendId {
        self.pin(key, None, backend, now)
    }

    /// Moves a session from one backend to another, if it is still pinned to the first one or to
    /// nobody. Says to whom it is pinned now. Its lifetime starts anew.
    pub fn rebind(
        &mut self,
        key: &SessionKey,
        from: BackendId,
        to: BackendId,
        now: Instant,
    ) -> BackendId {
        self.pin(key, Some(from), to, now)
    }

    fn pin(
        &mut self,
        key: &SessionKey,
        from: Option<BackendId>,
        backend: BackendId,
        now: Instant,
    ) -> BackendId {
        let at = self.common.ticks.at(now);
        let Some(to) = self.names.enter_new(&self.common.places, backend) else {
            self.refused = self.refused.wrapping_add(1);
            return self.lookup(key, now).unwrap_or(backend);
        };
        let pin = Pin { key: *key, from, to, at };
        // There is always room: a full table has sessions to evict.
        self.store.pin(&self.common, &mut self.journal, &pin, false).unwrap_or(backend)
    }

    /// Ends a session. Says whose it was.
    pub fn unbind_session(&mut self, key: &SessionKey, now: Instant) -> Option<BackendId> {
        let at = self.common.ticks.at(now);
        self.store.unbind(&self.common, &mut self.journal, key, at)
    }

    /// Ends all sessions of a backend, in O(1): lookups miss them from now on, and sweeps and new
    /// sessions take their memory. Says how many there were, those among them whose time was up.
    pub fn unbind_backend(&mut self, backend: BackendId) -> usize {
        let count = self.names.unbind(&self.common.places, backend);
        if count > 0 {
            self.journal.record(Delta::BackendUnbound { backend });
        }
        count
    }

    /// Removes sessions whose time is up, and those of backends that were unbound. It looks at no more
    /// than `budget` places for sessions, and the next call goes on from there.
    ///
    /// Nobody has to call it: what is dead is a miss, and a table that
    /// would grow removes its dead first. A driver that calls
    /// it from time to time keeps [`len`](Self::len) close to the sessions that live.
    pub fn sweep(&mut self, now: Instant, budget: usize) -> Swept {
        let at = self.common.ticks.at(now);
        let budget = budget.min(self.store.buckets());
        let mut swept = self.store.sweep(&self.common, &mut self.journal, at, budget);
        // The last one may have stopped in the middle.
        swept += self.store.sweep(&self.common, &mut self.journal, at, budget - swept.seen);
        swept
    }

    /// Takes sessions that another table had.
    ///
    /// Of a session that is known already the later use counts; if both were used at the same time,
    /// the smaller [`BackendId`]. So it does not matter in which order tables hear of each other, nor
    /// how often, as long as there is room. In a full table a session makes room only for one that was
    /// used after it.
    pub fn import(
        &mut self,
        sessions: impl IntoIterator<Item = Session>,
        now: Instant,
    ) -> Imported {
        let mut imported = Imported::default();
        let at = self.common.ticks.at(now);
        for session in sessions {
            let stamp = self.common.ticks.stamp_of(&session, now);
            let Some(stamp) = stamp else {
                imported.expired += 1;
                continue;
            };
            let Some(place) = self.names.enter_new(&self.common.places, session.backend) else {
                imported.refused += 1;
                continue;
            };
            let stamp = stamp.at_place(place);
            let (common, journal) = (&self.common, &mut self.journal);
            imported.count(self.store.import(common, journal, session.key, stamp, at));
        }
        imported
    }

    /// Takes the changes since the last call. Always empty unless [`TableBuilder::deltas`] asks for
    /// them.
    pub fn take_deltas(&mut self) -> Deltas {
        self.journal.as_mut().map(Journal::take).unwrap_or_default()
    }

    /// The backend of a session that lives; its idle time starts anew. No delta tells of that: it would
    /// take `&mut self`.
    pub fn lookup(&self, key: &SessionKey, now: Instant) -> Option<BackendId> {
        self.lookup_idle(key, now).map(|found| found.backend)
    }

    /// The same, and for how long it had been idle: whether it may move is often a question of that.
    pub fn lookup_idle(&self, key: &SessionKey, now: Instant) -> Option<Found> {
        let at = self.common.ticks.at(now);
        let found = self.store.lookup(&self.common, key, at, |_| {})?;
        Some(Found::of(&self.common, found, at))
    }

    /// The sessions that live, in no order.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = Session> {
        let at = self.common.ticks.at(now);
        let sessions = self.store.iter(&self.common, at);
        sessions.map(move |session| self.common.ticks.session(session, at))
    }

    /// How many sessions it holds: the dead among them that nobody has removed yet.
    pub fn len(&self) -> usize {
        self.common.room.sessions()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many sessions a backend has, the dead among them that nobody has removed yet.
    pub fn sessions_of(&self, backend: BackendId) -> usize {
        self.names.sessions_of(&self.common.places, backend)
    }

    /// The heap that it takes, in bytes as requested from the allocator; that of names and deltas
    /// estimated from above.
    pub fn bytes(&self) -> usize {
        self.common.room.bytes()
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        Counters { refused: self.refused, ..self.store.counters() }
    }

    /// How exactly it knows times: within this, which is less than 1/2000 of the idle time.
    pub fn resolution(&self) -> Duration {
        self.common.ticks.resolution()
    }
}

impl Common {
    /// `bytes`: what the shards take from the start.
    pub(crate) fn new(config: &TableConfig, bytes: usize) -> Self {
        Self {
            ticks: Ticks::new(config),
            places: Places::new(config.max_backends()),
            room: Apart(Room::new(
                config.max_sessions(),
                bytes + config.fixed_bytes(),
                config.max_bytes(),
            )),
        }
    }
}

impl Ticks {
    /// The stamp of a session from elsewhere, with no place yet; `None` if its time is up.
    pub(crate) fn stamp_of(&self, session: &Session, now: Instant) -> Option<Stamp> {
        self.stamp(now, session.idle, session.age.unwrap_or(session.idle))
    }

    pub(crate) fn session(
        &self,
        (key, backend, stamp): (SessionKey, BackendId, Stamp),
        at: time::Moment,
    ) -> Session {
        Session { key, backend, idle: self.idle(stamp, at), age: self.age(stamp, at) }
    }
}

impl Imported {
    pub(crate) fn count(&mut self, import: Import) {
        match import {
            Import::Taken => self.taken += 1,
            Import::Known => self.known += 1,
            Import::Refused => self.refused += 1,
        }
    }
}
