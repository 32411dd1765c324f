//! Two proxies that share their sessions in a real Redis.

use std::collections::BTreeMap;
use std::thread;

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, raw};
use proxy_lab::fleet::is_installed;
use proxy_lab::process::Proxy;
use proxy_lab::redis::Redis;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

/// A proxy over these backends that keeps sessions there. It is patient: the machine may be busy, and a proxy
/// that does not hear from Redis in time goes its own way.
fn proxy(backends: &[Backend], redis: &Redis, more: &str) -> Proxy {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address.as_str()).collect();
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [pools.a]\npolicy = \"random\"\nbackends = {addresses:?}\n\
         [pools.a.sticky]\nmode = \"header\"\nname = \"x-user\"\nreport = \"x-session\"\n\
         secret = \"000102030405060708090a0b0c0d0e0f\"\n\
         [pools.a.sticky.redis]\nurl = \"{}\"\ntime_limit_ms = 5000\n{more}\n",
        redis.url()
    );
    let config = ConfigFile::new(SCRATCH, "shared", &text);
    Proxy::start(PROXY, 1, ["--config", config.path()])
}

fn ask(proxy: &Proxy, user: &str) -> (String, String) {
    let request = format!("GET / HTTP/1.1\r\nHost: lab\r\nX-User: {user}\r\n\r\n");
    let reply = raw(proxy.address(), request);
    assert_eq!(reply.status, 200);
    (reply.text(), reply.header("x-session").unwrap_or_default().to_owned())
}

/// Each session's first request goes to one of them and the second to the other, from eight clients at
/// a time, some of them to both at once.
#[test]
fn two_proxies_agree_on_ten_thousand_sessions() {
    if !is_installed("redis-server") {
        return;
    }
    const SESSIONS: usize = 10_000;
    const CLIENTS: usize = 8;
    let (redis, backends) = (Redis::start(), ["a", "b", "c"].map(Backend::named));
    let proxies = [0, 1].map(|_| proxy(&backends, &redis, ""));
    let answers: Vec<BTreeMap<usize, String>> = thread::scope(|scope| {
        // Two threads ask for the same sessions, each of another proxy, in opposite orders and in step.
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let address = proxies[client % 2].address();
                scope.spawn(move || {
                    let mut connection = Connection::open(address);
                    let mut sessions: Vec<_> =
                        (0..SESSIONS).filter(|n| n % (CLIENTS / 2) == client / 2).collect();
                    if client % 2 == 1 {
                        sessions.chunks_mut(2).for_each(<[usize]>::reverse);
                    }
                    let ask = |n: usize| {
                        let request =
                            format!("GET / HTTP/1.1\r\nHost: lab\r\nX-User: user-{n}\r\n\r\n");
                        let reply = connection.request(request);
                        assert_eq!(reply.status, 200);
                        (n, reply.text())
                    };
                    sessions.into_iter().map(ask).collect::<BTreeMap<_, _>>()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("it has asked for all")).collect()
    });
    let of = |proxy: usize| -> BTreeMap<_, _> {
        answers.iter().skip(proxy).step_by(2).flat_map(BTreeMap::clone).collect()
    };
    let (first, second) = (of(0), of(1));
    assert_eq!((first.len(), second.len()), (SESSIONS, SESSIONS));
    let differing = first.iter().filter(|(n, backend)| second.get(n) != Some(backend)).count();
    println!("two proxies, one Redis: {SESSIONS} sessions, {differing} on which they disagree");
    assert_eq!(differing, 0);
    let mut spread = BTreeMap::new();
    first.values().for_each(|backend| *spread.entry(backend.as_str()).or_insert(0) += 1);
    println!("spread: {spread:?}; Redis: {}", redis.command("DBSIZE").trim().replace("\r\n", " "));
    assert!(spread.len() == 3 && spread.values().all(|count| *count > SESSIONS / 4), "{spread:?}");
}

#[test]
fn a_session_outlives_the_proxy_that_knew_it() {
    if !is_installed("redis-server") {
        return;
    }
    let (redis, backends) = (Redis::start(), ["a", "b", "c"].map(Backend::named));
    let first = proxy(&backends, &redis, "");
    let users: Vec<_> = (0..20).map(|n| format!("user-{n}")).collect();
    let before: Vec<_> = users.iter().map(|user| ask(&first, user).0).collect();
    drop(first);
    let second = proxy(&backends, &redis, "");
    for (user, backend) in users.iter().zip(before) {
        assert_eq!(ask(&second, user), (backend, "hit".to_owned()));
    }
}

#[test]
fn requests_go_on_while_redis_is_away_and_are_known_when_it_is_back() {
    if !is_installed("redis-server") {
        return;
    }
    let (mut redis, backends) = (Redis::start(), ["a", "b", "c"].map(Backend::named));
    for mode in ["through", "behind"] {
        let one = proxy(&backends, &redis, &format!("write = \"{mode}\""));
        let user = |n: usize| format!("{mode}-{n}");
        let before: Vec<_> = (0..10).map(|n| ask(&one, &user(n)).0).collect();
        redis.kill();
        for (n, backend) in before.iter().enumerate() {
            assert_eq!(&ask(&one, &user(n)).0, backend, "known here, whatever Redis does");
        }
        let during: Vec<_> = (10..20).map(|n| ask(&one, &user(n)).0).collect();
        for (n, backend) in during.iter().enumerate() {
            assert_eq!(&ask(&one, &user(n + 10)).0, backend);
        }
        one.logged(&["sessions pool=a redis=", "down"]);
        redis.restart();
        // Nothing was in it: what this proxy knows is written again.
        wait::until("Redis to be used again", || {
            let replayed = |line: &&String| line.contains("queued writes replayed");
            { one.output() }.iter().filter(replayed).any(|line| !line.contains("; 0 queued"))
        });
        let two = proxy(&backends, &redis, "");
        // All of them, once that line is there: to ask is to pin.
        for (n, backend) in during.iter().enumerate() {
            let (text, outcome) = ask(&two, &user(n + 10));
            assert_eq!(&text, backend, "{outcome}");
        }
        one.output().iter().filter(|l| l.contains("sessions pool")).for_each(|l| println!("{l}"));
    }
}
