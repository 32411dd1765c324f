//! The other ways to tell a session than by a cookie of the proxy's own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, get as get_plain};
use proxy_lab::fleet::ask_from;
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;

use super::{Answer, NAMES, act, ask, assert_misses, cookie, get, over};
use crate::{PROXY, SCRATCH};

/// An application that has its clients keep a session id from `/login` to `/logout`.
fn application(name: &'static str) -> Backend {
    let logins = AtomicUsize::new(0);
    Backend::new(move |connection| {
        while let Some(request) = connection.request() {
            let set = match request.line.split(' ').nth(1) {
                Some("/login") => {
                    let n = logins.fetch_add(1, Relaxed);
                    format!(
                        "Set-Cookie: lang=en\r\n\
                         Set-Cookie: id={name}-{n}; Path=/;HttpOnly ; Max-Age=600\r\n"
                    )
                }
                Some("/logout") => "Set-Cookie: id=; Path=/; Max-Age=0\r\n".to_owned(),
                _ => String::new(),
            };
            let length = name.len();
            connection
                .send(format!("HTTP/1.1 200 OK\r\n{set}Content-Length: {length}\r\n\r\n{name}"));
        }
    })
}

fn address_of<'a>(backends: &'a [Backend; 3], name: &str) -> &'a str {
    let index = NAMES.iter().position(|known| *known == name).expect("a name");
    &backends[index].address
}

/// Asks several times; all must be hits of this backend.
fn assert_stays(proxy: &Proxy, target: &str, lines: &str, backend: &str) {
    for _ in 0..4 {
        let answer = ask(proxy, target, lines);
        assert_eq!((answer.word(), answer.backend().as_str()), ("hit", backend), "{lines}");
    }
}

/// Asks several times; nothing must be said of a session, and all must be spread.
fn assert_no_session(proxy: &Proxy, target: &str, lines: &str) {
    let mut used = BTreeSet::new();
    for _ in 0..6 {
        let answer = ask(proxy, target, lines);
        assert_eq!(answer.word(), "", "{target} {lines}");
        used.insert(answer.backend());
    }
    assert_eq!(used.len(), NAMES.len(), "{target} {lines}");
}

#[test]
fn prefix_puts_a_token_in_front_of_the_application_s_cookie_and_takes_it_off() {
    let backends = NAMES.map(application);
    let proxy = over(&backends, "mode = \"prefix\"\nname = \"id\"");
    assert_no_session(&proxy, "/", "");
    let login = ask(&proxy, "/login", "");
    let (home, kept) = (login.backend(), login.kept("id"));
    assert_eq!(login.word(), "new");
    let (token, id) = kept.trim_start_matches("id=").split_once('~').unwrap();
    assert_eq!((token.len(), id.starts_with(&home)), (63, true), "{kept}");
    let expected = ["lang=en".to_owned(), format!("{kept}; Path=/;HttpOnly ; Max-Age=600")];
    assert_eq!(login.set(), expected, "the attributes are the application's");
    assert_eq!(login.0.header("cache-control"), Some("private"));

    let line = cookie(&format!("a=1; {kept} ;b=2"));
    assert_stays(&proxy, "/", &line, &home);
    let at_home = backends.iter().find(|backend| backend.address == address_of(&backends, &home));
    let seen = at_home.unwrap().requests().pop().unwrap();
    assert_eq!(seen.header("cookie"), Some(format!("a=1; id={id} ;b=2").as_str()));
    // Forged, it is taken off all the same.
    let forged = format!("id={}~{id}", "A".repeat(63));
    assert_misses_of_another(&proxy, &cookie(&forged), &backends, id);
    // A client from before there were tokens.
    assert_no_session(&proxy, "/", &cookie(&format!("id={id}")));
    assert_no_session(&proxy, "/", &cookie(&format!("other={token}~{id}")));

    act(&proxy, address_of(&backends, &home), "disable");
    let moved = ask(&proxy, "/login", &line);
    assert_eq!(moved.word(), "repin");
    assert_ne!(moved.backend(), home);
    act(&proxy, address_of(&backends, &home), "enable");
    assert_stays(&proxy, "/", &cookie(&moved.kept("id")), &moved.backend());
}

/// A token of no use, and no login: nothing new is given, and the application sees its own id.
fn assert_misses_of_another(proxy: &Proxy, line: &str, backends: &[Backend; 3], id: &str) {
    assert_misses(proxy, "/", line);
    let seen: Vec<_> = backends.iter().filter_map(|backend| backend.requests().pop()).collect();
    let seen: Vec<_> = seen.iter().filter_map(|request| request.header("cookie")).collect();
    assert!(seen.contains(&format!("id={id}").as_str()), "{seen:?}");
}

#[test]
fn learn_sticks_from_login_to_logout_and_binds_nobody_else() {
    let proxy = over(&NAMES.map(application), "mode = \"learn\"\nname = \"id\"");
    assert_no_session(&proxy, "/", "");
    for _ in 0..4 {
        let login = ask(&proxy, "/login", "");
        assert_eq!(login.word(), "new");
        let kept = login.kept("id");
        assert!(!kept.contains('~') && login.set().len() == 2, "it is as the application has it");
        assert_stays(&proxy, "/", &cookie(&kept), &login.backend());
        assert_misses(&proxy, "/", &cookie(&format!("{kept}0")));
        assert_stays(&proxy, "/", &cookie(&format!("a=1; {kept}")), &login.backend());
        assert_eq!(ask(&proxy, "/logout", &cookie(&kept)).backend(), login.backend());
        assert_misses(&proxy, "/", &cookie(&kept));
    }
}

#[test]
fn learn_follows_a_session_that_has_moved() {
    let backends = NAMES.map(application);
    let proxy = over(&backends, "mode = \"learn\"\nname = \"id\"");
    let login = ask(&proxy, "/login", "");
    let line = cookie(&login.kept("id"));
    act(&proxy, address_of(&backends, &login.backend()), "disable");
    let moved = ask(&proxy, "/", &line);
    assert_eq!(moved.word(), "repin");
    assert_ne!(moved.backend(), login.backend());
    assert_stays(&proxy, "/", &line, &moved.backend());
}

#[test]
fn a_flood_of_unknown_ids_costs_no_session_its_place() {
    let sticky = "mode = \"learn\"\nname = \"id\"\nmax_sessions = 500";
    let proxy = over(&NAMES.map(application), sticky);
    let logins: Vec<_> = (0..20).map(|_| ask(&proxy, "/login", "")).collect();
    let mut connection = Connection::open(proxy.address());
    for n in 0..1500 {
        let line = cookie(&format!("id=made-up-{n}"));
        let answer = Answer(connection.request(get("/", &line)));
        assert_eq!((answer.0.status, answer.word()), (200, "miss"));
    }
    for login in &logins {
        assert_stays(&proxy, "/", &cookie(&login.kept("id")), &login.backend());
    }
}

#[test]
fn a_header_tells_sessions_apart() {
    let proxy = over(&NAMES.map(Backend::named), "mode = \"header\"\nname = \"X-User\"");
    let user = |n: usize| format!("x-user: ada-{n}\r\nX-User: late\r\n");
    let mut used = BTreeSet::new();
    for n in 0..6 {
        let first = ask(&proxy, "/", &user(n));
        assert_eq!((first.word(), first.set()), ("new", vec![]));
        assert_stays(&proxy, "/", &user(n), &first.backend());
        used.insert(first.backend());
    }
    assert!(used.len() > 1, "{used:?}");
    assert_no_session(&proxy, "/", "");
    // An empty one is of no use, and is counted.
    assert_misses(&proxy, "/", "X-User:\r\n");
}

#[test]
fn a_session_in_a_table_ends_when_it_is_idle() {
    let sticky = "mode = \"header\"\nname = \"x-user\"\nidle_ms = 500";
    let proxy = over(&NAMES.map(Backend::named), sticky);
    assert_eq!(ask(&proxy, "/", "X-User: ada\r\n").word(), "new");
    assert_eq!(ask(&proxy, "/", "X-User: ada\r\n").word(), "hit");
    proxy_lab::wait::pause(std::time::Duration::from_millis(700));
    assert_eq!(ask(&proxy, "/", "X-User: ada\r\n").word(), "new");
}

#[test]
fn clients_are_told_apart_by_their_addresses_or_their_networks() {
    let backends = NAMES.map(Backend::named);
    let network = |n: u8, host: u8| format!("127.1.{n}.{host}");
    let one: Vec<_> = (1..=12).map(|n| network(n, 7)).collect();
    let other: Vec<_> = (1..=12).map(|n| network(n, 77)).collect();
    for (more, is_one_session) in [("", false), ("v4 = 24", true)] {
        let proxy = over(&backends, &format!("mode = \"client\"\n{more}"));
        let place = |clients: &[String]| -> Vec<String> {
            ask_from(clients, "/", [proxy.address()]).concat()
        };
        let first = place(&one);
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), NAMES.len());
        // Another one in between, so that turns don't come out even.
        get_plain(proxy.address(), "/");
        let second = place(&other);
        assert_eq!(second == first, is_one_session, "{more}");
        assert_eq!((place(&one), place(&other)), (first, second), "{more}");
    }
}

#[test]
fn a_client_of_ipv6_is_told_by_its_network() {
    let backends = NAMES.map(Backend::named);
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    let text = format!(
        "[[listeners]]\naddress = \"[::1]:0\"\n[pools.a]\nbackends = {addresses:?}\n\
         [pools.a.sticky]\nmode = \"client\"\nv6 = 64\nreport = \"x-session\"\n"
    );
    let file = ConfigFile::new(SCRATCH, "v6", &text);
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    assert!(matches!(proxy.address(), SocketAddr::V6(_)));
    let first = ask(&proxy, "/", "");
    assert_eq!(first.word(), "new");
    assert_stays(&proxy, "/", "", &first.backend());
}

#[test]
fn an_application_s_route_is_followed_in_a_cookie_and_in_the_uri() {
    let backends = NAMES.map(Backend::named);
    let routes: Vec<_> = backends
        .iter()
        .enumerate()
        .map(|(n, backend)| format!("\"{}\" = \"node{n}\"", backend.address))
        .collect();
    let sticky =
        format!("mode = \"route\"\nname = \"JSESSIONID\"\nroutes = {{ {} }}", routes.join(", "));
    let proxy = over(&backends, &sticky);
    for (n, name) in NAMES.into_iter().enumerate() {
        let line = cookie(&format!("a=1; JSESSIONID=abc.node{n}"));
        assert_stays(&proxy, "/", &line, name);
        assert_stays(&proxy, &format!("/shop;jsessionid=abc.node{n}?item=7"), "", name);
        assert_stays(&proxy, &format!("/shop?jsessionid=abc.node{n}"), "", name);
        assert_stays(&proxy, "/", &cookie(&format!("JSESSIONID=node{n}")), name);
        // The cookie counts before the URI.
        assert_stays(&proxy, "/shop;jsessionid=abc.node0", &line, name);
    }
    for unknown in ["abc.node3", "abc", "abc.", "node3", "abc.NODE0"] {
        assert_misses(&proxy, "/", &cookie(&format!("JSESSIONID={unknown}")));
        assert_misses(&proxy, &format!("/;jsessionid={unknown}"), "");
    }
    assert_no_session(&proxy, "/?jsessionid", "Cookie: jsessionid=abc.node0\r\n");
}
