//! The login app: who is logged in where, and what becomes of it when something dies.

use std::io::Read;

use proxy_lab::backend::Backend;
use proxy_lab::browser::Browser;
use proxy_lab::client::{Connection, raw};
use proxy_lab::demo;
use proxy_lab::fleet::is_installed;
use proxy_lab::process::Proxy;
use proxy_lab::redis::Redis;

use crate::demo::{Demo, Scratch, line, said};
use crate::{PROGRAM, SCRATCH};

/// A login of `ada`.
fn login(browser: &mut Browser) {
    assert_eq!(said(&browser.post("/login", "user=ada")), line(200, "one: ada is logged in"));
}

/// Whom it takes the client for.
fn me(browser: &mut Browser) -> (u16, String) {
    said(&browser.get("/me"))
}

fn visit(number: u32) -> (u16, String) {
    line(200, &format!("one: ada, visit {number}"))
}

fn nobody() -> (u16, String) {
    line(401, "one: nobody is logged in here")
}

/// As `browser`, with the same cookies, of another backend.
fn moved(browser: &Browser, demo: &Demo) -> Browser {
    Browser { address: demo.address(), ..browser.clone() }
}

#[track_caller]
fn assert_unavailable(reply: &(u16, String), named: &str) {
    let (status, text) = reply;
    assert!(*status == 503 && text.starts_with("one: no session can be had: "), "{status} {text}");
    assert!(text.contains(named), "{text}");
}

#[test]
fn who_logs_in_is_known_until_logging_out() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    let mut browser = Browser::new(demo.address());
    assert_eq!(me(&mut browser), nobody());
    let reply = browser.post("/login", "user=ada");
    assert_eq!(said(&reply), line(200, "one: ada is logged in"));
    let id = browser.cookies["session"].clone();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let set = format!("session={id}; Path=/; HttpOnly; SameSite=Lax");
    assert_eq!(reply.header("set-cookie"), Some(set.as_str()));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    for number in 1..=3 {
        let reply = browser.get("/me");
        assert_eq!(said(&reply), visit(number));
        assert_eq!(reply.header("set-cookie"), None, "once is enough");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    // Others are not ada.
    assert_eq!(me(&mut Browser::new(demo.address())), nobody());
    let mut thief = browser.clone();
    let reply = browser.post("/logout", "");
    assert_eq!(said(&reply), line(200, "one: logged out"));
    let expired = "session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax";
    assert_eq!(reply.header("set-cookie"), Some(expired));
    assert_eq!(me(&mut browser), nobody());
    assert_eq!(me(&mut thief), nobody(), "it is the session that has ended, not the cookie alone");
    assert_eq!(browser.post("/logout", "").status, 200, "and again");
    assert!(!demo.process.output().iter().any(|line| line.contains(&id)), "ids are not logged");
}

#[test]
fn a_login_makes_a_new_id_and_ends_the_session_before() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    // An id that an attacker has planted is not taken over.
    let mut browser = Browser::new(demo.address());
    let planted = "0123456789abcdef0123456789abcdef";
    browser.cookies.insert("session".to_owned(), planted.to_owned());
    login(&mut browser);
    assert_ne!(browser.cookies["session"], planted);
    let mut before = browser.clone();
    assert_eq!(me(&mut before), visit(1));
    login(&mut browser);
    assert_eq!(me(&mut browser), visit(1));
    assert_eq!(me(&mut before), nobody());
}

#[test]
fn a_cookie_that_is_no_session_is_nobodys() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    let mut browser = Browser::new(demo.address());
    login(&mut browser);
    let id = browser.cookies["session"].clone();
    let with = |cookie: &[u8]| {
        let head = b"GET /me HTTP/1.1\r\nHost: lab\r\nCookie: ";
        said(&raw(demo.address(), [head, cookie, b"\r\n\r\n"].concat()))
    };
    let many = "a=b; ".repeat(1000);
    for cookie in [
        "session=",
        "session",
        "session=0123456789abcdef0123456789abcdef",
        &format!("session={}", id.to_uppercase()),
        &format!("session={id}0"),
        &format!("session=\"{id}\""),
        &format!("session={}", "f".repeat(10_000)),
        &format!("Session={id}"),
        &format!("my-session={id}"),
        &format!("session=x; session={id}"),
        &many,
    ] {
        assert_eq!(with(cookie.as_bytes()), nobody(), "{cookie:.60}");
    }
    assert_eq!(with(b"session=\xff\xfe"), nobody());
    for cookie in [&format!("a=b; session={id}; c"), &format!("{many}session={id}")] {
        assert_eq!(with(cookie.as_bytes()).0, 200, "{cookie:.60}");
    }
}

#[test]
fn names_are_checked_and_never_html() {
    let scratch = Scratch::new();
    let (url, name) = (scratch.url(), "<i>one</i>");
    let args = ["--listen", "127.0.0.1:0", "--name", name, "--database", &url];
    let demo = Demo { process: Proxy::start(PROGRAM, 1, args) };
    let mut browser = Browser::new(demo.address());
    let long = format!("user={}", "x".repeat(65));
    let huge = format!("user={}", "x".repeat(5000));
    for (form, status, named) in [
        ("", 400, "1 to 64 characters"),
        ("user=", 400, "1 to 64 characters"),
        ("user=+%09", 400, "1 to 64 characters"),
        (&long, 400, "1 to 64 characters"),
        ("user=a%0d%0aSet-Cookie:+b=c", 400, "no control characters"),
        ("user=a%00", 400, "no control characters"),
        ("user=a&user=b", 400, "given twice"),
        ("name=a", 400, "unknown parameter `name`"),
        (&huge, 413, "at most 4096 bytes"),
    ] {
        let (code, text) = said(&browser.post("/login", form));
        assert!(code == status && text.contains(named), "{form:.40}: {code} {text}");
        assert!(browser.cookies.is_empty());
    }
    let hostile = "user=%3Cscript%3Ealert(%22x%22)%3C/script%3E%26%27";
    assert_eq!(browser.post("/login", hostile).status, 200);
    let reply = browser.get("/app");
    let page = reply.text();
    assert!(
        page.contains("Hello, &lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;&#39;"),
        "{page}"
    );
    assert!(page.contains("&lt;i&gt;one&lt;/i&gt;"), "{page}");
    assert!(!page.contains("<script") && !page.contains("<i>"), "{page}");
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let (_, text) = me(&mut browser);
    assert_eq!(text, "<i>one</i>: <script>alert(\"x\")</script>&', visit 2\n");
    assert_eq!(browser.get("/me").header("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn a_browser_logs_in_and_out_by_the_page() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    let mut browser = Browser::new(demo.address());
    let accept = "text/html,application/xhtml+xml,*/*;q=0.8";
    let reply = browser.get("/app");
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let page = reply.text();
    assert!(
        page.contains("Nobody is logged in here") && page.contains("action=\"/login\""),
        "{page}"
    );
    assert!(!page.contains("Your browser came with a session"), "{page}");
    let reply = browser.request("POST", "/login", accept, "user=Ada+Lovelace");
    assert_eq!((reply.status, reply.header("location")), (303, Some("/app")));
    let page = browser.get("/app").text();
    for piece in ["Hello, Ada Lovelace", "Visit 1", "<dd>one</dd>", "memory", "action=\"/logout\""]
    {
        assert!(page.contains(piece), "{piece}: {page}");
    }
    let reply = browser.request("POST", "/logout", accept, "");
    assert_eq!((reply.status, reply.header("location")), (303, Some("/app")));
    assert!(browser.get("/app").text().contains("Nobody is logged in here"));
    // A backend that does not know the session says what may have happened.
    browser.request("POST", "/login", accept, "user=ada");
    let other = Demo::over(&scratch.url(), &[]);
    let page = moved(&browser, &other).get("/app").text();
    assert!(page.contains("Your browser came with a session, but it is not known here"), "{page}");
}

#[test]
fn it_is_broken_and_counted_as_the_rest_of_the_application() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    let mut browser = Browser::new(demo.address());
    login(&mut browser);
    assert_eq!(me(&mut browser), visit(1));
    demo.done("/break/502");
    assert_eq!(me(&mut browser), line(502, "one: broken on request"));
    demo.done("/mend");
    demo.done("/break/db");
    assert_eq!(me(&mut browser), visit(3), "it needs no database; the broken one was counted");
    demo.done("/mend");
    assert_eq!(browser.get("/app").status, 200);
    assert_eq!(browser.post("/logout", "").status, 200);
    assert_eq!(demo.get("/served"), line(200, "6"));
}

#[test]
fn memory_holds_so_many_sessions_and_the_next_is_refused() {
    let scratch = Scratch::new();
    let demo = Demo::over(&scratch.url(), &[]);
    let mut ada = Browser::new(demo.address());
    login(&mut ada);
    let request = "POST /login HTTP/1.1\r\nHost: lab\r\nContent-Length: 8\r\n\r\nuser=bob";
    let mut connection = Connection::open(demo.address());
    for batch in [1000; 9].into_iter().chain([999]) {
        connection.send(request.repeat(batch));
        for _ in 0..batch {
            assert_eq!(connection.reply().status, 200);
        }
    }
    let mut late = Browser::new(demo.address());
    let reply = said(&late.post("/login", "user=eve"));
    assert_unavailable(&reply, "10000 are open, and no more are kept");
    assert!(late.cookies.is_empty());
    assert_eq!(me(&mut ada), visit(1), "those that are in stay in");
    ada.post("/logout", "");
    assert_eq!(late.post("/login", "user=eve").status, 200);
}

#[test]
fn two_that_keep_their_sessions_in_memory_do_not_share_a_login() {
    let scratch = Scratch::new();
    let one = Demo::over(&scratch.url(), &[]);
    let other = Demo::over(&scratch.url(), &[]);
    let mut browser = Browser::new(one.address());
    login(&mut browser);
    assert_eq!(me(&mut moved(&browser, &other)), nobody());
    assert_eq!(me(&mut browser), visit(1), "the first one knows it still");
    drop(one);
    let one = Demo::over(&scratch.url(), &[]);
    assert_eq!(me(&mut moved(&browser, &one)), nobody(), "it ended with the process");
}

#[test]
fn two_that_keep_their_sessions_in_one_redis_share_a_login_that_outlives_either() {
    if !is_installed("redis-server") {
        return;
    }
    let redis = Redis::start();
    let [mut one, other] =
        ["one", "two"].map(|name| demo::Demo::with_sessions(PROGRAM, SCRATCH, name, &redis.url()));
    let [mut first, mut second] =
        [&one, &other].map(|demo| Browser::new(demo.address.parse().unwrap()));
    login(&mut first);
    second.cookies.clone_from(&first.cookies);
    assert_eq!(me(&mut first), visit(1));
    assert_eq!(me(&mut second), line(200, "two: ada, visit 2"));
    one.kill();
    assert_eq!(me(&mut second), line(200, "two: ada, visit 3"), "the login outlives its backend");
    one.restart();
    assert_eq!(me(&mut first), visit(4));
    let page = second.get("/app").text();
    assert!(page.contains(&format!("Redis, at {}", redis.address)), "{page}");
    second.post("/logout", "");
    assert_eq!(me(&mut first), nobody(), "the logout is shared too");
    assert!(redis.command("DBSIZE").starts_with(":0\r\n"), "nothing is left of it");
}

#[test]
fn a_session_in_redis_ends_by_itself_unless_somebody_comes_with_it() {
    if !is_installed("redis-server") {
        return;
    }
    let (redis, scratch) = (Redis::start(), Scratch::new());
    let demo = Demo::over(&scratch.url(), &["--sessions", &redis.url()]);
    let mut browser = Browser::new(demo.address());
    login(&mut browser);
    let key = format!("demo-backend:session:{}", browser.cookies["session"]);
    let has_half_an_hour = || {
        let left = redis.command(&format!("TTL {key}"));
        left.starts_with(":1800\r\n") || left.starts_with(":1799\r\n")
    };
    assert!(has_half_an_hour());
    redis.command(&format!("EXPIRE {key} 60"));
    assert!(!has_half_an_hour());
    assert_eq!(me(&mut browser), visit(1));
    assert!(has_half_an_hour());
    // Its time is up.
    redis.command(&format!("PEXPIRE {key} 0"));
    assert_eq!(me(&mut browser), nobody());
    assert!(redis.command("DBSIZE").starts_with(":0\r\n"), "a visit does not make it anew");
}

#[test]
fn a_redis_that_is_killed_is_an_error_in_words_until_it_is_back() {
    if !is_installed("redis-server") {
        return;
    }
    let (mut redis, scratch) = (Redis::start(), Scratch::new());
    let demo = Demo::over(&scratch.url(), &["--sessions", &redis.url()]);
    let mut browser = Browser::new(demo.address());
    login(&mut browser);
    redis.kill();
    assert_unavailable(&me(&mut browser), "Connection refused");
    for (method, path) in [("GET", "/app"), ("POST", "/login"), ("POST", "/logout")] {
        let reply = browser.request(method, path, "text/html", "user=ada");
        assert_unavailable(&said(&reply), "Connection refused");
        assert_eq!(reply.header("set-cookie"), None, "the client keeps its cookie");
    }
    // Who has no session is nobody, whatever Redis does.
    assert_eq!(me(&mut Browser::new(demo.address())), nobody());
    assert_eq!(demo.get("/"), line(200, "one: orders: 0"), "the rest works");
    redis.restart();
    assert_eq!(me(&mut browser), nobody(), "it was in the memory of Redis alone");
    login(&mut browser);
    assert_eq!(me(&mut browser), visit(1));
}

#[test]
fn a_redis_that_is_full_or_wrong_is_an_error_in_words() {
    if !is_installed("redis-server") {
        return;
    }
    let (redis, scratch) = (Redis::start(), Scratch::new());
    let demo = Demo::over(&scratch.url(), &["--sessions", &redis.url()]);
    let mut browser = Browser::new(demo.address());
    assert!(redis.command("CONFIG SET maxmemory 1").starts_with("+OK"));
    assert_unavailable(&said(&browser.post("/login", "user=ada")), "OOM");
    assert!(redis.command("CONFIG SET maxmemory 0").starts_with("+OK"));
    login(&mut browser);
    let key = format!("demo-backend:session:{}", browser.cookies["session"]);
    // Others can write there too.
    redis.command(&format!("HSET {key} user \"\""));
    assert_unavailable(&me(&mut browser), "unexpected reply");
    redis.command(&format!("HDEL {key} user"));
    assert_unavailable(&me(&mut browser), "unexpected reply");
    redis.command(&format!("SET {key} x"));
    assert_unavailable(&me(&mut browser), "WRONGTYPE");
    assert_eq!(browser.post("/logout", "").status, 200);
    login(&mut browser);
    assert_eq!(me(&mut browser), visit(1));
}

#[test]
fn a_redis_that_says_nothing_is_an_error_in_bounded_time() {
    let silent = Backend::new(|connection| {
        let _ = connection.reader.read_to_end(&mut Vec::new());
    });
    let scratch = Scratch::new();
    let sessions = format!("redis://{}", silent.address);
    let flags = ["--sessions", &sessions, "--database-timeout-ms", "100"];
    let demo = Demo::over(&scratch.url(), &flags);
    let request = "POST /login HTTP/1.1\r\nHost: lab\r\nContent-Length: 8\r\n\r\nuser=ada";
    let mut waiting: Vec<_> = (0..100)
        .map(|_| {
            let mut connection = Connection::open(demo.address());
            connection.send(request);
            connection
        })
        .collect();
    assert_eq!(demo.get("/live").0, 200);
    for connection in &mut waiting {
        assert_unavailable(&said(&connection.reply()), "no answer within 100 ms");
    }
}
