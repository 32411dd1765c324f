//! The sessions themselves: one hash table, alone in a `Table` and one of many in a `ShardedTable`.

use alloc::vec::Vec;
use core::ops::AddAssign;

use equipoise_core::BackendId;
use hashbrown::HashTable;

use super::backends::Places;
use super::counters::{Counters, Tally};
use super::journal::{Delta, Record, Removal};
use super::room::Room;
use super::session::Found;
use super::time::{Moment, Stamp, Ticks};
use crate::SessionKey;
use crate::primitive::{Apart, AtomicU64, Ordering};

/// A session: 16 bytes.
#[derive(Debug)]
pub(crate) struct Entry {
    key: SessionKey,
    /// Atomic, so that lookups can refresh it while others look up.
    stamp: AtomicU64,
}

#[cfg(not(equipoise_loom))]
const _: () = assert!(size_of::<Entry>() == 16);

impl Entry {
    fn new(key: SessionKey, stamp: Stamp) -> Self {
        Self { key, stamp: AtomicU64::new(stamp.to_bits()) }
    }

    #[inline]
    fn stamp(&self) -> Stamp {
        Stamp::from_bits(self.stamp.load(Ordering::Relaxed))
    }

    /// Refreshes a stamp that others may refresh, too: the latest stays. Says whether it is to be told.
    #[cold]
    fn refresh(&self, common: &Common, mut from: Stamp, mut to: Stamp, at: Moment) -> bool {
        loop {
            let bits = (from.to_bits(), to.to_bits());
            match self.stamp.compare_exchange(bits.0, bits.1, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return common.ticks.reports(from, to),
                Err(changed) => from = Stamp::from_bits(changed),
            }
            match common.ticks.refreshed(from, at) {
                Some(refreshed) => to = refreshed,
                None => return false,
            }
        }
    }

    fn set(&self, stamp: Stamp) {
        self.stamp.store(stamp.to_bits(), Ordering::Relaxed);
    }
}

/// The hash for hashbrown, which takes a place by the lower bits and has a filter of the upper seven. The
/// upper bits of the key's hash are much alike in one shard, so the halves change places.
#[inline]
fn hash_of(key: &SessionKey) -> u64 {
    key.hash().rotate_left(32)
}

#[inline]
fn hash(entry: &Entry) -> u64 {
    hash_of(&entry.key)
}

/// What all shards of a table have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) ticks: Ticks,
    pub(crate) places: Places,
    pub(crate) room: Apart<Room>,
}

/// The order of the fields is that of their use: lookups need the first ones.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Store {
    sessions: HashTable<Entry>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// The sweep's next bucket.
    hand: u32,
    /// It never has more buckets.
    max_buckets: u32,
    stale: AtomicU64,
    tally: Tally,
}

/// What a sweep did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Swept {
    /// How many places for sessions it looked at.
    pub seen: usize,
    /// How many sessions it removed.
    pub removed: usize,
}

impl AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        self.seen += other.seen;
        self.removed += other.removed;
    }
}

/// So many sessions are compared to evict one. Redis has 5 of all (`maxmemory-samples`); neighbours
/// cost less.
const SAMPLE: usize = 8;
/// So many buckets say whether many sessions are dead.
const SAMPLE_OF_DEAD: usize = 256;
/// A smaller hash table than that is not worth while.
const FEWEST_BUCKETS: usize = 16;
/// What a store takes from the start.
pub(crate) const FIRST_BYTES: usize = bytes_of(FEWEST_BUCKETS);

impl Store {
    /// Its bytes count as taken already, as [`FIRST_BYTES`].
    pub(crate) fn new(max_buckets: usize) -> Self {
        Self {
            // So that no shard is without, when bytes get scarce.
            sessions: HashTable::with_capacity(capacity_of(FEWEST_BUCKETS)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            hand: 0,
            max_buckets: max_buckets.max(FEWEST_BUCKETS) as u32,
            stale: AtomicU64::new(0),
            tally: Tally::default(),
        }
    }

    /// The backend of a session that lives, and what its stamp was; its idle time starts anew.
    #[inline]
    pub(crate) fn lookup(
        &self,
        common: &Common,
        key: &SessionKey,
        at: Moment,
        record: impl FnOnce(Delta),
    ) -> Option<(BackendId, Stamp)> {
        let Some(entry) = self.sessions.find(hash_of(key), |entry| entry.key == *key) else {
            self.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let stamp = entry.stamp();
        let Some(backend) = live(common, stamp, at) else {
            self.misses.fetch_add(1, Ordering::Relaxed);
            self.stale.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        if let Some(refreshed) = common.ticks.refreshed(stamp, at)
            && entry.refresh(common, stamp, refreshed, at)
        {
            record(Delta::Refreshed { key: *key, backend });
        }
        // No addition at once: that would take as long as a lock.
        self.hits.store(self.hits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        Some((backend, stamp))
    }

    /// Pins a session to the backend of the place `to`, unless it is pinned to another one than `from`.
    /// Says to whom it is pinned now; `None` if the table is full and none of its sessions is here.
    ///
    /// The place counts the session already, and so does the room if there `is_room`; if it is not
    /// used, that is given back, but for the place if the answer is `None`.
    pub(crate) fn pin(
        &mut self,
        common: &Common,
        journal: &mut impl Record,
        pin: &Pin,
        is_room: bool,
    ) -> Option<BackendId> {
        let Pin { key, from, to, at } = *pin;
        let backend = common.places.name(to);
        if let Some(entry) = self.sessions.find(hash_of(&key), |entry| entry.key == key) {
            if is_room {
                common.room.give_back(1);
            }
            let stamp = entry.stamp();
            let current = live(common, stamp, at);
            let Some(current) = current else {
                entry.set(Stamp::new(to, at));
                common.places.leave(stamp.place());
                self.tally.expired += 1;
                self.tally.bound += 1;
                journal.record(removed(common, key, stamp, Removal::Expired));
                journal.record(Delta::Bound { key, backend });
                return Some(backend);
            };
            if from == Some(current) && current != backend {
                entry.set(Stamp::new(to, at));
                common.places.leave(stamp.place());
                self.tally.rebound += 1;
                journal.record(Delta::Rebound { key, from: current, to: backend });
                return Some(backend);
            }
            if let Some(refreshed) = common.ticks.refreshed(stamp, at) {
                entry.set(refreshed);
                if common.ticks.reports(stamp, refreshed) {
                    journal.record(Delta::Refreshed { key, backend: current });
                }
            }
            common.places.leave(to);
            if from.is_none() {
                self.tally.kept += 1;
            } else {
                self.tally.lost += 1;
            }
            return Some(current);
        }
        if !is_room && !common.room.take() && !self.evict(common, journal, at) {
            return None;
        }
        self.insert(common, journal, Entry::new(key, Stamp::new(to, at)), at);
        self.tally.bound += 1;
        journal.record(Delta::Bound { key, backend });
        Some(backend)
    }

    /// Takes a session from elsewhere, if it was used later than the one that is here; of two that were
    /// used at the same time the one of the smaller backend stays. Never evicts a session that was used
    /// later.
    pub(crate) fn import(
        &mut self,
        common: &Common,
        journal: &mut impl Record,
        key: SessionKey,
        stamp: Stamp,
        at: Moment,
    ) -> Import {
        let backend = common.places.name(stamp.place());
        if let Some(entry) = self.sessions.find(hash_of(&key), |entry| entry.key == key) {
            let old = entry.stamp();
            let current = live(common, old, at);
            if let Some(current) = current {
                let (ours, theirs) = (old.idle_ticks(at), stamp.idle_ticks(at));
                if ours < theirs || ours == theirs && current <= backend {
                    common.places.leave(stamp.place());
                    return Import::Known;
                }
            }
            entry.set(stamp);
            common.places.leave(old.place());
            match current {
                Some(from) if from == backend => {
                    if common.ticks.reports(old, stamp) {
                        journal.record(Delta::Refreshed { key, backend });
                    }
                }
                Some(from) => journal.record(Delta::Rebound { key, from, to: backend }),
                None => {
                    self.tally.expired += 1;
                    journal.record(removed(common, key, old, Removal::Expired));
                    journal.record(Delta::Bound { key, backend });
                }
            }
            return Import::Taken;
        }
        if !common.room.take() {
            let older = self.victim(common, at).filter(|&(_, idle)| idle >= stamp.idle_ticks(at));
            let Some((bucket, _)) = older else {
                common.places.leave(stamp.place());
                return Import::Refused;
            };
            self.remove_at(common, journal, bucket, at);
        }
        self.insert(common, journal, Entry::new(key, stamp), at);
        journal.record(Delta::Bound { key, backend });
        Import::Taken
    }

    /// Removes a session. Says whose it was, if it lived.
    pub(crate) fn unbind(
        &mut self,
        common: &Common,
        journal: &mut impl Record,
        key: &SessionKey,
        at: Moment,
    ) -> Option<BackendId> {
        let entry = self.sessions.find_entry(hash_of(key), |entry| entry.key == *key).ok()?;
        let stamp = entry.remove().0.stamp();
        let backend = live(common, stamp, at);
        common.room.give_back(1);
        let cause = if backend.is_some() { Removal::Unbound } else { Removal::Expired };
        match cause {
            Removal::Unbound => self.tally.unbound += 1,
            _ => self.tally.expired += 1,
        }
        journal.record(removed(common, *key, stamp, cause));
        common.places.leave(stamp.place());
        backend
    }

    /// Looks at so many buckets, from where the last sweep stopped, but not beyond the last one, and
    /// removes the dead.
    pub(crate) fn sweep(
        &mut self,
        common: &Common,
        journal: &mut impl Record,
        at: Moment,
        buckets: usize,
    ) -> Swept {
        let first = if self.is_swept() { 0 } else { self.hand as usize };
        let end = self.sessions.num_buckets().min(first.saturating_add(buckets));
        self.hand = end as u32;
        let mut swept = Swept { seen: end - first, removed: 0 };
        for bucket in first..end {
            let Some(entry) = self.sessions.get_bucket(bucket) else { continue };
            let stamp = entry.stamp();
            if live(common, stamp, at).is_some() {
                if common.ticks.is_far_ahead(stamp, at) {
                    entry.set(stamp.used_at(at));
                }
                continue;
            }
            self.remove_at(common, journal, bucket, at);
            swept.removed += 1;
        }
        if swept.removed > 0 {
            common.room.give_back(swept.removed);
        }
        swept
    }

    /// Whether the last sweep stopped at the end.
    pub(crate) fn is_swept(&self) -> bool {
        self.hand as usize >= self.sessions.num_buckets()
    }

    /// Removes the session of a sample that was idle for longest, or a dead one. Its room is not given
    /// back: the caller has it. `false` if there is no session.
    pub(crate) fn evict(&mut self, common: &Common, journal: &mut impl Record, at: Moment) -> bool {
        let Some((bucket, _)) = self.victim(common, at) else { return false };
        self.remove_at(common, journal, bucket, at);
        true
    }

    /// The bucket of the session to evict, and for how many ticks that was idle.
    fn victim(&self, common: &Common, at: Moment) -> Option<(usize, i32)> {
        if self.sessions.is_empty() {
            return None;
        }
        let all = self.sessions.num_buckets();
        // A Weyl sequence, so that victims are taken from everywhere in turn.
        let turn = self.tally.evicted.wrapping_add(self.tally.expired);
        let start = (turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        let buckets = (0..all).map(|step| start.wrapping_add(step) & (all - 1));
        let stamped = buckets.filter_map(|bucket| {
            let stamp = self.sessions.get_bucket(bucket)?.stamp();
            let dead = live(common, stamp, at).is_none();
            Some((bucket, if dead { i32::MAX } else { stamp.idle_ticks(at) }))
        });
        stamped.take(SAMPLE).max_by_key(|&(_, idle)| idle)
    }

    /// Removes what is in a bucket, without giving its room back.
    fn remove_at(&mut self, common: &Common, journal: &mut impl Record, bucket: usize, at: Moment) {
        let Ok(entry) = self.sessions.get_bucket_entry(bucket) else { return };
        let (entry, _) = entry.remove();
        let stamp = entry.stamp();
        let cause =
            if live(common, stamp, at).is_some() { Removal::Evicted } else { Removal::Expired };
        match cause {
            Removal::Evicted => self.tally.evicted += 1,
            _ => self.tally.expired += 1,
        }
        journal.record(removed(common, entry.key, stamp, cause));
        common.places.leave(stamp.place());
    }

    /// Puts a session that is not here into the table, for which there is room.
    fn insert(&mut self, common: &Common, journal: &mut impl Record, entry: Entry, at: Moment) {
        if self.is_filled() && !self.bury(common, journal, at) && !self.grow(common) {
            // Sessions that were removed leave marks, which count as full.
            let all = capacity_of(self.sessions.num_buckets());
            let most = all - (all / 16).max(1);
            self.evict_to(common, journal, at, most);
            if self.is_filled() && !self.clear_marks(common) {
                // With less than half of the sessions that fit, marks are cleared in place.
                self.evict_to(common, journal, at, all / 2 - 1);
            }
        }
        self.sessions.insert_unique(hash(&entry), entry, hash);
    }

    /// Removes the dead, if that makes room for a while: a fourth of the hash table. If a sample says that
    /// few are dead, it does not look at the others.
    fn bury(&mut self, common: &Common, journal: &mut impl Record, at: Moment) -> bool {
        let buckets = self.sessions.num_buckets();
        let sample = SAMPLE_OF_DEAD.min(buckets);
        if self.sweep(common, journal, at, sample).removed < sample / 8 {
            return false;
        }
        // The rest, from there to the end and from the start.
        self.sweep(common, journal, at, buckets);
        self.sweep(common, journal, at, buckets);
        self.sessions.len() <= capacity_of(buckets) / 4 * 3 && self.clear_marks(common)
    }

    /// Whether one more session makes the hash table grow.
    fn is_filled(&self) -> bool {
        self.sessions.len() == self.sessions.capacity()
    }

    fn evict_to(&mut self, common: &Common, journal: &mut impl Record, at: Moment, most: usize) {
        while self.is_filled() && self.sessions.len() > most && self.evict(common, journal, at) {
            common.room.give_back(1);
        }
    }

    /// Doubles the hash table, or clears its marks. `false` if it must not grow.
    fn grow(&mut self, common: &Common) -> bool {
        let (len, buckets) = (self.sessions.len(), self.sessions.num_buckets());
        if len < capacity_of(buckets) / 2 {
            self.sessions.reserve(1, hash);
            return true;
        }
        let more = 2 * buckets;
        // For a moment the old one is there, too; and what clears the marks later takes a bit more.
        let (old, new, moment) =
            (bytes_of(buckets), bytes_of(more), capacity_of(more) * size_of::<Entry>());
        if more > self.max_buckets as usize || !common.room.take_bytes(new + moment - old) {
            return false;
        }
        self.sessions.reserve(capacity_of(more) - len, hash);
        common.room.give_back_bytes(moment);
        true
    }

    /// Clears the marks. `false` if there is no room to do it.
    ///
    /// hashbrown would do it in place for a hash table that is less than half full, and double a fuller
    /// one; so all sessions are taken out and put back.
    fn clear_marks(&mut self, common: &Common) -> bool {
        let bytes = self.sessions.len() * size_of::<Entry>();
        if !common.room.take_bytes(bytes) {
            return false;
        }
        let mut entries = Vec::with_capacity(self.sessions.len());
        entries.extend(self.sessions.drain());
        for entry in entries {
            self.sessions.insert_unique(hash(&entry), entry, hash);
        }
        common.room.give_back_bytes(bytes);
        true
    }

    /// How many places for sessions it has.
    pub(crate) fn buckets(&self) -> usize {
        self.sessions.num_buckets()
    }

    #[cfg(feature = "std")]
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// The sessions that live.
    pub(crate) fn iter(
        &self,
        common: &Common,
        at: Moment,
    ) -> impl Iterator<Item = (SessionKey, BackendId, Stamp)> {
        self.sessions.iter().filter_map(move |entry| {
            let stamp = entry.stamp();
            Some((entry.key, live(common, stamp, at)?, stamp))
        })
    }

    pub(crate) fn counters(&self) -> Counters {
        let Tally { bound, kept, rebound, lost, unbound, expired, evicted } = self.tally;
        Counters {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            stale: self.stale.load(Ordering::Relaxed),
            bound,
            kept,
            rebound,
            lost,
            unbound,
            expired,
            evicted,
            refused: 0,
        }
    }
}

/// A session that is to be pinned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pin {
    pub(crate) key: SessionKey,
    pub(crate) from: Option<BackendId>,
    pub(crate) to: u16,
    pub(crate) at: Moment,
}

/// What became of an imported session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Import {
    Taken,
    Known,
    Refused,
}

/// The backend of a session whose time is not up and whose backend was not unbound.
#[inline]
fn live(common: &Common, stamp: Stamp, at: Moment) -> Option<BackendId> {
    if common.ticks.is_live(stamp, at) { common.places.backend(stamp.place()) } else { None }
}

fn removed(common: &Common, key: SessionKey, stamp: Stamp, cause: Removal) -> Delta {
    Delta::Removed { key, backend: common.places.name(stamp.place()), cause }
}

/// How many sessions so many buckets hold.
const fn capacity_of(buckets: usize) -> usize {
    buckets / 8 * 7
}

/// What so many buckets take at the most: entries, a byte for each, and as many bytes as are read at
/// once.
pub(crate) const fn bytes_of(buckets: usize) -> usize {
    buckets * (size_of::<Entry>() + 1) + 64
}

/// How many buckets a table should have that holds so many sessions in one piece, for it to have room
/// for the marks of those that left.
pub(crate) const fn buckets_for(sessions: usize) -> usize {
    (sessions + sessions / 4 + 1).next_power_of_two()
}

impl Found {
    pub(crate) fn of(common: &Common, (backend, stamp): (BackendId, Stamp), at: Moment) -> Self {
        Self { backend, idle: common.ticks.idle(stamp, at) }
    }
}
