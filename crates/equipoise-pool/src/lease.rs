//! A request's hold on its backend.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use equipoise_core::{BackendId, Instant, LoadReport, Outcome, Sample};

use crate::gate::Pass;
use crate::places::Entry;
use crate::record::Record;
use crate::snapshot::Seat;

/// A request in flight on a backend.
///
/// It counts from the pick on, while it connects and queues too. Hold it as long as the request
/// occupies the backend: to the end of the response body, to the end of the connection. It derefs
/// to the caller's backend and keeps it alive, even when an update has removed it.
///
/// Dropping it ends the request without an opinion on the backend: a client that went away or a
/// task that was cancelled is no sample. [`finish`](Self::finish) ends it with one.
#[must_use = "dropping a lease ends the request"]
pub struct Lease<B> {
    record: Arc<Record<B>>,
    start: Start,
}

/// When a request was picked and how it got in, in one word: a lease of two words is passed in
/// registers, where one of three is copied through memory, and its padding byte by byte.
#[derive(Clone, Copy)]
struct Start(u64);

impl Start {
    const PLACED: u64 = 1 << 63;
    const NEVER_BEGAN: u64 = 1 << 62;
    const TRIAL: u64 = 1 << 61;
    const VISIT: u64 = 1 << 60;
    const TIME: u64 = Self::VISIT - 1;

    /// A time later than 36 years after the epoch counts as that.
    #[inline]
    fn new(since: Instant, entry: Entry, pass: Pass) -> Self {
        let placed = if entry == Entry::Placed { Self::PLACED } else { 0 };
        let trial = if pass == Pass::Trial { Self::TRIAL } else { 0 };
        Self(since.as_nanos().min(Self::TIME) | placed | trial)
    }

    #[inline]
    const fn since(self) -> Instant {
        Instant::from_nanos(self.0 & Self::TIME)
    }

    const fn never_began(self) -> Self {
        Self(self.0 | Self::NEVER_BEGAN)
    }

    #[inline]
    const fn began(self) -> bool {
        self.0 & Self::NEVER_BEGAN == 0
    }

    const fn visiting(self) -> Self {
        Self(self.0 | Self::VISIT)
    }

    const fn visits(self) -> bool {
        self.0 & Self::VISIT != 0
    }

    #[inline]
    const fn entry(self) -> Entry {
        if self.0 & Self::PLACED == 0 { Entry::Free } else { Entry::Placed }
    }

    #[inline]
    const fn pass(self) -> Pass {
        if self.0 & Self::TRIAL == 0 { Pass::Free } else { Pass::Trial }
    }
}

/// Why a backend does not get the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// It has no place.
    Full,
    /// The policy would rather have it elsewhere.
    ByPolicy,
}

impl<B> Lease<B> {
    /// Takes a place on the backend.
    #[inline]
    pub(crate) fn take(seat: &Seat<B>, since: Instant) -> Result<Self, Refused> {
        let lease = Self::enter(seat, since).ok_or(Refused::Full)?;
        // Should it panic, the lease gives back what it took.
        if let Some(counter) = lease.record.counter()
            && !counter.try_begin()
        {
            return Err(lease.turned_away());
        }
        Ok(lease)
    }

    /// Takes a place on the backend, whatever the policy says; `None` if it is full.
    #[cold]
    pub(crate) fn insist(seat: &Seat<B>, since: Instant) -> Option<Self> {
        let lease = Self::enter(seat, since)?;
        if let Some(counter) = lease.record.counter() {
            counter.on_begin();
        }
        Some(lease)
    }

    #[inline]
    fn enter(seat: &Seat<B>, since: Instant) -> Option<Self> {
        let record = &seat.owner.0;
        let (entry, pass) =
            if seat.guarded { Self::pass_guards(record)? } else { (Entry::Free, Pass::Free) };
        Some(Self { record: Arc::clone(record), start: Start::new(since, entry, pass) })
    }

    /// A place, where there is a limit, and then the gate, where the backend is on trial.
    fn pass_guards(record: &Record<B>) -> Option<(Entry, Pass)> {
        let entry = record.places.enter()?;
        let pass = record.watched.as_ref().map_or(Some(Pass::Free), |watched| watched.gate.enter());
        if pass.is_none() {
            record.places.leave(entry);
        }
        Some((entry, pass?))
    }

    /// The request has not begun, and so does not end.
    #[cold]
    fn turned_away(mut self) -> Refused {
        self.start = self.start.never_began();
        Refused::ByPolicy
    }

    /// Says that the request's session stays pinned to another backend, as [`visits`](Self::visits) tells
    /// from then on. For callers who pin sessions in their own way, of which another request was quicker.
    pub fn visiting(mut self) -> Self {
        self.start = self.start.visiting();
        self
    }

    /// Whether this backend has the request for once, and its session stays with another one: see
    /// [`Request::persisting`](crate::Request::persisting).
    pub fn visits(&self) -> bool {
        self.start.visits()
    }

    /// The backend's id: for the log, and for the list of tried ones if the request has to go
    /// elsewhere.
    pub fn id(&self) -> BackendId {
        self.record.id
    }

    /// When it was picked; the epoch, if the request had no time.
    pub fn since(&self) -> Instant {
        self.start.since()
    }

    /// Ends the request and says how it went. The time since the pick is its latency; a request
    /// that was picked without a time has none, and only ends.
    #[inline(always)]
    pub fn finish(self, now: Instant, outcome: Outcome) {
        self.sample(now, outcome);
    }

    /// Says how the request went while it still occupies the backend: when the head of a response
    /// tells success or failure and its body is to follow, say. Call it once.
    #[inline(always)]
    pub fn sample(&self, now: Instant, outcome: Outcome) {
        let since = self.since();
        let latency = if since == Instant::ZERO { Duration::ZERO } else { now.since(since) };
        self.record(latency, outcome);
        if let Some(tracker) = &self.record.tracker
            && since != Instant::ZERO
        {
            tracker.on_sample(&Sample { now, latency, outcome });
        }
    }

    /// Like [`sample`](Self::sample), with a latency that the caller measured.
    pub fn sample_latency(&self, now: Instant, latency: Duration, outcome: Outcome) {
        self.record(latency, outcome);
        if let Some(tracker) = &self.record.tracker {
            tracker.on_sample(&Sample { now, latency, outcome });
        }
    }

    /// For whoever minds the pool's health.
    #[inline]
    fn record(&self, latency: Duration, outcome: Outcome) {
        if let Some(watched) = &self.record.watched {
            watched.record(self.record.id, self.start.pass(), outcome, latency);
        }
    }

    /// Passes on what the backend reported of its load, in a response header say.
    pub fn report(&self, now: Instant, report: &LoadReport) {
        if let Some(tracker) = &self.record.tracker {
            tracker.on_report(now, report);
        }
    }
}

impl<B> Deref for Lease<B> {
    type Target = B;

    #[inline]
    fn deref(&self) -> &B {
        &self.record.backend
    }
}

impl<B> Drop for Lease<B> {
    #[inline(always)]
    fn drop(&mut self) {
        self.record.places.leave(self.start.entry());
        if let Some(counter) = self.record.counter()
            && self.start.began()
        {
            counter.on_end();
        }
        if self.start.pass() == Pass::Trial
            && let Some(watched) = &self.record.watched
        {
            watched.gate.leave();
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for Lease<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("id", &self.id())
            .field("since", &self.since())
            .field("backend", &self.record.backend)
            .finish_non_exhaustive()
    }
}
