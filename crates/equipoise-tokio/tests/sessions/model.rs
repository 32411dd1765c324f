//! Two balancers over a store in memory that fails in all ways, at random and repeatably. Time is the
//! runtime's and stands still while anybody is busy, so a limit that is kept is kept exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use equipoise_core::{BackendId, Rng};
use equipoise_sticky::{SessionKey, TableConfig};
use equipoise_tokio::sessions::{
    Held, KeepTimes, SessionStore, SharedConfig, SharedSessions, StoreError, StoreReplies,
    StoreReply, StoreRequest, Verb, WriteMode,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::support::{MS, Timeline, backend, key};

const LIMIT: Duration = Duration::from_millis(50);
const QUEUE: usize = 8;
const SESSIONS: u64 = 20;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mood {
    Well,
    /// It does as it is asked, after so many milliseconds.
    Slow(u64),
    Refuses,
    SaysNothing,
    /// It does as it is asked, and the answer is lost.
    LosesAnswers,
    /// It reads, and does not write.
    Full,
}

struct World {
    held: BTreeMap<SessionKey, BackendId>,
    generation: u64,
    mood: Mood,
    /// A session that it refuses to write.
    refused: Option<SessionKey>,
}

#[derive(Clone)]
struct Memory(Arc<Mutex<World>>);

impl Memory {
    fn well() -> Self {
        let world = World { held: BTreeMap::new(), generation: 1, mood: Mood::Well, refused: None };
        Self(Arc::new(Mutex::new(world)))
    }

    fn step(&self, request: &StoreRequest) -> Result<StoreReply, StoreError> {
        let World { held, generation, mood, refused } = &mut *self.0.lock();
        let is_refused = *mood == Mood::Full || *refused == Some(request.key);
        if is_refused && request.verb != Verb::Get {
            return Err(StoreError::Refused { reason: "OOM".to_owned() });
        }
        let key = request.key;
        let pinned = held.get(&key).copied();
        match request.verb {
            Verb::Get => {}
            Verb::Drop => drop(held.remove(&key)),
            Verb::Bind { backend, .. } => drop(held.entry(key).or_insert(backend)),
            Verb::Move { from, to, .. } if pinned.is_none_or(|pinned| pinned == from) => {
                held.insert(key, to);
            }
            Verb::Move { .. } => {}
        }
        let held = held.get(&key).map(|&backend| Held { backend, age: Duration::ZERO });
        Ok(StoreReply { held, generation: Some(*generation), ..StoreReply::default() })
    }
}

impl SessionStore for Memory {
    async fn exchange(&self, _: KeepTimes, requests: &[StoreRequest]) -> StoreReplies {
        let mood = self.0.lock().mood;
        match mood {
            Mood::Refuses => {
                return Err(StoreError::Connection { reason: "refused".to_owned() });
            }
            Mood::SaysNothing => return pending().await,
            Mood::Slow(ms) => sleep(Duration::from_millis(ms)).await,
            Mood::Well | Mood::LosesAnswers | Mood::Full => tokio::task::yield_now().await,
        }
        let replies = requests.iter().map(|request| self.step(request)).collect();
        if mood == Mood::LosesAnswers {
            return pending().await;
        }
        Ok(replies)
    }

    fn reset(&self) {}
}

type Sessions = SharedSessions<Memory>;

fn balancer(memory: &Memory, clock: &Timeline, mode: WriteMode, seed: u64) -> Sessions {
    let table = TableConfig::builder().idle(Duration::from_secs(86_400)).build().unwrap();
    let config = SharedConfig::builder().mode(mode).queue(QUEUE).trust(100 * MS).build().unwrap();
    SharedSessions::new(&table, memory.clone(), config, seed, clock.clone(), |_| ())
}

/// One request of a session, whose pin is to stay within the bounds of time.
async fn request(sessions: Sessions, clock: Timeline, session: u64, choice: u32, to: u64) {
    let (key, start) = (key(session), Instant::now());
    match sessions.lookup(&key, clock.now()).await {
        None => {
            sessions.bind(&key, backend(to), clock.now()).await;
        }
        Some(from) if choice == 0 => {
            let winner = sessions.rebind(&key, from, backend(to), clock.now()).await;
            assert!((0..3).any(|known| backend(known) == winner));
        }
        Some(_) => {}
    }
    // The timers of the runtime are exact to a millisecond.
    let most = 2 * (LIMIT + MS);
    assert!(start.elapsed() <= most, "a lookup and a write took {:?}", start.elapsed());
    assert!(sessions.counters().queued <= QUEUE, "{:?}", sessions.counters());
}

async fn settle(both: &[Sessions]) {
    let is_settled = |sessions: &Sessions| {
        let counters = sessions.counters();
        counters.down_since.is_none() && counters.queued == 0
    };
    let end = Instant::now() + Duration::from_secs(60);
    while !both.iter().all(is_settled) {
        assert!(
            Instant::now() < end,
            "{:?}",
            both.iter().map(SharedSessions::counters).collect::<Vec<_>>()
        );
        sleep(MS).await;
    }
}

async fn run(seed: u64) -> u64 {
    let mut rng = Rng::seeded(seed);
    let memory = Memory::well();
    let clock = Timeline::start("model");
    let mode = [WriteMode::Through, WriteMode::Behind][rng.below(2) as usize];
    let both = [1, 2].map(|own| balancer(&memory, &clock, mode, seed ^ own));
    let tasks = both.clone().map(|sessions| tokio::spawn(async move { sessions.run().await }));
    let mut bound = BTreeSet::new();
    for _ in 0..60 {
        match rng.below(10) {
            0 => {
                let moods = [
                    Mood::Slow(u64::from(rng.below(100))),
                    Mood::Refuses,
                    Mood::SaysNothing,
                    Mood::LosesAnswers,
                    Mood::Full,
                ];
                memory.0.lock().mood = moods[rng.below(5) as usize];
            }
            1 | 2 => memory.0.lock().mood = Mood::Well,
            3 if rng.below(4) == 0 => {
                let mut world = memory.0.lock();
                world.held.clear();
                world.generation += 1;
            }
            3 | 4 => sleep(Duration::from_millis(rng.below(300).into())).await,
            _ => {
                // Several at once.
                let requests: Vec<_> = (0..=rng.below(4))
                    .map(|_| {
                        let session = rng.below(SESSIONS as u32).into();
                        bound.insert(session);
                        let sessions = both[rng.below(2) as usize].clone();
                        let (choice, to) = (rng.below(3), rng.below(3).into());
                        tokio::spawn(request(sessions, clock.clone(), session, choice, to))
                    })
                    .collect();
                for request in requests {
                    request.await.unwrap();
                }
            }
        }
    }
    memory.0.lock().mood = Mood::Well;
    // What the store has lost comes back when it is asked for; when each has asked, and what they
    // put back is written, both know everything.
    for _ in 0..3 {
        settle(&both).await;
        sleep(200 * MS).await;
        for session in 0..SESSIONS {
            for sessions in &both {
                sessions.lookup(&key(session), clock.now()).await;
            }
        }
    }
    settle(&both).await;
    for session in 0..SESSIONS {
        let [one, other] = &both;
        let one = one.lookup(&key(session), clock.now()).await;
        let other = other.lookup(&key(session), clock.now()).await;
        let held = memory.0.lock().held.get(&key(session)).copied();
        assert_eq!((one, other), (held, held), "seed {seed}, session {session}, {mode:?}");
        assert_eq!(held.is_some(), bound.contains(&session), "seed {seed}, session {session}");
    }
    for task in tasks {
        task.abort();
    }
    both.iter().map(|sessions| sessions.counters().conflicts_followed).sum()
}

#[tokio::test(start_paused = true)]
async fn after_any_failures_nobody_waited_too_long_and_all_agree_and_no_session_is_lost() {
    let mut conflicts = 0;
    for seed in 0..150 {
        conflicts += run(seed).await;
    }
    assert!(conflicts > 40, "the balancers have disagreed: {conflicts}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_leaves_nothing_behind() {
    let memory = Memory::well();
    let clock = Timeline::start("given up");
    let (sessions, task) = up(&memory, &clock, WriteMode::Through).await;
    memory.0.lock().mood = Mood::SaysNothing;
    for session in 0..5_000 {
        let (key, now) = (key(session), clock.now());
        // Fewer at a time than may wait, and many more than that in all.
        let waiting = tokio::time::timeout(MS, sessions.lookup(&key, now));
        assert!(waiting.await.is_err(), "it waits for the store");
    }
    let counters = sessions.counters();
    assert_eq!((counters.shed, counters.down_since), (0, None), "{counters:?}");
    task.abort();
}

/// A balancer that has reached its store, and its task.
async fn up(
    memory: &Memory,
    clock: &Timeline,
    mode: WriteMode,
) -> (Sessions, tokio::task::JoinHandle<()>) {
    let sessions = balancer(memory, clock, mode, 1);
    let task = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.run().await }
    });
    settle(std::slice::from_ref(&sessions)).await;
    (sessions, task)
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_does_not_undo_what_was_written_behind_meanwhile() {
    let (memory, clock) = (Memory::well(), Timeline::start("late"));
    let (sessions, task) = up(&memory, &clock, WriteMode::Behind).await;
    sessions.bind(&key(7), backend(1), clock.now()).await;
    settle(std::slice::from_ref(&sessions)).await;
    sleep(200 * MS).await;
    memory.0.lock().mood = Mood::Slow(30);
    let lookup = tokio::spawn({
        let (sessions, now) = (sessions.clone(), clock.now());
        async move { sessions.lookup(&key(7), now).await }
    });
    sleep(29 * MS).await;
    let moved = sessions.rebind(&key(7), backend(1), backend(2), clock.now()).await;
    assert_eq!(moved, backend(2));
    assert_eq!(lookup.await.unwrap(), Some(backend(2)), "the store said 1, which is past");
    assert_eq!(sessions.lookup(&key(7), clock.now()).await, Some(backend(2)));
    settle(std::slice::from_ref(&sessions)).await;
    assert_eq!(memory.0.lock().held.get(&key(7)), Some(&backend(2)));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_write_does_not_overtake_one_of_the_same_session_that_is_queued() {
    let (memory, clock) = (Memory::well(), Timeline::start("order"));
    let (sessions, task) = up(&memory, &clock, WriteMode::Through).await;
    sessions.bind(&key(7), backend(0), clock.now()).await;
    memory.0.lock().mood = Mood::SaysNothing;
    let moved = sessions.rebind(&key(7), backend(0), backend(1), clock.now()).await;
    assert_eq!(moved, backend(1), "the store has not heard of it");
    memory.0.lock().mood = Mood::Well;
    let moved = sessions.rebind(&key(7), backend(1), backend(2), clock.now()).await;
    assert_eq!(moved, backend(2));
    settle(std::slice::from_ref(&sessions)).await;
    assert_eq!(memory.0.lock().held.get(&key(7)), Some(&backend(2)));
    assert_eq!(sessions.lookup(&key(7), clock.now()).await, Some(backend(2)));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_store_refuses_holds_up_no_other() {
    let (memory, clock) = (Memory::well(), Timeline::start("refused"));
    let (sessions, task) = up(&memory, &clock, WriteMode::Through).await;
    memory.0.lock().refused = Some(key(1));
    for session in 1..7 {
        assert_eq!(sessions.bind(&key(session), backend(1), clock.now()).await, backend(1));
    }
    let end = Instant::now() + Duration::from_secs(60);
    while memory.0.lock().held.len() < 5 {
        assert!(Instant::now() < end, "{:?}", sessions.counters());
        sleep(MS).await;
    }
    assert_eq!(sessions.counters().queued, 1);
    memory.0.lock().refused = None;
    settle(std::slice::from_ref(&sessions)).await;
    assert_eq!(memory.0.lock().held.len(), 6);
    task.abort();
}
