//! Redis answers, and does not do it.

use equipoise_sticky::TableConfig;
use equipoise_tokio::sessions::StoreNotice;

use crate::support::{
    Balancer, MS, Redis, Timeline, backend, config, free_address, store, timed, until, wary,
};

/// Redis refuses writes after `refuse` and takes them again after `accept`.
async fn refuse_and_accept(title: &'static str, code: &str, refuse: &str, accept: &str) {
    let Some(redis) = Redis::start() else { return };
    let timeline = Timeline::start(title);
    let one = Balancer::up("one", &timeline, &redis, wary()).await;
    for session in 0..10 {
        one.pin(session, 1).await;
    }
    assert_eq!(redis.command(refuse), "+OK");
    timeline.say(refuse);
    for session in 100..200 {
        assert_eq!(one.find(session).await, None);
        let (pinned, time) = timed(one.pin(session, 2)).await;
        assert_eq!(pinned, backend(2));
        assert!(time < 450 * MS, "{time:?}");
        assert_eq!(one.find(session).await, Some(backend(2)));
    }
    let refusals = |balancer: &Balancer| {
        balancer.told(|notice| match notice {
            StoreNotice::WritesRefused { because } => {
                let words = because.to_string();
                words.starts_with(code) && !words.contains("script:")
            }
            _ => false,
        })
    };
    assert_eq!(refusals(&one), 1, "told once: {:?}", one.last());
    // It is read all the same.
    assert_eq!(one.find(5).await, Some(backend(1)));
    let counters = one.counters();
    assert_eq!(counters.down_since, None);
    assert!(counters.hits_remote > 0 && counters.queued == 100, "{counters:?}");
    assert!(counters.refused < 20, "it is not tried for every request: {counters:?}");
    timeline.say(format!("{counters:?}"));

    assert_eq!(redis.command(accept), "+OK");
    timeline.say(accept);
    one.until_written().await;
    until("the notice", || one.told(|n| *n == StoreNotice::WritesAccepted) == 1).await;
    assert_eq!(redis.backend(150), Some(backend(2)));
    assert_eq!(one.pin(300, 3).await, backend(3));
    assert_eq!(redis.backend(300), Some(backend(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_it_is_read_and_what_is_pinned_waits() {
    refuse_and_accept("-OOM", "OOM", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turned_into_a_replica_it_is_read_and_what_is_pinned_waits() {
    // Nobody is there: the data stay as they are.
    let port = free_address().port();
    let refuse = format!("REPLICAOF 127.0.0.1 {port}");
    refuse_and_accept("-READONLY", "READONLY", &refuse, "REPLICAOF NO ONE").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_a_store_that_is_down_until_it_is_right() {
    let Some(redis) = Redis::start() else { return };
    let timeline = Timeline::start("password");
    assert_eq!(redis.command("CONFIG SET requirepass another"), "+OK");
    let wrong = store(&format!("redis://:swordfish@{}/", redis.address));
    let one = Balancer::start("one", &timeline, wrong, config());
    until("the notice", || one.last().is_some()).await;
    let Some(StoreNotice::Down { because }) = one.last() else { panic!("{:?}", one.last()) };
    assert_eq!(because.to_string(), "the user or the password is wrong");
    assert!(!format!("{:?} {:?}", one.sessions, one.last()).contains("swordfish"));
    assert_eq!(one.pin(0, 1).await, backend(1));
    let mut right = std::net::TcpStream::connect(redis.address).unwrap();
    let commands = b"AUTH another\r\nCONFIG SET requirepass swordfish\r\n";
    std::io::Write::write_all(&mut right, commands).unwrap();
    one.until_up().await;
    one.until_written().await;
    timeline.say("the password is right now");
    assert_eq!(one.find(0).await, Some(backend(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_were_long_idle_are_found_while_it_refuses_writes() {
    for refuse in ["CONFIG SET min-replicas-to-write 1", "REPLICAOF 127.0.0.1 1"] {
        let Some(redis) = Redis::start() else { return };
        let timeline = Timeline::start(refuse);
        let table = || TableConfig::builder().idle(8_000 * MS);
        let one = Balancer::with_table("one", &timeline, redis.store(), wary(), table());
        one.until_up().await;
        for session in 0..10 {
            one.pin(session, 1).await;
        }
        // So long that the store would have to be told that they are used.
        tokio::time::sleep(1_600 * MS).await;
        redis.command(refuse);
        let two = Balancer::with_table("two", &timeline, redis.store(), wary(), table());
        two.until_up().await;
        for session in 0..10 {
            assert_eq!(two.find(session).await, Some(backend(1)), "{refuse}: {session}");
        }
        assert_eq!(two.counters().down_since, None, "{refuse}");
    }
}
