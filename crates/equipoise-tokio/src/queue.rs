//! A queue for requests that find every backend full.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Requests that wait for a place at a backend, in the order in which they came.
///
/// It knows nothing of backends: whoever waits is told that a place may be free, and tries again. Who
/// can't use the place (its session wants another backend) passes the word on and stays where it is.
/// So of those that can use it, the first one gets it, and one session that has to wait holds nobody
/// up.
///
/// ```
/// use std::time::Duration;
/// use equipoise_tokio::queue::{QueueConfig, WaitError, WaitQueue};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let queue = WaitQueue::new(QueueConfig { max: 10, wait: Duration::from_millis(1) });
/// let place = |free: bool| free.then_some("a backend");
///
/// let mut turn = queue.turn(false);
/// let got = loop {
///     if let Err(error) = turn.next().await {
///         break Err(error);
///     }
///     if let Some(place) = place(false) {
///         turn.taken();
///         break Ok(place);
///     }
/// };
/// assert_eq!(got, Err(WaitError::TimedOut));
/// # }
/// ```
///
/// # Complexity
/// Where nobody waits, a lock that nobody holds for long. To enter and to leave: O(log n) of those that
/// wait.
pub struct WaitQueue {
    max: AtomicUsize,
    /// In nanoseconds.
    wait: AtomicU64,
    waiting: Mutex<Waiting>,
}

/// How many may wait, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueConfig {
    /// How many requests may wait at a time.
    pub max: usize,
    /// How long each of them may wait.
    pub wait: Duration,
}

/// Why a request got no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitError {
    /// As many wait as may.
    QueueFull,
    /// No place came free in time.
    TimedOut,
}

/// A request's turns at trying. Dropped, it leaves the queue.
#[derive(Debug)]
pub struct Turn<'a> {
    queue: &'a WaitQueue,
    may_overtake: bool,
    has_tried: bool,
    ticket: Option<Ticket<'a>>,
    /// From when it first waits.
    deadline: Option<Instant>,
}

#[derive(Default)]
struct Waiting {
    /// The next one's ticket.
    next: u64,
    tickets: BTreeMap<u64, Called>,
}

/// One who waits.
#[derive(Default)]
struct Called {
    called: Arc<Notify>,
    /// The word that there is for it, each by the number of the ticket that had it first.
    words: Vec<u64>,
}

impl Called {
    fn tell(&mut self, origin: u64) {
        self.words.push(origin);
        self.called.notify_one();
    }
}

/// A place in the queue.
#[derive(Debug)]
struct Ticket<'a> {
    queue: &'a WaitQueue,
    number: u64,
    called: Arc<Notify>,
    /// The word that it looks for a place upon.
    words: Vec<u64>,
}

impl WaitQueue {
    /// An empty queue.
    pub fn new(config: QueueConfig) -> Self {
        let queue =
            Self { max: AtomicUsize::new(0), wait: AtomicU64::new(0), waiting: Mutex::default() };
        queue.set_config(config);
        queue
    }

    /// From now on as many may wait, and who begins to wait does so for as long. Who waits stays.
    pub fn set_config(&self, QueueConfig { max, wait }: QueueConfig) {
        self.max.store(max, Relaxed);
        // Five hundred years will do.
        self.wait.store(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How many may wait, and for how long.
    pub fn config(&self) -> QueueConfig {
        let wait = Duration::from_nanos(self.wait.load(Relaxed));
        QueueConfig { max: self.max.load(Relaxed), wait }
    }

    /// Begins a request. Who `may_overtake` tries at once, though others wait: that is for queues whose
    /// requests want one backend or another, by a key or a session. Where all take any, nobody does.
    pub const fn turn(&self, may_overtake: bool) -> Turn<'_> {
        Turn { queue: self, may_overtake, has_tried: false, ticket: None, deadline: None }
    }

    /// Says that a place may be free: a request has ended.
    pub fn wake(&self) {
        let mut waiting = self.waiting.lock();
        // The first one that does not know of another place yet.
        let free = waiting.tickets.iter().find(|(_, called)| called.words.is_empty());
        let first = free.or_else(|| waiting.tickets.first_key_value()).map(|(number, _)| *number);
        if let Some(number) = first {
            waiting.tickets.entry(number).or_default().tell(number);
        }
    }

    /// Says that much may be free: a backend has come up.
    pub fn wake_all(&self) {
        self.waiting.lock().tickets.values().for_each(|ticket| ticket.called.notify_one());
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.lock().tickets.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A place behind others, if there are others: `None` in that if there is no room.
    fn enter_behind(&self) -> Option<Option<Ticket<'_>>> {
        let mut waiting = self.waiting.lock();
        (!waiting.tickets.is_empty()).then(|| self.add(&mut waiting))
    }

    fn enter(&self) -> Option<Ticket<'_>> {
        self.add(&mut self.waiting.lock())
    }

    fn add(&self, waiting: &mut Waiting) -> Option<Ticket<'_>> {
        if waiting.tickets.len() >= self.max.load(Relaxed) {
            return None;
        }
        let (number, ticket) = (waiting.next, Called::default());
        let called = Arc::clone(&ticket.called);
        waiting.next += 1;
        waiting.tickets.insert(number, ticket);
        Some(Ticket { queue: self, number, called, words: Vec::new() })
    }
}

impl Turn<'_> {
    /// Returns when it is time to look for a place: at once if nobody waits, and then each time when there
    /// is [word](WaitQueue::wake) of one. Each call says that the try before it found no place.
    ///
    /// # Errors
    /// [`WaitError`]. Cancelled, it has its place in the queue until it is dropped.
    pub async fn next(&mut self) -> Result<(), WaitError> {
        if !std::mem::replace(&mut self.has_tried, true) {
            let behind = if self.may_overtake { None } else { self.queue.enter_behind() };
            let Some(behind) = behind else { return Ok(()) };
            // Were there a place, the first of them had it.
            self.ticket = Some(behind.ok_or(WaitError::QueueFull)?);
        } else if self.ticket.is_none() {
            // A place that came free before there is a ticket is nobody's, so it tries again.
            self.ticket = Some(self.queue.enter().ok_or(WaitError::QueueFull)?);
            return Ok(());
        }
        let Some(ticket) = &mut self.ticket else { return Ok(()) };
        ticket.pass_on();
        let deadline = *self.deadline.get_or_insert_with(|| deadline(self.queue.config().wait));
        let called = timeout_at(deadline, ticket.called.notified()).await;
        called.map_err(|_| WaitError::TimedOut)?;
        ticket.hear();
        Ok(())
    }

    /// It has found a place.
    pub fn taken(mut self) {
        if let Some(ticket) = &mut self.ticket {
            // One place is one word.
            ticket.words.pop();
        }
    }
}

/// As far as a clock counts.
fn deadline(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now + Duration::from_secs(u32::MAX.into()))
}

impl Ticket<'_> {
    /// Takes the word that there is for it.
    fn hear(&mut self) {
        if let Some(called) = self.queue.waiting.lock().tickets.get_mut(&self.number) {
            self.words.append(&mut called.words);
        }
    }

    /// Tells the next one what this one could not use, unless all have heard of it.
    fn pass_on(&mut self) {
        if !self.words.is_empty() {
            self.tell_the_next(&mut self.queue.waiting.lock());
        }
    }

    fn tell_the_next(&mut self, waiting: &mut Waiting) {
        let behind = waiting.tickets.range(self.number + 1..).next();
        let next = behind.or_else(|| waiting.tickets.first_key_value()).map(|(number, _)| *number);
        for origin in self.words.drain(..) {
            // Word goes round, from the ticket that had it first.
            let heard_by = |number: u64| (number < origin, number);
            if let Some(next) = next.filter(|next| heard_by(*next) > heard_by(self.number)) {
                waiting.tickets.entry(next).or_default().tell(origin);
            }
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        // Word may have come just when its time was up, or when its client left.
        let mut waiting = self.queue.waiting.lock();
        if let Some(mut called) = waiting.tickets.remove(&self.number) {
            self.words.append(&mut called.words);
        }
        self.tell_the_next(&mut waiting);
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.config();
        f.debug_struct("WaitQueue").field("config", &config).field("len", &self.len()).finish()
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "every backend is full, and so is the queue",
            Self::TimedOut => "every backend was full for as long as it may wait",
        })
    }
}

impl std::error::Error for WaitError {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    /// A queue, and places of two kinds.
    struct Bench {
        queue: WaitQueue,
        free: [AtomicUsize; 2],
    }

    type Got = Result<u32, WaitError>;

    impl Bench {
        fn new(max: usize) -> Arc<Self> {
            let wait = Duration::from_millis(100);
            let queue = WaitQueue::new(QueueConfig { max, wait });
            Arc::new(Self { queue, free: [AtomicUsize::new(0), AtomicUsize::new(0)] })
        }

        /// One who wants a place of this kind, and says who it is when it has got it.
        async fn client(self: &Arc<Self>, who: u32, kind: usize) -> JoinHandle<Got> {
            let bench = Arc::clone(self);
            let client = tokio::spawn(async move {
                let free = &bench.free[kind];
                let mut turn = bench.queue.turn(kind == 1);
                loop {
                    turn.next().await?;
                    if free.fetch_update(SeqCst, SeqCst, |free| free.checked_sub(1)).is_ok() {
                        turn.taken();
                        return Ok(who);
                    }
                }
            });
            yield_now().await;
            client
        }

        async fn free(&self, kind: usize) {
            self.free[kind].fetch_add(1, SeqCst);
            self.queue.wake();
            for _ in 0..10 {
                yield_now().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn places_go_to_those_who_came_first() {
        let bench = Bench::new(10);
        let mut clients = Vec::new();
        for who in 0..4 {
            clients.push(bench.client(who, 0).await);
        }
        assert_eq!(bench.queue.len(), 4);
        for (who, client) in clients.into_iter().enumerate() {
            assert!(!client.is_finished());
            bench.free(0).await;
            assert!(client.is_finished(), "{who}");
            assert_eq!(client.await.unwrap(), Ok(who as u32));
        }
        assert!(bench.queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_later_does_not_overtake() {
        let bench = Bench::new(10);
        let first = bench.client(1, 0).await;
        // A place that the first one has not heard of yet.
        bench.free[0].fetch_add(1, SeqCst);
        let second = bench.client(2, 0).await;
        assert!(!first.is_finished() && !second.is_finished());
        bench.queue.wake();
        assert_eq!(first.await.unwrap(), Ok(1));
        assert!(!second.is_finished());
        bench.free(0).await;
        assert_eq!(second.await.unwrap(), Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_use_a_place_holds_nobody_up() {
        let bench = Bench::new(10);
        let picky = bench.client(1, 1).await;
        let plain = bench.client(2, 0).await;
        bench.free(0).await;
        assert_eq!(plain.await.unwrap(), Ok(2));
        assert!(!picky.is_finished());
        bench.free(1).await;
        assert_eq!(picky.await.unwrap(), Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_and_the_time_have_limits() {
        let bench = Bench::new(1);
        let waits = bench.client(1, 0).await;
        let too_many = bench.client(2, 0).await;
        assert_eq!(too_many.await.unwrap(), Err(WaitError::QueueFull));
        let began = Instant::now();
        assert_eq!(waits.await.unwrap(), Err(WaitError::TimedOut));
        assert_eq!(began.elapsed().as_millis(), 100);
        assert!(bench.queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn word_is_not_lost_when_who_heard_it_has_left() {
        let bench = Bench::new(10);
        let leaves = bench.client(1, 0).await;
        let stays = bench.client(2, 0).await;
        bench.free[0].fetch_add(1, SeqCst);
        bench.queue.wake();
        leaves.abort();
        assert!(leaves.await.unwrap_err().is_cancelled());
        assert_eq!(stays.await.unwrap(), Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn all_can_be_told_at_once() {
        let bench = Bench::new(10);
        let clients = [bench.client(1, 0).await, bench.client(2, 0).await];
        bench.free[0].fetch_add(2, SeqCst);
        bench.queue.wake_all();
        for client in clients {
            assert!(client.await.unwrap().is_ok());
        }
    }

    /// Two places come free while the first in the queue is just looking: the second one is for who comes next.
    #[tokio::test(start_paused = true)]
    async fn word_of_two_places_is_word_for_two() {
        let bench = Bench::new(10);
        let mut first = bench.queue.turn(false);
        first.next().await.unwrap();
        // It has found none: it is in the queue, and looks once more.
        first.next().await.unwrap();
        let second = bench.client(2, 0).await;
        assert_eq!(bench.queue.len(), 2);
        bench.free(0).await;
        bench.free(0).await;
        first.next().await.unwrap();
        assert!(bench.free[0].fetch_update(SeqCst, SeqCst, |free| free.checked_sub(1)).is_ok());
        first.taken();
        // A place is free, and nobody else is before it.
        assert_eq!(second.await.unwrap(), Ok(2));
    }
}
