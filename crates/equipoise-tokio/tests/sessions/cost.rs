//! What a session costs, over a real Redis on this machine. It prints; it holds only to bounds that a
//! busy machine keeps, too.

use std::time::Duration;

use equipoise_tokio::sessions::WriteMode;

use crate::support::{Balancer, Redis, Timeline, backend, config, timed};

const ROUNDS: u64 = 2_000;

fn percentiles(mut times: Vec<Duration>) -> (Duration, String) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    (at(50), format!("median {:?}, 99 % {:?}, worst {:?}", at(50), at(99), at(100)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lookups_and_binds_cost() {
    let Some(redis) = Redis::start() else { return };
    let timeline = Timeline::start("cost");
    let through = Balancer::up("through", &timeline, &redis, config()).await;
    let asking = Balancer::up("asking", &timeline, &redis, config().trust(Duration::ZERO)).await;
    let behind = Balancer::up("behind", &timeline, &redis, config().mode(WriteMode::Behind)).await;

    let mut times = Vec::new();
    for session in 0..ROUNDS {
        let (pinned, time) = timed(through.pin(session, 1)).await;
        assert_eq!(pinned, backend(1));
        times.push(time);
    }
    let (bind_through, words) = percentiles(std::mem::take(&mut times));
    timeline.say(format!("bind, written through: {words}"));

    for session in 0..ROUNDS {
        let (found, time) = timed(asking.find(session)).await;
        assert_eq!(found, Some(backend(1)));
        times.push(time);
    }
    let (hit_remote, words) = percentiles(std::mem::take(&mut times));
    timeline.say(format!("hit, asked of Redis:   {words}"));

    // One by one they would measure the clock.
    let trusting = config().trust(Duration::from_secs(60));
    let trusting = Balancer::up("trusting", &timeline, &redis, trusting).await;
    trusting.pin(0, 1).await;
    let (_, time) = timed(async {
        for _ in 0..ROUNDS {
            assert_eq!(trusting.find(0).await, Some(backend(1)));
        }
    })
    .await;
    let hit_local = time / ROUNDS as u32;
    timeline.say(format!("hit, known here:       mean {hit_local:?}"));

    let (_, time) = timed(async {
        for session in ROUNDS..2 * ROUNDS {
            behind.pin(session, 2).await;
        }
    })
    .await;
    let bind_behind = time / ROUNDS as u32;
    timeline.say(format!("bind, written behind:  mean {bind_behind:?}"));
    let (_, time) = timed(behind.until_written()).await;
    timeline.say(format!("... all {ROUNDS} written {time:?} later"));

    assert!(hit_local < hit_remote && bind_behind < bind_through, "what is known here is quicker");
}
