//! What is measured: a table from sessions, as keys of 16 bytes, to backends, as numbers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::hash::keys::{Key, key};
use crate::row::{Row, Worker};

/// So many sessions there are.
pub const SESSIONS: u64 = 1_000_000;
/// On so many backends.
pub const BACKENDS: u64 = 100;

/// The clock of tables that have none of their own, in nanoseconds. Only the harness sets it.
pub static NOW: AtomicU64 = AtomicU64::new(0);

/// A table that threads share.
pub trait SessionTable: Send + Sync + Sized + 'static {
    /// What the results call it.
    const NAME: &'static str;
    /// Whether it expires sessions by the real clock: then the harness waits.
    const REAL_CLOCK: bool = false;
    /// Whether sessions expire at all.
    const EXPIRES: bool = true;
    /// Whether it has a cap of its own.
    const CAPPED: bool;

    /// For so many sessions, which live so long after they were written, or used.
    fn new(cap: usize, ttl: Duration) -> Self;
    /// Writes a session.
    fn put(&self, key: &Key, backend: u32);
    /// The backend of a session that lives.
    fn get(&self, key: &Key) -> Option<u32>;
    /// Removes what has expired.
    fn sweep(&self);
    /// How many sessions it says it holds.
    fn count(&self) -> usize;
}

/// A table that has been filled, of any kind.
pub trait Filled: fmt::Debug {
    /// Its name.
    fn name(&self) -> &'static str;
    /// How many sessions it holds.
    fn held(&self) -> usize;
    /// A row of lookups.
    fn lookups(&self, lookups: Lookups) -> Row;
}

/// What is asked of a filled table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookups {
    /// Sessions that are there, which the processor can overlap.
    Hit,
    /// Each waits for the answer before.
    Chained,
    /// Sessions that are not there.
    Miss,
    /// Two threads.
    Shared,
    /// Two threads, the same eight sessions.
    Hot,
    /// Two threads; one in ten is written.
    Mixed,
}

impl Lookups {
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 6] =
        [Self::Hit, Self::Chained, Self::Miss, Self::Shared, Self::Hot, Self::Mixed];
}

/// A table that is shared.
pub struct Full<T>(pub Arc<T>);

impl<T: SessionTable> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Full").field(&T::NAME).finish()
    }
}

impl<T: SessionTable> Filled for Full<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn held(&self) -> usize {
        self.0.count()
    }

    fn lookups(&self, lookups: Lookups) -> Row {
        let table = || Arc::clone(&self.0);
        let of = |thread: u8| Client { table: table(), next: u64::from(thread) << 40 };
        match lookups {
            Lookups::Hit => Row::new(T::NAME, vec![Hit(of(0))]),
            Lookups::Chained => Row::new(T::NAME, vec![Chained { client: of(0), before: 0 }]),
            Lookups::Miss => Row::new(T::NAME, vec![Miss(of(0))]),
            Lookups::Shared => Row::new(T::NAME, vec![Hit(of(0)), Hit(of(1))]),
            Lookups::Hot => Row::new(T::NAME, vec![Hot(of(0)), Hot(of(1))]),
            Lookups::Mixed => Row::new(T::NAME, vec![Mixed(of(0)), Mixed(of(1))]),
        }
    }
}

/// Fills a table with all sessions.
pub fn fill<T: SessionTable>(table: &T) {
    for number in 0..SESSIONS {
        table.put(&key(number), (number % BACKENDS) as u32);
    }
}

/// Asks for one session after the other.
struct Client<T> {
    table: Arc<T>,
    next: u64,
}

impl<T: SessionTable> Client<T> {
    /// A number that looks random. Its low bits are not used.
    #[inline(always)]
    fn draw(&mut self) -> u64 {
        self.next += 1;
        let mixed = self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }

    #[inline(always)]
    fn get(&self, number: u64) -> u64 {
        self.table.get(&key(number)).map_or(0, u64::from)
    }
}

/// One of the sessions, from a number that looks random.
#[inline(always)]
fn one_of(drawn: u64) -> u64 {
    ((u128::from(drawn) * u128::from(SESSIONS)) >> 64) as u64
}

struct Hit<T>(Client<T>);

impl<T: SessionTable> Worker for Hit<T> {
    #[inline(always)]
    fn step(&mut self) -> u64 {
        let drawn = self.0.draw();
        self.0.get(one_of(drawn))
    }
}

struct Chained<T> {
    client: Client<T>,
    before: u64,
}

impl<T: SessionTable> Worker for Chained<T> {
    #[inline(always)]
    fn step(&mut self) -> u64 {
        // The answer is less than the number of backends, but the processor has to wait for it.
        let drawn = self.client.draw().wrapping_add(self.before << 44);
        self.before = self.client.get(one_of(drawn));
        self.before
    }
}

struct Miss<T>(Client<T>);

impl<T: SessionTable> Worker for Miss<T> {
    #[inline(always)]
    fn step(&mut self) -> u64 {
        let drawn = self.0.draw();
        self.0.get(drawn | 1 << 60)
    }
}

struct Hot<T>(Client<T>);

impl<T: SessionTable> Worker for Hot<T> {
    #[inline(always)]
    fn step(&mut self) -> u64 {
        self.0.next += 1;
        self.0.get(self.0.next & 7)
    }
}

struct Mixed<T>(Client<T>);

impl<T: SessionTable> Worker for Mixed<T> {
    #[inline(always)]
    fn step(&mut self) -> u64 {
        let drawn = self.0.draw();
        let number = one_of(drawn);
        if self.0.next.is_multiple_of(10) {
            self.0.table.put(&key(number), (number % BACKENDS) as u32);
            return 0;
        }
        self.0.get(number)
    }
}

/// The time by [`NOW`], in seconds, for tables that keep seconds.
pub fn seconds() -> u32 {
    (NOW.load(Relaxed) / 1_000_000_000) as u32
}
