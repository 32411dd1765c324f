use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::shutdown::{Shutdown, Signals};

/// Pools that do what they are told, and remember it.
struct Fake {
    pools: Mutex<Vec<PoolReport>>,
    udp: Mutex<Option<Vec<UdpReport>>>,
    done: Mutex<Vec<(String, String, Action)>>,
}

impl Fake {
    fn new(names: &[&str]) -> Arc<Self> {
        let backend = |name: &str| BackendReport {
            name: name.to_owned(),
            state: "up".to_owned(),
            reason: "up".to_owned(),
            admin: Admin::Enabled,
            weight: Weight::ONE,
            tier: 0,
            in_flight: 3,
            share: 1.0,
            check: Some("GET /health".to_owned()),
            sessions: Some(7),
        };
        let pool = |name: &&str| PoolReport {
            name: (*name).to_owned(),
            policy: "p2c".to_owned(),
            panic: None,
            sessions: None,
            backends: vec![backend("a:80"), backend("[::1]:80"), backend("fixed:80")],
        };
        let pools = Mutex::new(names.iter().map(pool).collect());
        Arc::new(Self { pools, udp: Mutex::default(), done: Mutex::default() })
    }
}

impl Pools for Fake {
    fn report(&self) -> Vec<PoolReport> {
        self.pools.lock().clone()
    }

    fn act(&self, pool: &str, backend: &str, action: Action) -> Result<(), ActError> {
        if backend == "fixed:80" {
            return Err(ActError::Refused("it stays as it is".to_owned()));
        }
        let mut pools = self.pools.lock();
        let pools = pools.iter_mut().filter(|it| it.name == pool);
        let mut found = pools.flat_map(|it| &mut it.backends).filter(|it| it.name == backend);
        let found = found.next().ok_or(ActError::Unknown)?;
        match action {
            Action::Drain => (found.state, found.admin) = ("draining".into(), Admin::Draining),
            Action::Enable => (found.state, found.admin) = ("up".into(), Admin::Enabled),
            Action::Disable => (found.state, found.admin) = ("disabled".into(), Admin::Disabled),
            Action::Weight(weight) => found.weight = weight,
            Action::Unpin => found.sessions = Some(0),
        }
        self.done.lock().push((pool.to_owned(), backend.to_owned(), action));
        Ok(())
    }

    fn udp(&self) -> Option<Vec<UdpReport>> {
        self.udp.lock().clone()
    }
}

/// A server, and what it needs to be stopped.
struct Server {
    address: SocketAddr,
    pools: Arc<Fake>,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

const TOKEN: &str = "0123456789abcdef";

impl Server {
    async fn start(names: &[&str], token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let token = token.map(|token| toml::Value::String(token.to_owned()));
        let section = AdminSection { address: address.to_string(), token };
        let settings = AdminSettings::new(&section).unwrap();
        let (pools, shutdown) = (Fake::new(names), Shutdown::new());
        let task =
            tokio::spawn(serve(Arc::new(listener), settings, pools.clone(), shutdown.guard()));
        Self { address, pools, shutdown, task }
    }

    /// Sends bytes as they are; returns all that comes back.
    async fn send(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    /// `GET /x`, with a good Host and these headers; the status, the head and the body.
    async fn ask(&self, line: &str, headers: &str, body: &str) -> (u16, String, String) {
        let (host, length) = (self.address, body.len());
        let head =
            format!("{line} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{headers}");
        parse(&self.send(&format!("{head}\r\n{body}")).await)
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.ask(&format!("GET {path}"), "", "").await;
        (status, body)
    }

    async fn post(&self, path: &str, body: &str) -> (u16, String) {
        let (status, _, body) = self.ask(&format!("POST {path}"), "", body).await;
        (status, body)
    }

    fn done(&self) -> Vec<(String, String, Action)> {
        std::mem::take(&mut self.pools.done.lock())
    }
}

fn parse(answer: &str) -> (u16, String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn all_pools_one_and_one_backend_are_shown_as_json_that_reads_well() {
    let server = Server::start(&["web", "api"], None).await;
    let (status, text) = server.get("/backends").await;
    assert_eq!(status, 200);
    assert!(text.starts_with("{\n  \"pools\": [\n") && text.ends_with("}\n"), "{text}");
    let all = json(&text);
    assert_eq!(all["pools"][1]["name"], "api");
    let backend = &all["pools"][0]["backends"][0];
    assert_eq!(backend["name"], "a:80");
    assert_eq!(backend["admin"], "enabled");
    assert_eq!(backend["weight"], 1);
    assert_eq!(backend["check"], "GET /health");
    assert_eq!(json(&server.get("/backends/web").await.1), all["pools"][0]);
    assert_eq!(json(&server.get("/backends/web/a:80").await.1), *backend);
    let v6 = json(&server.get("/backends/web/%5B::1%5D:80").await.1);
    assert_eq!(v6["name"], "[::1]:80");
    let (status, head, body) = server.ask("HEAD /backends", "", "").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("application/json") && head.contains("no-store"), "{head}");
}

#[tokio::test]
async fn udp_listeners_are_shown_where_there_can_be_some() {
    let server = Server::start(&["web"], None).await;
    assert_eq!(server.get("/udp").await.0, 404);
    assert!(!server.get("/").await.1.contains("/udp"));
    let sessions = UdpSessions { now: 2, max: 10, opened: 5, idle: 3, ..<_>::default() };
    let dropped = UdpDropped { full: 7, ..<_>::default() };
    let (address, pool) = ("127.0.0.1:53".to_owned(), "dns".to_owned());
    let listener =
        UdpReport { address, pool, sessions, datagrams: UdpDatagrams::default(), dropped };
    *server.pools.udp.lock() = Some(vec![listener]);
    let (status, text) = server.get("/udp").await;
    let listener = &json(&text)["listeners"][0];
    assert_eq!((status, &listener["address"]), (200, &"127.0.0.1:53".into()));
    assert_eq!((&listener["pool"], &listener["sessions"]["now"]), (&"dns".into(), &2.into()));
    assert_eq!(
        (&listener["sessions"]["idle"], &listener["dropped"]["full"]),
        (&3.into(), &7.into())
    );
    assert_eq!(listener["datagrams"]["to_clients"], 0);
    assert!(server.get("/").await.1.contains("\nGET  /udp "));
    assert_eq!(server.post("/udp", "").await.0, 405);
    assert_eq!(server.get("/udp/127.0.0.1:53").await.0, 404);
}

#[tokio::test]
async fn a_post_changes_a_backend_and_shows_it() {
    let server = Server::start(&["web", "api"], None).await;
    for (verb, action, state, admin) in [
        ("drain", Action::Drain, "draining", "draining"),
        ("disable", Action::Disable, "disabled", "disabled"),
        ("enable", Action::Enable, "up", "enabled"),
    ] {
        let (status, body) = server.post(&format!("/backends/api/a:80/{verb}"), "").await;
        let body = json(&body);
        assert_eq!(status, 200);
        assert_eq!((&body["name"], &body["state"]), (&"a:80".into(), &state.into()));
        assert_eq!(body["admin"], admin);
        assert_eq!(server.done(), [("api".to_owned(), "a:80".to_owned(), action)]);
    }
    let (status, body) = server.post("/backends/api/a:80/unpin", "").await;
    assert_eq!((status, &json(&body)["sessions"]), (200, &0.into()));
    assert_eq!(server.done(), [("api".to_owned(), "a:80".to_owned(), Action::Unpin)]);
}

#[tokio::test]
async fn a_weight_comes_in_the_query_or_in_the_body() {
    let server = Server::start(&["web"], None).await;
    let path = "/backends/web/a:80/weight";
    for (query, body, weight) in [("?value=5", "", 5), ("", "7\n", 7), ("?value=65535", "", 65_535)]
    {
        let (status, answer) = server.post(&format!("{path}{query}"), body).await;
        assert_eq!((status, &json(&answer)["weight"]), (200, &weight.into()));
        let action = Action::Weight(Weight::new(weight));
        assert_eq!(server.done(), [("web".to_owned(), "a:80".to_owned(), action)]);
    }
    for (query, body, named) in [
        ("", "", "no weight"),
        ("?value=", "", "weight `` is not a number"),
        ("?value=-1", "", "weight `-1` is not a number from 0 to 65535"),
        ("?value=65536", "", "weight 65536 is out of range"),
        ("?value=5&value=5", "", "more than one weight"),
        ("?value=5", "5", "more than one weight"),
        ("?weight=5", "", "unknown `weight=5`; allowed is value=N"),
        ("", "five\u{1b}[31m", "weight `five\\u{1b}[31m` is not"),
    ] {
        let (status, answer) = server.post(&format!("{path}{query}"), body).await;
        assert_eq!(status, 400, "{query} {body}");
        assert!(answer.contains(named), "{query} {body}: {answer}");
    }
    assert_eq!(server.done(), []);
}

#[tokio::test]
async fn where_there_is_one_pool_its_name_may_be_left_out() {
    let one = Server::start(&["web"], None).await;
    assert_eq!(one.post("/backends/a:80/drain", "").await.0, 200);
    assert_eq!(one.post("/backends/a:80/weight?value=2", "").await.0, 200);
    assert_eq!(one.done().len(), 2);
    assert_eq!(json(&one.get("/backends/a:80").await.1)["state"], "draining");
    let several = Server::start(&["web", "api"], None).await;
    let (status, text) = several.post("/backends/a:80/drain", "").await;
    assert_eq!(status, 404);
    assert_eq!(text, "which pool? say /backends/POOL/NAME/...; there are: web, api\n");
    assert_eq!(several.done(), []);
}

#[tokio::test]
async fn what_is_not_there_is_answered_with_what_there_is() {
    let server = Server::start(&["web", "api"], None).await;
    for (line, status, named) in [
        ("GET /", 200, "curl http://127.0.0.1:"),
        ("GET /backends/", 200, "\"pools\""),
        ("GET /other", 404, "nothing here\n\nGET  /backends "),
        ("GET /backends/web/a:80/drain/now", 404, "nothing here"),
        ("POST /backends/web/a:80/drian", 404, "nothing here"),
        ("POST /backends/web/a/b/drain", 404, "nothing here"),
        ("GET /backends/wbe", 404, "no pool `wbe`; there are: web, api"),
        (
            "GET /backends/web/b:80",
            404,
            "no backend `b:80` in pool `web`; there are: a:80, [::1]:80",
        ),
        ("POST /backends/wbe/a:80/drain", 404, "no pool `wbe`; there are: web, api"),
        ("POST /backends/web/b:80/drain", 404, "no backend `b:80` in pool `web`; there are: a:80"),
        ("POST /backends/web/fixed:80/drain", 409, "it stays as it is"),
        ("GET /backends/web/%1b%5b31m", 404, "no backend `\\u{1b}[31m`"),
        ("GET /backends/%ff", 400, "not UTF-8"),
    ] {
        let (found, _, body) = server.ask(line, "", "").await;
        assert_eq!(found, status, "{line}: {body}");
        assert!(body.contains(named) && body.ends_with('\n'), "{line}: {body}");
    }
    assert_eq!(server.done(), []);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let server = Server::start(&["web"], None).await;
    for (line, allow) in [
        ("POST /", "get, head"),
        ("POST /backends", "get, head"),
        ("DELETE /backends/web/a:80", "get, head"),
        ("GET /backends/web/a:80/drain", "post"),
        ("PUT /backends/a:80/weight?value=1", "post"),
        ("OPTIONS /backends/web/a:80/disable", "post"),
    ] {
        let (status, head, _) = server.ask(line, "", "").await;
        assert_eq!(status, 405, "{line}");
        assert!(head.contains(&format!("\r\nallow: {allow}\r\n")), "{line}: {head}");
    }
    assert_eq!(server.done(), []);
}

#[tokio::test]
async fn without_a_token_web_pages_are_refused() {
    let server = Server::start(&["web"], None).await;
    let port = server.address.port();
    let ask = async |line: &str, headers: &str| {
        parse(&server.send(&format!("{line} HTTP/1.1\r\n{headers}\r\n\r\n")).await).0
    };
    let drain = "POST /backends/web/a:80/drain";
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.2:80", "[::1]:80", "[::1]"] {
        assert_eq!(ask(drain, &format!("Host: {host}")).await, 200, "{host}");
    }
    assert_eq!(server.done().len(), 6);
    let rebound = format!("Host: evil.example:{port}");
    for headers in [
        rebound.as_str(),
        "Host: 127.0.0.1.evil.example",
        "Host: localhost.evil.example",
        "Host: 10.0.0.1",
        "Host: user@",
        "Host:",
        "X: no host at all",
        "Host: localhost\r\nHost: evil.example",
        "Host: localhost\r\nOrigin: http://evil.example",
        "Host: localhost\r\nOrigin: null",
    ] {
        assert_eq!(ask(drain, headers).await, 403, "{headers}");
    }
    assert_eq!(
        ask("POST http://evil.example/backends/web/a:80/drain", "Host: localhost").await,
        403
    );
    assert_eq!(server.done(), []);
    assert_eq!(ask("GET /backends", &rebound).await, 403);
    assert_eq!(ask("GET /backends", "Host: localhost\r\nOrigin: http://a").await, 200);
}

#[tokio::test]
async fn with_a_token_whoever_knows_it_may() {
    let server = Server::start(&["web"], Some(TOKEN)).await;
    let drain = "POST /backends/web/a:80/drain";
    for headers in [
        String::new(),
        format!("Authorization: {TOKEN}\r\n"),
        format!("Authorization: Basic {TOKEN}\r\n"),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Bearer \r\n".to_owned(),
        "Authorization: Bearer 0123456789abcdeF\r\n".to_owned(),
        format!("Authorization: Bearer {TOKEN}0\r\n"),
        format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}\r\n"),
    ] {
        for line in [drain, "GET /backends", "GET /"] {
            let (status, head, body) = server.ask(line, &headers, "").await;
            assert_eq!(status, 401, "{line} {headers}");
            assert!(head.contains("\r\nwww-authenticate: bearer"), "{head}");
            assert!(!body.contains(TOKEN) && !body.contains("a:80"), "{body}");
        }
    }
    assert_eq!(server.done(), []);
    for scheme in ["Bearer", "bearer"] {
        let headers =
            format!("Authorization: {scheme} {TOKEN}\r\nOrigin: http://dashboard.example\r\n");
        assert_eq!(server.ask(drain, &headers, "").await.0, 200);
    }
}

#[tokio::test]
async fn requests_are_bounded() {
    let server = Server::start(&["web"], None).await;
    let weight = "/backends/web/a:80/weight";
    let blank = |bytes: usize| format!("5{}", " ".repeat(bytes - 1));
    assert_eq!(server.post(weight, &blank(1024)).await.0, 200);
    assert_eq!(server.post(weight, &blank(1025)).await.0, 413);
    let many = "X: 1\r\n".repeat(60);
    assert_eq!(server.ask("GET /backends", &many, "").await.0, 431);
    let long = format!("X: {}\r\n", "1".repeat(20_000));
    assert_eq!(server.ask("GET /backends", &long, "").await.0, 431);
    assert_eq!(server.get("/backends").await.0, 200);
}

#[tokio::test]
async fn a_connection_has_one_request() {
    let server = Server::start(&["web"], None).await;
    let get = "GET /backends/web/a:80 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = server.send(&format!("{get}{get}")).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_finish_is_cut_off() {
    let server = Server::start(&["web"], None).await;
    let start = tokio::time::Instant::now();
    // The clock stands still while anybody works, so this waits for nothing but the limits.
    let head = server.send("GET /backends HTTP/1.1\r\nHost: loc");
    let body =
        "POST /backends/web/a:80/weight HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n5";
    let (head, body) = tokio::join!(head, server.send(body));
    assert!(!head.contains(" 200 ") && !body.contains(" 200 "), "{head} {body}");
    assert_eq!(server.done(), []);
    let took = start.elapsed();
    assert!((Duration::from_secs(30)..Duration::from_secs(31)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn idle_connections_are_limited() {
    let server = Server::start(&["web"], None).await;
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(server.send(get).await, "");
    drop(idle);
    // The places are given back as soon as the server sees that their holders have gone.
    let served = async { while !server.send(get).await.contains(" 200 ") {} };
    tokio::time::timeout(Duration::from_secs(10), served).await.unwrap();
}

#[tokio::test]
async fn it_ends_with_the_proxy() {
    let server = Server::start(&["web"], None).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.get("/backends").await.0, 200);
    let mut signals = Signals::install().unwrap();
    // Sooner than the time for a head would end the idle one.
    assert_eq!(server.shutdown.finish(Duration::from_secs(3), &mut signals).await, 0);
    server.task.await.unwrap();
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
}
