//! Several balancers at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use equipoise_core::BackendId;
use equipoise_tokio::sessions::WriteMode;
use tokio::time::sleep;

use crate::support::{Balancer, MS, Redis, Timeline, backend, config, timed};

const SESSIONS: u64 = 10_000;

/// Both balancers bind all sessions at the same time, each to a backend of its own.
async fn bind_all(timeline: &Timeline, both: &[Arc<Balancer>; 2]) -> BTreeSet<(u64, BackendId)> {
    let mut tasks = Vec::new();
    for (own, balancer) in (1..).zip(both) {
        for lane in 0..32 {
            let balancer = Arc::clone(balancer);
            tasks.push(tokio::spawn(async move {
                let sessions = (0..SESSIONS).filter(|session| session % 32 == lane);
                let mut heard = Vec::new();
                for session in sessions {
                    heard.push((session, balancer.pin(session, own).await));
                }
                heard
            }));
        }
    }
    let mut all = BTreeSet::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    timeline.say(format!("{} binds answered", 2 * SESSIONS));
    all
}

async fn assert_agreement(timeline: &Timeline, redis: &Redis, [one, other]: &[Arc<Balancer>; 2]) {
    let mut won = [0_usize; 2];
    for session in 0..SESSIONS {
        let heard = one.find(session).await;
        assert_eq!(heard, other.find(session).await, "session {session}");
        let winner = if heard == Some(backend(1)) { 0 } else { 1 };
        assert_eq!(heard, Some(backend(winner + 1)));
        won[winner as usize] += 1;
        if session % 100 == 0 {
            assert_eq!(heard, redis.backend(session), "session {session}");
        }
    }
    timeline.say(format!("both agree on {SESSIONS} sessions; each won {won:?}"));
    let followed = [one, other].map(|b| b.counters().conflicts_followed as usize);
    assert_eq!(followed, [won[1], won[0]], "who lost a session follows");
    let sessions_and_generation = SESSIONS as i64 + 1;
    assert_eq!(redis.number("DBSIZE"), sessions_and_generation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_balancers_that_bind_10_000_sessions_at_once_agree_on_every_one() {
    let Some(redis) = Redis::start() else { return };
    let timeline = Timeline::start("bind, through");
    // A busy machine is no reason to go on without Redis here.
    let patient = config().time_limit(5_000 * MS);
    let both = [
        Arc::new(Balancer::up("one", &timeline, &redis, patient.clone()).await),
        Arc::new(Balancer::up("other", &timeline, &redis, patient).await),
    ];
    let heard = bind_all(&timeline, &both).await;
    assert_eq!(heard.len(), SESSIONS as usize, "each session has one winner");
    assert_agreement(&timeline, &redis, &both).await;
    for balancer in &both {
        let counters = balancer.counters();
        assert_eq!((counters.timeouts, counters.failures, counters.queued), (0, 0, 0));
        assert_eq!(counters.writes, SESSIONS);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_balancers_that_write_behind_agree_once_both_have_written() {
    let Some(redis) = Redis::start() else { return };
    let timeline = Timeline::start("bind, behind");
    let behind = config().mode(WriteMode::Behind).time_limit(5_000 * MS).batch_limit(10_000 * MS);
    let both = [
        Arc::new(Balancer::up("one", &timeline, &redis, behind.clone()).await),
        Arc::new(Balancer::up("other", &timeline, &redis, behind).await),
    ];
    bind_all(&timeline, &both).await;
    for balancer in &both {
        balancer.until_written().await;
    }
    timeline.say("both queues are empty");
    assert_agreement(&timeline, &redis, &both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_move_a_session_at_once_one_wins_and_all_hear_of_it() {
    let Some(redis) = Redis::start() else { return };
    let timeline = Timeline::start("rebind");
    let patient = config().time_limit(5_000 * MS);
    let both = [
        Arc::new(Balancer::up("one", &timeline, &redis, patient.clone()).await),
        Arc::new(Balancer::up("other", &timeline, &redis, patient).await),
    ];
    let mut winners = BTreeSet::new();
    for session in 0..500 {
        both[0].pin(session, 0).await;
        let tasks: Vec<_> = (1..=8)
            .map(|to| {
                let balancer = Arc::clone(&both[to as usize % 2]);
                tokio::spawn(async move { balancer.repin(session, 0, to).await })
            })
            .collect();
        let mut heard = BTreeSet::new();
        for task in tasks {
            heard.insert(task.await.unwrap());
        }
        let winner = *heard.first().unwrap();
        assert_eq!(heard.len(), 1, "session {session}: {heard:?}");
        assert_ne!(winner, backend(0));
        assert_eq!(redis.backend(session), Some(winner));
        for balancer in &both {
            assert_eq!(balancer.find(session).await, Some(winner));
        }
        winners.insert(winner);
    }
    timeline.say(format!("500 sessions moved by 8 at once; {} backends won some", winners.len()));
    assert!(winners.len() > 1, "it was a race");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_another_balancer_made_is_seen_after_the_trusted_time() {
    let Some(redis) = Redis::start() else { return };
    let timeline = Timeline::start("trust");
    let trust = 400 * MS;
    let one =
        Balancer::up("one", &timeline, &redis, config().trust(trust).time_limit(5_000 * MS)).await;
    let other =
        Balancer::up("other", &timeline, &redis, config().trust(trust).time_limit(5_000 * MS))
            .await;
    assert_eq!(one.pin(7, 1).await, backend(1));
    let (found, _) = timed(other.find(7)).await;
    assert_eq!(found, Some(backend(1)), "it came from Redis");
    let heard = tokio::time::Instant::now();
    assert_eq!(one.repin(7, 1, 2).await, backend(2));
    timeline.say("one moves the session");
    let mut seen_old = 0;
    loop {
        let asked = heard.elapsed();
        let found = other.find(7).await;
        if found == Some(backend(2)) {
            assert!(asked >= trust - 10 * MS, "it asked after {asked:?}");
            break;
        }
        assert_eq!(found, Some(backend(1)));
        assert!(asked < trust + 50 * MS, "after {asked:?} it goes by what it heard first");
        seen_old += 1;
        sleep(5 * MS).await;
    }
    timeline.say(format!("the other sees it, after {:?}", heard.elapsed()));
    assert!(seen_old > 0);
    let counters = other.counters();
    assert_eq!((counters.hits_remote, counters.hits_local), (2, seen_old));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_on_one_balancer_ends_on_the_other() {
    let Some(redis) = Redis::start() else { return };
    let timeline = Timeline::start("unbind");
    for mode in [WriteMode::Through, WriteMode::Behind] {
        let config = config().trust(20 * MS).time_limit(5_000 * MS).mode(mode);
        let one = Balancer::up("one", &timeline, &redis, config.clone()).await;
        let other = Balancer::up("other", &timeline, &redis, config).await;
        // Redis was not heard before, and what it may not have heard of is put back; what it has
        // confirmed later, by the millisecond, is not.
        sleep(2 * MS).await;
        one.pin(7, 1).await;
        one.until_written().await;
        assert_eq!(other.find(7).await, Some(backend(1)));
        one.sessions.unbind(&crate::support::key(7), timeline.now()).await;
        one.until_written().await;
        assert_eq!((one.find(7).await, redis.backend(7)), (None, None), "{mode:?}");
        sleep(25 * MS).await;
        assert_eq!(other.find(7).await, None, "{mode:?}");
        timeline.say(format!("{mode:?}: it has ended on both"));
    }
}
