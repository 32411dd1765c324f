//! SIGHUP: another configuration, and nobody notices.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, get, raw};
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::timeline::admin_address;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

/// One listener, and a pool of these backends; `more` are more lines of the pool.
fn config(backends: &[&Backend], more: &str) -> String {
    let backends: Vec<_> = backends.iter().map(|backend| &backend.address).collect();
    format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         [pools.a]\nbackends = {backends:?}\n{more}\n"
    )
}

fn start(text: &str) -> (ConfigFile, Proxy) {
    let file = ConfigFile::new(SCRATCH, "reload", text);
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    (file, proxy)
}

/// Reloads with another text, and waits until that is done.
fn reload(proxy: &Proxy, file: &ConfigFile, text: &str) {
    let before = proxy.times_logged("reloaded: ");
    file.rewrite(text);
    proxy.signal("HUP");
    wait::until("the reload", || proxy.times_logged("reloaded: ") > before);
}

fn ask(connection: &mut Connection) -> String {
    connection.request("GET / HTTP/1.1\r\n\r\n").text()
}

#[test]
fn other_backends_take_what_is_new_and_open_connections_stay() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let (file, proxy) = start(&config(&[&a], ""));
    let mut open = Connection::open(proxy.address());
    assert_eq!(ask(&mut open), "a");
    reload(&proxy, &file, &config(&[&b], ""));
    proxy.logged(&["reloaded: pools kept 1, changed 0, new 0, gone 0"]);
    proxy.logged(&[&a.address, "removed; in flight: 1"]);
    assert_eq!(get(proxy.address(), "/").text(), "b");
    assert_eq!(ask(&mut open), "a");
    drop(open);
    reload(&proxy, &file, &config(&[&b], "policy = \"least_conn\""));
    proxy.logged(&["reloaded: pools kept 0, changed 1, new 0, gone 0"]);
    assert_eq!(get(proxy.address(), "/").text(), "b");
}

#[test]
fn what_an_operator_took_out_stays_out_of_a_changed_pool() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let text = |more| {
        let admin = "[admin]\naddress = \"127.0.0.1:0\"\n";
        config(&[&a, &b], &format!("{more}\n{admin}"))
    };
    let (file, proxy) = start(&text(""));
    let admin = admin_address(&proxy);
    let operate = |method, path: &str| {
        let head = format!("{method} /backends/a{path} HTTP/1.1");
        let reply = raw(admin, format!("{head}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text()
    };
    operate("POST", &format!("/{}/disable", a.address));
    operate("POST", &format!("/{}/weight?value=7", b.address));
    reload(&proxy, &file, &text("policy = \"least_conn\""));
    proxy.logged(&["reloaded: pools kept 0, changed 1, new 0, gone 0"]);
    let shown = operate("GET", "");
    assert!(shown.contains("\"disabled\"") && shown.contains("\"weight\": 7"), "{shown}");
    for _ in 0..4 {
        assert_eq!(get(proxy.address(), "/").text(), "b");
    }
}

#[test]
fn what_a_reload_can_not_change_is_named() {
    let a = Backend::named("a");
    let text = |workers| format!("workers = {workers}\n{}", config(&[&a], ""));
    let (file, proxy) = start(&text(1));
    reload(&proxy, &file, &text(1));
    assert_eq!(proxy.errors().len(), 0, "{:?}", proxy.errors());
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\n";
    reload(&proxy, &file, &format!("{}{admin}", text(2)));
    for setting in ["[admin]", "workers"] {
        proxy.complained(&format!("l4-proxy: {setting}: stays as it was at the start"));
    }
}

#[test]
fn what_is_wrong_changes_nothing() {
    let a = Backend::named("a");
    let (file, mut proxy) = start(&config(&[&a], ""));
    for (wrong, named) in [
        ("not toml", "reload: "),
        (&*config(&[], ""), "pools.a.backends: no backends; nothing has changed"),
        (&*config(&[&a, &a], ""), "duplicate backend"),
        (
            "[[listeners]]\naddress = \"192.0.2.1:80\"\npool = \"a\"\n\
          [pools.a]\nbackends = [\"127.0.0.1:1\"]\n",
            "listen on 192.0.2.1:80: ",
        ),
        (
            "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
          [pools.a]\nbackends = [\"no-such-host.invalid:80\"]\n",
            "no-such-host.invalid",
        ),
    ] {
        file.rewrite(wrong);
        proxy.signal("HUP");
        proxy.complained(named);
        assert_eq!(get(proxy.address(), "/").text(), "a", "{wrong}");
    }
    assert_eq!(proxy.times_logged("reloaded: "), 0);
    assert!(proxy.is_running());
}

#[test]
fn listeners_come_and_go() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let pools = format!(
        "[pools.a]\nbackends = [{:?}]\n[pools.b]\nbackends = [{:?}]\n",
        a.address, b.address
    );
    let listener = |address: &str, pool: &str| {
        format!("[[listeners]]\naddress = \"{address}\"\npool = \"{pool}\"\n")
    };
    let (file, proxy) = start(&(listener("127.0.0.1:0", "a") + &pools));
    let first = proxy.address();
    let mut open = Connection::open(first);
    assert_eq!(ask(&mut open), "a");

    // The same listener for another pool, and one more.
    let two = listener("127.0.0.1:0", "b") + &listener("[::1]:0", "a") + &pools;
    reload(&proxy, &file, &two);
    let line = proxy.logged(&["listening on [::1]:"]);
    let second = line.split_once("listening on ").unwrap().1.parse().unwrap();
    assert_eq!(get(first, "/").text(), "b");
    assert_eq!(get(second, "/").text(), "a");

    reload(&proxy, &file, &(listener("[::1]:0", "b") + &pools));
    proxy.logged(&[&format!("no longer listening on {first}")]);
    wait::until("the port to close", || TcpStream::connect(first).is_err());
    assert_eq!(get(second, "/").text(), "b");
    assert_eq!(ask(&mut open), "a");
}

#[test]
fn sessions_stay_where_they_are_when_the_policy_changes() {
    let backends = [Backend::named("a"), Backend::named("b"), Backend::named("c")];
    let all: Vec<_> = backends.iter().collect();
    let sticky = "sticky = { mode = \"client\" }\n";
    let (file, proxy) = start(&config(&all, sticky));
    let home = get(proxy.address(), "/").text();
    for policy in ["random", "least_conn", "p2c", "round_robin"] {
        reload(&proxy, &file, &config(&all, &format!("policy = {policy:?}\n{sticky}")));
        for _ in 0..5 {
            assert_eq!(get(proxy.address(), "/").text(), home, "{policy}");
        }
    }
    proxy.logged(&["reloaded: pools kept 0, changed 1, new 0, gone 0"]);
}

#[test]
fn who_comes_while_a_pool_is_replaced_is_served_by_the_one_in_its_place() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let config = |backend: &Backend, policy: &str| {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
             proxy_protocol = \"required\"\ntrusted = [\"127.0.0.1\"]\n\
             [pools.a]\npolicy = {policy:?}\nbackends = [{:?}]\n",
            backend.address
        )
    };
    let (file, proxy) = start(&config(&a, "round_robin"));
    let mut half = Connection::open(proxy.address());
    half.send("PROXY TCP4 192.0.2.1 192.0");
    // So that the proxy has accepted it.
    let mut whole = Connection::open(proxy.address());
    whole.send("PROXY UNKNOWN\r\n");
    assert_eq!(ask(&mut whole), "a");
    reload(&proxy, &file, &config(&b, "p2c"));
    half.send(".2.2 4321 80\r\n");
    assert_eq!(ask(&mut half), "b");
    assert_eq!(ask(&mut whole), "a");
}

#[test]
fn a_pool_that_is_gone_asks_for_nobodys_health() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let config = |name: &str, backend: &Backend| {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = {name:?}\n\
             [pools.{name}]\nbackends = [{:?}]\n\
             [health.check]\ntype = \"tcp\"\ninterval_ms = 20\nfast_interval_ms = 20\n",
            backend.address
        )
    };
    let (file, proxy) = start(&config("a", &a));
    wait::until("some checks", || a.accepted() > 2);
    reload(&proxy, &file, &config("b", &b));
    wait::until("some checks", || b.accepted() > 2);
    // One may have been under way.
    let (before, others) = (a.accepted(), b.accepted());
    wait::until("some more checks", || b.accepted() > others + 10);
    assert!(a.accepted() <= before + 1, "{} after {before}", a.accepted());
}

#[test]
fn no_connection_is_lost_to_reloads_under_load() {
    reloads_under_load(0);
    reloads_under_load(2);
}

fn reloads_under_load(workers: usize) {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let config = |backends: &[&Backend], policy: &str| {
        format!("workers = {workers}\n{}", config(backends, &format!("policy = {policy:?}")))
    };
    let (file, proxy) = start(&config(&[&a, &b], "p2c"));
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    let text = get(proxy.address(), "/").text();
                    assert!(text == "a" || text == "b", "{text:?}");
                    served.fetch_add(1, Relaxed);
                }
            });
        }
        for round in 0..20 {
            let policy = ["round_robin", "least_conn"][round / 2 % 2];
            // Another one each time, so that a pool that is replaced keeps none; or one that is the same.
            let backends = [vec![&b], vec![&a], vec![&a, &b]];
            reload(&proxy, &file, &config(&backends[round % 3], policy));
            let before = served.load(Relaxed);
            wait::until("some load", || served.load(Relaxed) > before + 4);
        }
        done.store(true, Relaxed);
    });
    assert!(served.load(Relaxed) > 20, "{served:?}");
    wait::until("all connections to have ended well", || {
        proxy.times_logged("end=\"closed\"") >= served.load(Relaxed)
    });
    assert_eq!(proxy.times_logged("end=\"closed\""), proxy.times_logged(" duration="));
    assert_eq!(proxy.errors(), Vec::<String>::new());
}
