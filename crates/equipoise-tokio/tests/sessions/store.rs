//! What the store does in Redis.

use std::time::Duration;

use equipoise_core::BackendId;
use equipoise_tokio::sessions::{
    Held, KeepTimes, RedisStore, SessionStore, StoreError, StoreReply, StoreRequest, Verb,
};

use crate::support::{MS, Redis, backend, key, name, store};

const TIMES: KeepTimes =
    KeepTimes { keep: Duration::from_secs(8), slack: Duration::from_secs(1), lifetime: None };

async fn ask(store: &RedisStore, times: KeepTimes, session: u64, verb: Verb) -> StoreReply {
    let request = StoreRequest { key: key(session), verb };
    store.exchange(times, &[request]).await.unwrap().pop().unwrap().unwrap()
}

async fn held(store: &RedisStore, times: KeepTimes, session: u64, verb: Verb) -> Option<Held> {
    ask(store, times, session, verb).await.held
}

async fn who(store: &RedisStore, session: u64, verb: Verb) -> Option<BackendId> {
    held(store, TIMES, session, verb).await.map(|held| held.backend)
}

fn bind(to: u64) -> Verb {
    Verb::Bind { backend: backend(to), age: Duration::ZERO }
}

fn shift(from: u64, to: u64) -> Verb {
    Verb::Move { from: backend(from), to: backend(to), age: Duration::ZERO }
}

#[tokio::test]
async fn a_session_is_kept_in_the_documented_form_and_expires() {
    let Some(redis) = Redis::start() else { return };
    let (store, name) = (redis.store(), name(&key(7)));
    assert_eq!(who(&store, 7, bind(1)).await, Some(backend(1)));
    let value = redis.value(&name).unwrap();
    let (head, born) = value.rsplit_once(':').unwrap();
    assert_eq!(head, format!("1:{}", backend(1)));
    let clock = redis.command("TIME");
    let seconds: u64 = clock.split("\r\n").nth(2).unwrap().parse().unwrap();
    assert!((seconds * 1_000).abs_diff(born.parse().unwrap()) < 5_000, "{value} at {clock}");
    let left = redis.number(&format!("PTTL {name}"));
    assert!((7_000..=8_000).contains(&left), "{left}");
    assert_eq!(redis.number("PTTL equipoise:web:generation"), -1);
    assert_eq!(redis.number("DBSIZE"), 2);
}

#[tokio::test]
async fn the_first_bind_wins_and_the_others_hear_of_it() {
    let Some(redis) = Redis::start() else { return };
    let (one, other) = (redis.store(), redis.store());
    assert_eq!(who(&one, 7, Verb::Get).await, None);
    assert_eq!(who(&one, 7, bind(1)).await, Some(backend(1)));
    assert_eq!(who(&other, 7, bind(2)).await, Some(backend(1)));
    assert_eq!(who(&other, 7, Verb::Get).await, Some(backend(1)));
    assert_eq!(who(&one, 7, Verb::Drop).await, None);
    assert_eq!(who(&other, 7, bind(2)).await, Some(backend(2)));
}

#[tokio::test]
async fn a_move_is_a_compare_and_swap() {
    let Some(redis) = Redis::start() else { return };
    let store = redis.store();
    assert_eq!(who(&store, 7, shift(1, 2)).await, Some(backend(2)), "nobody had it");
    let value = redis.value(&name(&key(7))).unwrap();
    assert_eq!(who(&store, 7, shift(1, 3)).await, Some(backend(2)), "it is not at 1");
    assert_eq!(redis.value(&name(&key(7))).unwrap(), value);
    assert_eq!(who(&store, 7, shift(2, 3)).await, Some(backend(3)));
    assert_eq!(redis.backend(7), Some(backend(3)));
}

#[tokio::test]
async fn the_time_left_is_written_anew_only_when_a_good_part_of_it_has_passed() {
    let Some(redis) = Redis::start() else { return };
    let (store, name) = (redis.store(), name(&key(7)));
    who(&store, 7, bind(1)).await;
    for verb in [Verb::Get, bind(2), shift(2, 3)] {
        redis.command(&format!("PEXPIRE {name} 7500"));
        assert_eq!(who(&store, 7, verb).await, Some(backend(1)));
        let left = redis.number(&format!("PTTL {name}"));
        assert!(left <= 7_500, "{verb:?}: {left}");
        redis.command(&format!("PEXPIRE {name} 6000"));
        assert_eq!(who(&store, 7, verb).await, Some(backend(1)));
        let left = redis.number(&format!("PTTL {name}"));
        assert!(left > 7_500, "{verb:?}: {left}");
    }
    redis.command(&format!("PERSIST {name}"));
    who(&store, 7, Verb::Get).await;
    assert!(redis.number(&format!("PTTL {name}")) > 0, "nothing is kept for ever");
}

#[tokio::test]
async fn no_refresh_goes_beyond_the_lifetime_and_a_move_begins_another() {
    let Some(redis) = Redis::start() else { return };
    let store = redis.store();
    let times = KeepTimes { lifetime: Some(600 * MS), ..TIMES };
    let start = tokio::time::Instant::now();
    held(&store, times, 7, bind(1)).await;
    while let Some(held) = held(&store, times, 7, Verb::Get).await {
        assert_eq!(held.backend, backend(1));
        assert!(held.age <= start.elapsed() + 5 * MS, "{held:?}");
        let left = redis.number(&format!("PTTL {}", name(&key(7))));
        assert!(left <= 600 - held.age.as_millis() as i64 + 5, "{left} {held:?}");
        tokio::time::sleep(5 * MS).await;
    }
    assert!((580 * MS..2_000 * MS).contains(&start.elapsed()), "{:?}", start.elapsed());

    held(&store, times, 7, Verb::Bind { backend: backend(1), age: 500 * MS }).await;
    assert!(held(&store, times, 7, shift(1, 2)).await.unwrap().age < 100 * MS);
    assert!(redis.number(&format!("PTTL {}", name(&key(7)))) > 400);

    // One that was put back with its age has only the rest.
    let old = Verb::Bind { backend: backend(1), age: 500 * MS };
    assert_eq!(held(&store, times, 8, old).await.unwrap().age, 500 * MS);
    assert!(redis.number(&format!("PTTL {}", name(&key(8)))) <= 100);
    let too_old = Verb::Bind { backend: backend(1), age: 600 * MS };
    assert_eq!(held(&store, times, 9, too_old).await, None);
    // One whose expiry somebody has taken away.
    redis.command(&format!("SET {} 1:{}:1000", name(&key(9)), backend(1)));
    assert_eq!(held(&store, times, 9, Verb::Get).await, None);
}

#[tokio::test]
async fn what_makes_no_sense_in_redis_is_a_miss_and_the_next_bind_replaces_it() {
    let Some(redis) = Redis::start() else { return };
    let (store, name) = (redis.store(), name(&key(7)));
    let (id, long) = (backend(1), "x".repeat(1 << 16));
    let values = [
        String::from("\"\""),
        String::from("\"\\x00\\xff\\r\\n\""),
        String::from("1"),
        String::from("1::"),
        format!("2:{id}:1000"),
        format!("1:{id}"),
        format!("1:{id}:"),
        format!("1:{id}:-1"),
        format!("1:{id}:1e3"),
        format!("1:{id}0:1000"),
        format!("1:{}:1000", &id.to_string()[1..]),
        format!("1:{id}:1000:"),
        format!("1:{id}:{}", "9".repeat(30)),
        long,
    ];
    for value in values {
        redis.command(&format!("SET {name} {value}"));
        let reply = ask(&store, TIMES, 7, Verb::Get).await;
        assert_eq!((reply.held, reply.was_malformed), (None, true), "{value}");
        assert_eq!(who(&store, 7, bind(2)).await, Some(backend(2)), "{value}");
        assert!(!ask(&store, TIMES, 7, Verb::Get).await.was_malformed);
    }
    redis.command(&format!("DEL {name}"));
    redis.command(&format!("RPUSH {name} a b c"));
    let reply = ask(&store, TIMES, 7, Verb::Get).await;
    assert_eq!((reply.held, reply.was_malformed), (None, true));
    assert_eq!(who(&store, 7, shift(1, 2)).await, Some(backend(2)));
    // From the future, as after a clock that was set back: it is young, and it lives.
    redis.command(&format!("SET {name} 1:{id}:99999999999999"));
    let reply = held(&store, KeepTimes { lifetime: Some(9_000 * MS), ..TIMES }, 7, Verb::Get).await;
    assert_eq!(reply, Some(Held { backend: id, age: Duration::ZERO }));
    // A generation that is none does no harm.
    for wrong in ["SET equipoise:web:generation hello", "RPUSH equipoise:web:generation a"] {
        redis.command("DEL equipoise:web:generation");
        redis.command(wrong);
        assert_eq!(who(&store, 7, Verb::Get).await, Some(id), "{wrong}");
    }
}

#[tokio::test]
async fn several_requests_travel_together_and_each_has_its_answer() {
    let Some(redis) = Redis::start() else { return };
    let store = redis.store();
    let requests: Vec<_> = (0..1_000)
        .flat_map(|session| [bind(session), bind(session + 1), Verb::Get].map(|v| (session, v)))
        .map(|(session, verb)| StoreRequest { key: key(session), verb })
        .collect();
    let replies = store.exchange(TIMES, &requests).await.unwrap();
    assert_eq!(replies.len(), 3_000);
    for (index, reply) in replies.into_iter().enumerate() {
        assert_eq!(reply.unwrap().held.unwrap().backend, backend(index as u64 / 3));
    }
    assert_eq!(store.exchange(TIMES, &[]).await, Ok(vec![]));
}

#[tokio::test]
async fn a_script_that_redis_forgot_and_a_connection_that_it_closed_are_no_failures() {
    let Some(redis) = Redis::start() else { return };
    let store = redis.store();
    who(&store, 7, bind(1)).await;
    for command in ["SCRIPT FLUSH", "CLIENT KILL TYPE normal"] {
        redis.command(command);
        assert_eq!(who(&store, 7, Verb::Get).await, Some(backend(1)), "{command}");
    }
    store.reset();
    assert_eq!(who(&store, 7, Verb::Get).await, Some(backend(1)));
}

#[tokio::test]
async fn losing_its_data_gives_another_generation() {
    let Some(redis) = Redis::start() else { return };
    let store = redis.store();
    let first = ask(&store, TIMES, 7, bind(1)).await.generation;
    assert!(first.is_some());
    assert_eq!(ask(&store, TIMES, 7, Verb::Get).await.generation, first);
    redis.command("FLUSHALL");
    let second = ask(&store, TIMES, 7, Verb::Get).await.generation;
    assert!(second.is_some() && second != first);
}

#[tokio::test]
async fn a_wrong_password_is_named_and_told_to_nobody() {
    let Some(redis) = Redis::start_with(&["--requirepass", "open-sesame"]) else { return };
    let get = [StoreRequest { key: key(7), verb: Verb::Get }];
    for (password, code) in [(":swordfish@", "password is wrong"), ("", "NOAUTH")] {
        let store = store(&format!("redis://{password}{}/", redis.address));
        let error = store.exchange(TIMES, &get).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(code), "{error}");
        for words in [error.to_string(), format!("{error:?} {store:?}")] {
            assert!(!words.contains("swordfish"), "{words}");
        }
    }
    let right = store(&format!("redis://:open-sesame@{}/", redis.address));
    assert_eq!(who(&right, 7, bind(1)).await, Some(backend(1)));
    assert!(!format!("{right:?}").contains("sesame"));
}

#[tokio::test]
async fn a_socket_in_the_file_system_will_do() {
    let Some(redis) = Redis::start_with(&["--unixsocket", "redis.sock"]) else { return };
    let store = store(&format!("redis+unix://{}", redis.path("redis.sock").display()));
    assert_eq!(who(&store, 7, bind(1)).await, Some(backend(1)));
    assert_eq!(redis.backend(7), Some(backend(1)));
}

#[test]
fn a_setting_out_of_range_is_named() {
    let url = "redis://127.0.0.1/";
    for (builder, words) in [
        (RedisStore::builder("http://:secret@a/"), "url: "),
        (RedisStore::builder(url).prefix(""), "prefix: `` is not allowed"),
        (RedisStore::builder(url).pool("a b"), "pool: `a b` is not allowed"),
        (RedisStore::builder(url).pool("é"), "pool: "),
        (RedisStore::builder(url).pool("x".repeat(65)), "pool: "),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.starts_with(words) && !error.contains("secret"), "{error}");
    }
}
