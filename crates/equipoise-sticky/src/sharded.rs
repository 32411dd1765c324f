//! The table that threads share: shards of hash tables, each behind a lock of its own.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use equipoise_core::{BackendId, Instant, Sessions};

use crate::SessionKey;
use crate::primitive::{Apart, AtomicU64, AtomicUsize, Mutex, Ordering, RwLock};
use crate::table::{
    Common, Counters, Delta, Deltas, FIRST_BYTES, Found, Import, Imported, Journal, Layout, Moment,
    Names, Pin, Record, Session, Store, Swept, TableConfig,
};

/// A [`Table`](crate::Table) for many threads, with the same verbs and `&self`.
///
/// A session's key picks its shard. Lookups take their shard's lock for reading, for some nanoseconds;
/// nobody ever waits for I/O, nor holds the locks of two shards, nor one for longer than the work on 64
/// sessions takes. But that a shard that is full removes its dead, or doubles: that is some thousand
/// sessions, and tens of microseconds.
///
/// The caps are those of the whole table, and hold after every operation of any thread. A new session
/// in a full table takes the place of one in the same shard, or of one in another if its own is empty.
///
/// # Complexity
/// As [`Table`](crate::Table), but that a table that grows never moves more than some 2,000 sessions
/// at once. Memory: 20 to 39 bytes a session, 23 where [`max_sessions`](crate::TableBuilder::max_sessions)
/// or its half, fourth and so on are held.
///
/// ```
/// use std::sync::Arc;
/// use equipoise_core::{BackendId, Instant, Sessions};
/// use equipoise_sticky::{SessionHasher, ShardedTable, TableConfig};
///
/// let table = Arc::new(ShardedTable::new(&TableConfig::default()));
/// let key = SessionHasher::new([7; 16]).key(b"cookie").expect("it is not empty");
///
/// // Of several requests that bind at once one wins, and all hear of the same backend.
/// let threads: Vec<_> = ["blue", "green"]
///     .map(|name| {
///         let table = Arc::clone(&table);
///         std::thread::spawn(move || table.bind(&key, BackendId::named(name), Instant::ZERO))
///     })
///     .into();
/// let winners: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
/// assert_eq!(winners[0], winners[1]);
/// assert_eq!(table.lookup(&key, Instant::ZERO), Some(winners[0]));
/// ```
#[derive(Debug)]
pub struct ShardedTable {
    shards: Box<[Shard]>,
    common: Common,
    names: Apart<RwLock<Names>>,
    journal: Option<Mutex<Journal>>,
    /// The shard that is swept next.
    hand: AtomicUsize,
    refused: AtomicU64,
}

/// On cache lines of its own, two of them. The first has all that a lookup needs.
#[derive(Debug)]
#[repr(align(128))]
struct Shard(RwLock<Store>);

#[cfg(not(equipoise_loom))]
const _: () = assert!(size_of::<Shard>() == 128);

/// A sweep holds a lock for so many buckets at a time.
const PAUSE: usize = 64;

impl ShardedTable {
    /// An empty table. How many shards it has follows from the caps: some hundred for a million
    /// sessions, so that their tables are well filled when it is full.
    pub fn new(config: &TableConfig) -> Self {
        let Layout { shards, buckets } = Layout::of(config);
        let bytes = shards * (size_of::<Shard>() + FIRST_BYTES);
        let shard = |_| Shard(RwLock::new(Store::new(buckets)));
        Self {
            shards: (0..shards).map(shard).collect(),
            common: Common::new(config, bytes),
            names: Apart(RwLock::new(Names::new(config.max_backends() as u16))),
            journal: Journal::new(config.deltas()).map(Mutex::new),
            hand: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// The backend of a session that lives; its idle time starts anew.
    #[inline]
    pub fn lookup(&self, key: &SessionKey, now: Instant) -> Option<BackendId> {
        let at = self.common.ticks.at(now);
        let found =
            self.shard(key).0.read().lookup(&self.common, key, at, |delta| self.record(delta));
        found.map(|(backend, _)| backend)
    }

    /// The same, and for how long it had been idle: whether it may move is often a question of that.
    pub fn lookup_idle(&self, key: &SessionKey, now: Instant) -> Option<Found> {
        let at = self.common.ticks.at(now);
        let found =
            self.shard(key).0.read().lookup(&self.common, key, at, |delta| self.record(delta));
        found.map(|found| Found::of(&self.common, found, at))
    }

    /// Pins a session, unless it is pinned. Says to whom it is pinned now: of several that bind at once
    /// one wins, and all hear of the same one.
    ///
    /// If [`max_backends`](crate::TableBuilder::max_backends) other backends have sessions it pins
    /// nothing, counts that as refused, and says `backend`.
    pub fn bind(&self, key: &SessionKey, backend: BackendId, now: Instant) -> BackendId {
        self.pin(key, None, backend, now)
    }

    /// Moves a session from one backend to another, if it is still pinned to the first one or to
    /// nobody. Says to whom it is pinned now. Its lifetime starts anew.
    pub fn rebind(
        &self,
        key: &SessionKey,
        from: BackendId,
        to: BackendId,
        now: Instant,
    ) -> BackendId {
        self.pin(key, Some(from), to, now)
    }

    fn pin(
        &self,
        key: &SessionKey,
        from: Option<BackendId>,
        to: BackendId,
        now: Instant,
    ) -> BackendId {
        let pinned = self.entered(to, |place| {
            let pin = Pin { key: *key, from, to: place?, at: self.common.ticks.at(now) };
            self.pin_to(&pin)
        });
        pinned.unwrap_or_else(|| self.refuse(key, to, now))
    }

    /// `None` if there is no room.
    #[inline]
    fn pin_to(&self, pin: &Pin) -> Option<BackendId> {
        let index = self.index(&pin.key);
        let mut is_room = false;
        // Between two rounds others may take the room that was made, but whoever does has got a
        // session in. So some thread always gets on, and this one after a few rounds.
        for _ in 0..ROUNDS {
            let mut store = self.shards[index].0.write();
            let pinned = store.pin(&self.common, &mut self.journal(), pin, is_room);
            drop(store);
            if pinned.is_some() {
                return pinned;
            }
            is_room = self.make_room(index, pin.at);
        }
        if is_room {
            self.common.room.give_back(1);
        }
        self.common.places.leave(pin.to);
        None
    }

    /// There is no place for a backend, or none for a session.
    #[cold]
    fn refuse(&self, key: &SessionKey, backend: BackendId, now: Instant) -> BackendId {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.lookup(key, now).unwrap_or(backend)
    }

    /// Takes the room of a session, from another shard than this if there is none left.
    #[cold]
    fn make_room(&self, index: usize, at: Moment) -> bool {
        let (before, after) = self.shards.split_at(index);
        after.iter().chain(before).any(|shard| {
            self.common.room.take() || shard.0.write().evict(&self.common, &mut self.journal(), at)
        })
    }

    /// Counts a session that comes to a backend, and runs what is to be done with its place; `None` if
    /// there is no place. No backend is unbound meanwhile, so a session is bound before or after that.
    #[inline]
    fn entered<R>(&self, backend: BackendId, run: impl FnOnce(Option<u16>) -> R) -> R {
        let names = self.names.read();
        if let Some(place) = names.enter(&self.common.places, backend) {
            return run(Some(place));
        }
        drop(names);
        let mut names = self.names.write();
        run(names.enter_new(&self.common.places, backend))
    }

    /// Ends a session. Says whose it was.
    pub fn unbind_session(&self, key: &SessionKey, now: Instant) -> Option<BackendId> {
        let at = self.common.ticks.at(now);
        self.shard(key).0.write().unbind(&self.common, &mut self.journal(), key, at)
    }

    /// Ends all sessions of a backend, in O(1): lookups miss them from now on, and sweeps and new
    /// sessions take their memory. Says how many there were, those among them whose time was up.
    pub fn unbind_backend(&self, backend: BackendId) -> usize {
        let mut names = self.names.write();
        let count = names.unbind(&self.common.places, backend);
        if count > 0 {
            // Before sessions can come back to it.
            self.record(Delta::BackendUnbound { backend });
        }
        count
    }

    /// Removes sessions whose time is up, and those of backends that were unbound. It looks at about
    /// `budget` places for sessions, and the next call goes on from there.
    ///
    /// Nobody has to call it: what is dead is a miss, and a table that
    /// would grow removes its dead first. A driver that calls
    /// it from time to time keeps [`len`](Self::len) close to the sessions that live. It goes round
    /// the shards and holds a lock for 64 places at a time, so a lookup hardly ever waits.
    pub fn sweep(&self, now: Instant, budget: usize) -> Swept {
        let at = self.common.ticks.at(now);
        let mut swept = Swept::default();
        // The first one again in the end: the last sweep may have stopped in its middle.
        for _ in 0..=self.shards.len() {
            let index = self.hand.load(Ordering::Relaxed) % self.shards.len();
            let mut seen = 0;
            loop {
                if swept.seen >= budget {
                    return swept;
                }
                let pause = PAUSE.min(budget - swept.seen);
                let mut store = self.shards[index].0.write();
                let part = store.sweep(&self.common, &mut self.journal(), at, pause);
                let (is_swept, buckets) = (store.is_swept(), store.buckets());
                drop(store);
                swept += part;
                seen += part.seen;
                // Others sweep it, too, so the end may come unseen.
                if is_swept || seen >= buckets {
                    break;
                }
            }
            self.hand.store(index + 1, Ordering::Relaxed);
        }
        swept
    }

    /// Takes sessions that another table had; see [`Table::import`](crate::Table::import). A full table
    /// refuses a session whose shard has none that was used before it.
    pub fn import(&self, sessions: impl IntoIterator<Item = Session>, now: Instant) -> Imported {
        let mut imported = Imported::default();
        let at = self.common.ticks.at(now);
        for session in sessions {
            let Some(stamp) = self.common.ticks.stamp_of(&session, now) else {
                imported.expired += 1;
                continue;
            };
            let import = self.entered(session.backend, |place| {
                let Some(place) = place else { return Import::Refused };
                let stamp = stamp.at_place(place);
                let mut store = self.shard(&session.key).0.write();
                store.import(&self.common, &mut self.journal(), session.key, stamp, at)
            });
            imported.count(import);
        }
        imported
    }

    /// Takes the changes since the last call. Always empty unless
    /// [`TableBuilder::deltas`](crate::TableBuilder::deltas) asks for them.
    pub fn take_deltas(&self) -> Deltas {
        self.journal.as_ref().map(|journal| journal.lock().take()).unwrap_or_default()
    }

    /// The sessions that live, in no order. Those that come, go or move meanwhile may or may not be
    /// among them; no session comes twice. A shard's sessions are copied at once, some 4,000 at the
    /// most, and no lock is held between two items.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = Session> {
        let at = self.common.ticks.at(now);
        self.shards.iter().flat_map(move |shard| {
            let store = shard.0.read();
            let mut sessions = Vec::with_capacity(store.len());
            let live = store.iter(&self.common, at);
            sessions.extend(live.map(|session| self.common.ticks.session(session, at)));
            sessions
        })
    }

    /// How many sessions it holds: the dead among them that nobody has removed yet. Never more than
    /// [`max_sessions`](crate::TableBuilder::max_sessions).
    pub fn len(&self) -> usize {
        self.common.room.sessions()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many sessions a backend has, the dead among them that nobody has removed yet.
    pub fn sessions_of(&self, backend: BackendId) -> usize {
        self.names.read().sessions_of(&self.common.places, backend)
    }

    /// The heap that it takes, in bytes as requested from the allocator; that of names and deltas
    /// estimated from above.
    pub fn bytes(&self) -> usize {
        self.common.room.bytes()
    }

    /// What it has done so far, shard by shard: while others use the table the sum is of no one moment.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for shard in &self.shards {
            sum += shard.0.read().counters();
        }
        sum.refused = self.refused.load(Ordering::Relaxed);
        sum
    }

    /// How exactly it knows times: within this, which is less than 1/2000 of the idle time.
    pub fn resolution(&self) -> Duration {
        self.common.ticks.resolution()
    }

    #[inline]
    fn shard(&self, key: &SessionKey) -> &Shard {
        &self.shards[self.index(key)]
    }

    /// By multiplication, since the number of shards is no power of two. It goes by the upper bits of
    /// the hash, and the place in a shard by the lower ones.
    #[inline]
    fn index(&self, key: &SessionKey) -> usize {
        let product = u128::from(key.hash()) * self.shards.len() as u128;
        (product >> 64) as usize
    }

    fn journal(&self) -> Shared<'_> {
        Shared(self.journal.as_ref())
    }

    fn record(&self, delta: Delta) {
        self.journal().record(delta);
    }
}

/// How often a session tries to get into a full table whose sessions others take away.
const ROUNDS: usize = 64;

impl Sessions for ShardedTable {
    type Key = SessionKey;

    #[inline]
    fn lookup(&self, key: &SessionKey, now: Instant) -> Option<BackendId> {
        self.lookup(key, now)
    }

    fn bind(&self, key: &SessionKey, backend: BackendId, now: Instant) -> BackendId {
        self.bind(key, backend, now)
    }

    fn rebind(&self, key: &SessionKey, from: BackendId, to: BackendId, now: Instant) -> BackendId {
        self.rebind(key, from, to, now)
    }
}

/// The journal of a table that is shared. It is locked while a shard is, never the other way round, so
/// the changes of one session are in order.
struct Shared<'a>(Option<&'a Mutex<Journal>>);

impl Record for Shared<'_> {
    #[inline]
    fn record(&mut self, delta: Delta) {
        if let Some(journal) = self.0 {
            journal.lock().record(delta);
        }
    }
}
