//! "My login keeps dropping": a login app on two backends, with and without stickiness, and with its
//! sessions in Redis. What is printed is the transcript: `cargo test -p l7-proxy logins -- --nocapture`.

use proxy_lab::backend::Backend;
use proxy_lab::browser::Browser;
use proxy_lab::demo::Demo;
use proxy_lab::fleet::is_installed;
use proxy_lab::process::Proxy;
use proxy_lab::redis::Redis;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

/// A proxy over two login apps, and a browser in front of it.
struct Lab {
    demos: [Demo; 2],
    _proxy: Proxy,
    browser: Browser,
}

impl Lab {
    fn new(title: &str, sessions: &str, sticky: &str) -> Self {
        println!("\n{title}");
        let demos = ["one", "two"].map(|name| Demo::with_sessions(PROXY, SCRATCH, name, sessions));
        let addresses = demos.each_ref().map(|demo| demo.address.as_str());
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             [pools.app]\npolicy = \"round_robin\"\nbackends = {addresses:?}\n{sticky}"
        );
        let config = ConfigFile::new(SCRATCH, "logins", &text);
        let proxy = Proxy::start(PROXY, 1, ["--config", config.path()]);
        let browser = Browser::new(proxy.address());
        let mut lab = Self { demos, _proxy: proxy, browser };
        lab.log_in();
        lab
    }

    fn log_in(&mut self) {
        let reply = self.browser.post("/login", "user=ada");
        assert_eq!(reply.status, 200);
        println!("  POST /login user=ada   {} {}", reply.status, reply.text().trim());
    }

    /// Asks who is logged in; what it says.
    fn me(&mut self) -> (u16, String) {
        let reply = self.browser.get("/me");
        let text = reply.text().trim().to_owned();
        let pin = reply.header("x-session").unwrap_or("-");
        println!("  GET /me                {} {text}   (session: {pin})", reply.status);
        (reply.status, text)
    }

    /// Kills the backend that has answered so.
    fn kill(&mut self, answer: &str) {
        let had = |demo: &&mut Demo| answer.starts_with(demo.name);
        let demo = self.demos.iter_mut().find(had).expect("one of them has answered");
        println!("  kill -9 {}", demo.name);
        demo.kill();
    }
}

const STICKY: &str = "[pools.app.sticky]\nmode = \"cookie\"\nreport = \"x-session\"\n";

#[test]
fn without_stickiness_every_other_request_is_logged_out() {
    let mut lab = Lab::new("no stickiness, sessions in memory", "memory", "");
    let answers: Vec<_> = (0..10).map(|_| lab.me()).collect();
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [401, 200].repeat(5), "{answers:?}");
}

#[test]
fn with_stickiness_the_login_stays_until_its_backend_dies() {
    for sticky in [STICKY, &STICKY.replace("\"cookie\"", "\"learn\"\nname = \"session\"")] {
        let mut lab = Lab::new("sticky, sessions in memory", "memory", sticky);
        let answers: Vec<_> = (0..10).map(|_| lab.me()).collect();
        for (n, (status, text)) in answers.iter().enumerate() {
            assert!(
                *status == 200 && text.contains(&format!("visit {}", n + 1)),
                "{status} {text}"
            );
        }
        lab.kill(&answers[0].1);
        let (status, text) = lab.me();
        assert_eq!(status, 401, "the login died with its backend: {text}");
        lab.log_in();
        assert!((0..6).all(|_| lab.me().0 == 200), "and the new one stays with the other");
    }
}

#[test]
fn with_sessions_in_redis_the_login_survives_its_backend() {
    if !is_installed("redis-server") {
        return;
    }
    let redis = Redis::start();
    for (title, sticky) in
        [("no stickiness, sessions in Redis", ""), ("sticky, sessions in Redis", STICKY)]
    {
        let mut lab = Lab::new(title, &redis.url(), sticky);
        let answers: Vec<_> = (0..4).map(|_| lab.me()).collect();
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        lab.kill(&answers[3].1);
        for n in 5..9 {
            let (status, text) = lab.me();
            assert!(status == 200 && text.contains(&format!("visit {n}")), "{status} {text}");
        }
    }
    // Stickiness says where to look; it does not keep what Redis has lost.
    let mut lab = Lab::new("Redis loses everything", &redis.url(), STICKY);
    redis.command("FLUSHALL");
    assert_eq!(lab.me().0, 401);
    wait::until("a new login", || {
        lab.log_in();
        lab.me().0 == 200
    });
}

/// The application at the other backend sets the same cookie anew: the session is only visiting there.
#[test]
fn a_learned_session_that_is_held_comes_back_home() {
    let answer = |name: &'static str| {
        Backend::new(move |accepted| {
            while accepted.request().is_some() {
                let length = name.len();
                accepted.send(format!(
                    "HTTP/1.1 200 OK\r\nSet-Cookie: sid=s1; Path=/\r\nContent-Length: {length}\r\n\r\n{name}"
                ));
            }
        })
    };
    let backends = ["one", "two"].map(answer);
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [pools.app]\nbackends = {addresses:?}\n\
         [pools.app.sticky]\nmode = \"learn\"\nname = \"sid\"\non_lost = \"hold\"\nreport = \"x-session\"\n"
    );
    let config = ConfigFile::new(SCRATCH, "logins", &text);
    let proxy = Proxy::start(PROXY, 1, ["--config", config.path()]);
    let mut browser = Browser::new(proxy.address());
    let home = browser.get("/").text();
    let place = usize::from(home == "two");
    let admin = proxy.logged(&["admin at http://"]);
    let admin = admin.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap();
    let mut operator = Browser::new(admin.parse().unwrap());
    let mut operate = |verb: &str| {
        let path = format!("/backends/app/{}/{verb}", addresses[place]);
        let request = format!("POST {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(proxy_lab::client::raw(operator.address, request).status, 200);
        operator.cookies.clear();
    };
    operate("disable");
    for _ in 0..3 {
        let reply = browser.get("/");
        assert_eq!(reply.header("x-session"), Some("held"));
        assert_ne!(reply.text(), home);
    }
    operate("enable");
    wait::until("the session to be home again", || browser.get("/").text() == home);
    assert_eq!(browser.get("/").header("x-session"), Some("hit"));
}
