//! Redis dies, hangs, and comes back.

use std::time::Duration;

use equipoise_sticky::TableConfig;
use equipoise_tokio::sessions::{StoreNotice, WriteMode};

use crate::support::{
    Balancer, MARGIN, MS, Redis, Timeline, backend, config, key, name, timed, until, wary,
};

const LIMIT: Duration = Duration::from_millis(50);

fn is_down(notice: &StoreNotice) -> bool {
    matches!(notice, StoreNotice::Down { .. })
}

fn is_up(notice: &StoreNotice) -> bool {
    matches!(notice, StoreNotice::Up { .. })
}

/// Asks until the balancer has given Redis up; each answer comes in time and is right.
async fn ask_until_down(timeline: &Timeline, balancer: &Balancer, session: u64, to: u64) {
    let mut asked = 0;
    while balancer.counters().down_since.is_none() {
        let (found, time) = timed(balancer.find(session)).await;
        assert_eq!(found, Some(backend(to)));
        assert!(time < LIMIT + MARGIN, "{time:?}");
        asked += 1;
        assert!(asked < 100, "it never gives up");
        timeline.say(format!("a lookup took {time:?}, answered from the local table"));
    }
}

/// The time of 1,000 lookups and binds while Redis is down: nobody waits for it.
async fn assert_costs_nothing(timeline: &Timeline, balancer: &Balancer, first: u64) {
    let mut worst = Duration::ZERO;
    let (_, total) = timed(async {
        for session in first..first + 1_000 {
            let (pinned, time) = timed(balancer.pin(session, 5)).await;
            assert_eq!(pinned, backend(5));
            assert_eq!(balancer.find(session).await, Some(backend(5)));
            worst = worst.max(time);
        }
    })
    .await;
    timeline.say(format!(
        "1000 binds and lookups while it is down took {total:?}, the worst {worst:?}"
    ));
    assert!(total < 1_000 * MS, "{total:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_started_empty_it_is_filled_again() {
    let Some(mut redis) = Redis::start() else { return };
    let timeline = Timeline::start("kill -9, empty");
    let one = Balancer::up("one", &timeline, &redis, wary()).await;
    for session in 0..100 {
        assert_eq!(one.pin(session, 1).await, backend(1));
    }
    assert_eq!(redis.number("DBSIZE"), 101);
    redis.kill();
    timeline.say("redis-server is killed; 100 sessions are in it");
    ask_until_down(&timeline, &one, 0, 1).await;
    assert_costs_nothing(&timeline, &one, 1_000).await;
    assert_eq!(one.counters().queued, 1_000);
    assert_eq!(one.told(is_down), 1);

    redis.start_again();
    timeline.say("redis-server is started, empty");
    one.until_up().await;
    until("the notice", || one.told(is_up) == 2).await;
    assert!(
        matches!(one.last(), Some(StoreNotice::Up { replayed: 1_000, followed: 0, .. })),
        "{:?}",
        one.last()
    );
    assert_eq!(redis.backend(1_500), Some(backend(5)));
    // Those from before are put back when they ask.
    assert_eq!(redis.backend(42), None);
    for session in 0..100 {
        assert_eq!(one.find(session).await, Some(backend(1)), "no session is lost");
    }
    one.until_written().await;
    assert_eq!(redis.backend(42), Some(backend(1)));
    assert_eq!((redis.number("DBSIZE"), one.counters().reseeded), (1_101, 100));
    timeline.say("100 sessions from before were put back as they asked");
    assert_eq!((one.told(is_down), one.told(is_up)), (1, 2), "up at the start, and again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn started_with_its_data_it_overrules_what_was_pinned_meanwhile() {
    let Some(mut redis) = Redis::start() else { return };
    let timeline = Timeline::start("kill -9, data");
    let one = Balancer::up("one", &timeline, &redis, wary()).await;
    let other = Balancer::up("other", &timeline, &redis, wary()).await;
    // The other balancer has never heard of these.
    for session in 0..50 {
        one.pin(session, 1).await;
    }
    assert_eq!(redis.command("SAVE"), "+OK");
    redis.kill();
    timeline.say("redis-server is killed; 50 sessions of one balancer are on its disk");
    ask_until_down(&timeline, &one, 0, 1).await;
    for session in 0..100 {
        other.find(session).await;
        assert_eq!(other.pin(session, 2).await, backend(2), "pinned here, as nobody else is asked");
    }
    other.until_down().await;
    assert_eq!(one.pin(60, 1).await, backend(1));
    timeline.say("the other balancer has pinned these 50 to another backend, and 50 more");

    redis.start_again();
    timeline.say("redis-server is started, with its data");
    one.until_up().await;
    other.until_up().await;
    for balancer in [&one, &other] {
        balancer.until_written().await;
    }
    for session in 0..100 {
        let found = one.find(session).await;
        assert_eq!(found, other.find(session).await, "session {session}");
        assert_eq!(found, redis.backend(session));
        match session {
            0..50 => assert_eq!(found, Some(backend(1)), "session {session}"),
            60 => {}
            _ => assert_eq!(found, Some(backend(2)), "session {session}"),
        }
    }
    let followed = other.counters().conflicts_followed;
    timeline.say(format!("they agree on all 100; the other followed {followed}"));
    assert!((50..=51).contains(&followed), "{followed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_it_costs_a_few_requests_the_time_limit_and_the_others_nothing() {
    let Some(redis) = Redis::start() else { return };
    for mode in [WriteMode::Through, WriteMode::Behind] {
        redis.command("FLUSHALL");
        let timeline = Timeline::start("SIGSTOP");
        let one = Balancer::up("one", &timeline, &redis, wary().time_limit(LIMIT).mode(mode)).await;
        assert_eq!(one.pin(0, 1).await, backend(1));
        one.until_written().await;
        redis.signal("STOP");
        timeline.say(format!("redis-server is stopped; {mode:?}"));
        let (pinned, time) = timed(one.pin(1, 2)).await;
        timeline.say(format!("a bind took {time:?}"));
        assert_eq!(pinned, backend(2));
        assert!(time < LIMIT + MARGIN, "{time:?}");
        ask_until_down(&timeline, &one, 0, 1).await;
        assert!(matches!(mode, WriteMode::Behind) || one.counters().timeouts >= 3);
        assert_costs_nothing(&timeline, &one, 1_000).await;

        redis.signal("CONT");
        timeline.say("redis-server goes on");
        one.until_up().await;
        one.until_written().await;
        for (session, to) in [(0, 1), (1, 2), (1_234, 5)] {
            assert_eq!(one.find(session).await, Some(backend(to)));
            assert_eq!(redis.backend(session), Some(backend(to)));
        }
        assert_eq!(redis.number("DBSIZE"), 1_003, "1002 sessions, and the generation");
        assert!(one.told(is_up) >= 2, "at the start, and after it was stopped");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_it_holds_nobody_up_beyond_the_limit() {
    let Some(redis) = Redis::start() else { return };
    let timeline = Timeline::start("CLIENT PAUSE");
    let one = Balancer::up("one", &timeline, &redis, wary().time_limit(LIMIT)).await;
    one.pin(0, 1).await;
    redis.order("CLIENT PAUSE 600 ALL");
    timeline.say("CLIENT PAUSE 600");
    // 200 requests at once: each waits for the limit at most.
    let requests: Vec<_> = (0..200)
        .map(|session| {
            let (sessions, now) = (one.sessions.clone(), timeline.now());
            tokio::spawn(async move { timed(sessions.bind(&key(session), backend(1), now)).await })
        })
        .collect();
    let mut worst = Duration::ZERO;
    for request in requests {
        let (pinned, time) = request.await.unwrap();
        assert_eq!(pinned, backend(1));
        worst = worst.max(time);
    }
    timeline.say(format!("200 binds at once; the slowest took {worst:?}"));
    assert!(worst < LIMIT + MARGIN, "{worst:?}");
    assert!(one.counters().timeouts >= 3 && one.counters().down_since.is_some());
    one.until_up().await;
    one.until_written().await;
    assert_eq!(redis.number("DBSIZE"), 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed_it_is_filled_again_by_those_that_ask() {
    let Some(redis) = Redis::start() else { return };
    let timeline = Timeline::start("FLUSHALL");
    let one = Balancer::up("one", &timeline, &redis, wary()).await;
    let other = Balancer::up("other", &timeline, &redis, wary()).await;
    for session in 0..20 {
        one.pin(session, 1).await;
        assert_eq!(other.find(session).await, Some(backend(1)));
    }
    tokio::time::sleep(2 * MS).await;
    redis.command("FLUSHALL");
    timeline.say("FLUSHALL; both balancers know 20 sessions");
    for session in 0..10 {
        for balancer in [&one, &other] {
            assert_eq!(balancer.find(session).await, Some(backend(1)), "session {session}");
        }
    }
    one.until_written().await;
    other.until_written().await;
    assert_eq!(redis.number("DBSIZE"), 11, "ten sessions have asked");
    timeline.say("ten sessions have asked and are back");
    for balancer in [&one, &other] {
        assert_eq!(balancer.told(|n| *n == StoreNotice::DataLost), 1);
        assert_eq!(balancer.told(is_down), 0);
    }
    // What was put back and confirmed ends when it ends elsewhere, in spite of the loss.
    tokio::time::sleep(2 * MS).await;
    assert_eq!(other.find(3).await, Some(backend(1)));
    one.sessions.unbind(&key(3), timeline.now()).await;
    assert_eq!(other.find(3).await, None);
    assert_eq!(redis.value(&name(&key(3))), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_full_drops_the_oldest_and_no_session_is_lost_here() {
    let Some(mut redis) = Redis::start() else { return };
    let timeline = Timeline::start("queue of 100");
    let small = wary().queue(100);
    let one = Balancer::up("one", &timeline, &redis, small).await;
    redis.kill();
    timeline.say("redis-server is killed");
    for session in 0..1_000 {
        one.find(session).await;
        assert_eq!(one.pin(session, 1).await, backend(1));
        assert!(one.counters().queued <= 100);
    }
    assert_eq!(one.counters().dropped, 900);
    let overflows = |balancer: &Balancer| {
        balancer.told(|notice| matches!(notice, StoreNotice::Overflow { capacity: 100 }))
    };
    assert_eq!(overflows(&one), 1, "told once");
    redis.start_again();
    timeline.say("redis-server is started, empty");
    one.until_up().await;
    one.until_written().await;
    assert_eq!(redis.number("DBSIZE"), 101);
    assert_eq!((redis.backend(0), redis.backend(950)), (None, Some(backend(1))));
    timeline.say("100 sessions are in it, and 900 were dropped from the queue");
    for session in 0..1_000 {
        assert_eq!(one.find(session).await, Some(backend(1)), "session {session}");
    }
    timeline.say("all 1000 were asked for");
    until("all to be put back", || redis.number("DBSIZE") == 1_001 || one.counters().queued > 0)
        .await;
    timeline.say(format!("all 1000 are still known here; {:?}", one.counters()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_down_from_the_start_is_found_when_it_comes() {
    let Some(mut redis) = Redis::start() else { return };
    redis.kill();
    let timeline = Timeline::start("late start");
    let one = Balancer::start("one", &timeline, redis.store(), config());
    let (pinned, time) = timed(one.pin(0, 1)).await;
    assert_eq!(pinned, backend(1));
    assert!(time < LIMIT, "nobody waits for what was never up: {time:?}");
    until("the notice", || one.told(is_down) == 1).await;
    let Some(StoreNotice::Down { because }) = one.last() else { panic!("{:?}", one.last()) };
    assert!(because.to_string().contains("refused"), "{because}");
    redis.start_again();
    one.until_up().await;
    one.until_written().await;
    assert_eq!(redis.backend(0), Some(backend(1)));
    assert_eq!(one.told(is_down), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_with_older_data_between_two_requests_no_session_is_lost() {
    let Some(mut redis) = Redis::start() else { return };
    let timeline = Timeline::start("older data");
    let one = Balancer::up("one", &timeline, &redis, wary()).await;
    for session in 0..20 {
        one.pin(session, 1).await;
        if session == 9 {
            assert_eq!(redis.command("SAVE"), "+OK");
        }
    }
    tokio::time::sleep(2 * MS).await;
    redis.kill();
    redis.start_again();
    timeline.say("redis-server was killed and started; it has 10 of 20 sessions");
    assert_eq!((redis.backend(9), redis.backend(10)), (Some(backend(1)), None));
    for session in 0..20 {
        assert_eq!(one.find(session).await, Some(backend(1)), "session {session}");
    }
    one.until_written().await;
    timeline.say("all 20 have asked, and are in it");
    assert_eq!(redis.number("DBSIZE"), 21);
    let counters = one.counters();
    assert_eq!((one.told(is_down), counters.failures, counters.reseeded), (0, 0, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lifetime_holds_on_a_balancer_that_heard_of_the_session_late_and_lost_redis() {
    let Some(mut redis) = Redis::start() else { return };
    let timeline = Timeline::start("lifetime");
    let lifetime = 1_500 * MS;
    let table = TableConfig::builder().idle(1_000 * MS).lifetime(lifetime);
    let start = |name| Balancer::with_table(name, &timeline, redis.store(), wary(), table.clone());
    let (one, other) = (start("one"), start("other"));
    one.until_up().await;
    other.until_up().await;
    let before = tokio::time::Instant::now();
    assert_eq!(one.pin(7, 1).await, backend(1));
    let pinned = tokio::time::Instant::now();
    while pinned.elapsed() < 700 * MS {
        assert_eq!(one.find(7).await, Some(backend(1)));
        tokio::time::sleep(20 * MS).await;
    }
    assert_eq!(other.find(7).await, Some(backend(1)));
    redis.kill();
    timeline.say("the other has heard of a session that is 700 ms old; redis-server is killed");
    while other.find(7).await.is_some() {
        assert!(before.elapsed() < lifetime + 400 * MS, "{:?}", before.elapsed());
        tokio::time::sleep(10 * MS).await;
    }
    timeline.say(format!("it has ended, {:?} after it was pinned", pinned.elapsed()));
    assert!(before.elapsed() > lifetime - 200 * MS, "{:?}", before.elapsed());
}
