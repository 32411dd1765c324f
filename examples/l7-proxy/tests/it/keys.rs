//! Requests that go by a key.

use std::collections::BTreeSet;

use proxy_lab::backend::{Backend, free_address};
use proxy_lab::client::{get, raw};
use proxy_lab::process::Proxy;
use proxy_lab::table::{ConfigFile, assert_refused};

use crate::{PROXY, SCRATCH};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const SECRET: &str = "secret = \"000102030405060708090a0b0c0d0e0f\"";

/// A configuration of one pool, with more lines in its section.
fn config(addresses: &[&str], key: &str, more: &str) -> ConfigFile {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [pools.a]\npolicy = \"maglev\"\nkey = {key}\nbackends = {addresses:?}\n{more}\n"
    );
    ConfigFile::new(SCRATCH, "keys", &text)
}

/// A proxy over these backends, and some addresses at which there is none.
fn over(backends: &[Backend], dead: usize, key: &str, more: &str) -> Proxy {
    let dead: Vec<_> = (0..dead).map(|_| free_address()).collect();
    let alive = backends.iter().map(|backend| backend.address.as_str());
    let addresses: Vec<_> = alive.chain(dead.iter().map(String::as_str)).collect();
    Proxy::start(PROXY, 1, ["--config", config(&addresses, key, more).path()])
}

/// The name of the backend that gets a request with this target and these header lines, on a
/// connection of its own.
fn backend_of(proxy: &Proxy, target: &str, headers: &str) -> String {
    let reply =
        raw(proxy.address(), format!("GET {target} HTTP/1.1\r\nHost: lab\r\n{headers}\r\n"));
    assert_eq!(reply.status, 200);
    reply.text()
}

fn user(index: usize) -> String {
    format!("X-User: user-{index}\r\n")
}

/// Sends each of twenty requests twice: it must find the same backend, and not all the same one.
/// What lacks the key must be spread.
fn assert_placed(key: &str, request: impl Fn(usize) -> (String, String), without: (&str, &str)) {
    let proxy = over(&NAMES.map(Backend::named), 0, key, "");
    let requests: Vec<_> = (0..20).map(request).collect();
    let place = || requests.iter().map(|(target, headers)| backend_of(&proxy, target, headers));
    let placed: Vec<_> = place().collect();
    assert_eq!(place().collect::<Vec<_>>(), placed, "{key}");
    assert!(placed.iter().collect::<BTreeSet<_>>().len() > 1, "{key}: {placed:?}");
    let (target, headers) = without;
    let spread: BTreeSet<_> = (0..40).map(|_| backend_of(&proxy, target, headers)).collect();
    assert!(spread.len() > 1, "{key}: {spread:?}");
}

#[test]
fn a_header_stays_where_it_is() {
    let request = |index| ("/".to_owned(), user(index));
    assert_placed("{ header = \"X-USER\" }", request, ("/", "X-Other: 1\r\n"));
    assert_placed("{ header = \"x-user\" }", request, ("/", "X-User:\r\nX-User: late\r\n"));
}

#[test]
fn a_cookie_stays_where_it_is() {
    let request = |index| ("/".to_owned(), format!("Cookie: a=1\r\nCookie: b=2; s={index}\r\n"));
    assert_placed("{ cookie = \"s\" }", request, ("/", "Cookie: b=2; s=\r\n"));
}

#[test]
fn a_query_parameter_stays_where_it_is() {
    let request = |index| (format!("/?a=1&id=x%20{index}"), String::new());
    assert_placed("{ query = \"id\" }", request, ("/?ids=1", ""));
}

#[test]
fn all_parts_of_a_key_count() {
    let request = |index| (format!("/user-{}", index / 5), user(index % 5));
    assert_placed("[{ path = 1 }, { header = \"x-user\" }]", request, ("/user-1", ""));
}

#[test]
fn the_beginning_of_a_path_and_a_host_are_a_key() {
    let proxy = over(&NAMES.map(Backend::named), 0, "{ path = 2 }", "");
    for index in 0..20 {
        let at = |rest: &str| backend_of(&proxy, &format!("/user/{index}{rest}"), "");
        assert_eq!(at("/cart?now"), at("/address/2"));
    }
    let proxy = over(&NAMES.map(Backend::named), 0, "{ header = \"host\" }", "");
    for index in 0..20 {
        let absolute = backend_of(&proxy, &format!("http://shop-{index}.example/x"), "");
        let request = format!("GET / HTTP/1.1\r\nHost: Shop-{index}.Example.:80\r\n\r\n");
        assert_eq!(raw(proxy.address(), request).text(), absolute);
    }
}

#[test]
fn a_client_stays_where_it_is_and_its_connections_need_not() {
    let backends = NAMES.map(Backend::named);
    let used = |key: &str| {
        let proxy = over(&backends, 0, key, "");
        (0..40).map(|_| get(proxy.address(), "/").text()).collect::<BTreeSet<_>>()
    };
    assert_eq!(used("\"client\"").len(), 1);
    assert!(used("\"connection\"").len() > 1);
}

#[test]
fn another_attempt_is_with_the_same_key() {
    // Half of the users belong to backends that are not there.
    let proxy = over(&NAMES.map(Backend::named), 4, "{ header = \"x-user\" }", "");
    for index in 0..20 {
        let first = backend_of(&proxy, "/", &user(index));
        assert!((0..3).all(|_| backend_of(&proxy, "/", &user(index)) == first));
    }
    proxy.logged(&["attempts=2"]);
}

#[test]
fn proxies_with_the_same_secret_agree() {
    let backends = NAMES.map(Backend::named);
    let placed = |more: &str| {
        let proxy = over(&backends, 0, "{ header = \"x-user\" }", more);
        let placed: Vec<_> = (0..20).map(|index| backend_of(&proxy, "/", &user(index))).collect();
        (placed, proxy.output().iter().any(|line| line.contains("pools.a.secret: not given")))
    };
    let (one, said) = placed(SECRET);
    assert!(!said);
    assert_eq!(placed(SECRET).0, one);
    let (other, said) = placed("");
    assert!(said);
    assert_ne!(other, one);
    assert_ne!(placed("").0, other);
}

#[test]
fn every_policy_by_a_key_keeps_it_in_its_place() {
    let backends = NAMES.map(Backend::named);
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    for policy in [
        "rendezvous_table",
        "maglev",
        "ring",
        "rendezvous",
        "multi_probe",
        "anchor",
        "memento",
        "jump",
    ] {
        let flags = ["--policy", policy, "--key", "header=x-user"];
        let proxy = Proxy::over(PROXY, &addresses, &flags);
        let place = || (0..20).map(|index| backend_of(&proxy, "/", &user(index)));
        let placed: Vec<_> = place().collect();
        assert_eq!(place().collect::<Vec<_>>(), placed, "{policy}");
        assert!(placed.iter().collect::<BTreeSet<_>>().len() > 1, "{policy}");
    }
}

#[test]
fn requests_without_a_key_may_take_turns_or_be_refused() {
    let backends = NAMES.map(Backend::named);
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    let with_rule = |rule: &str| {
        let policy = format!("{{ name = \"maglev\", without_key = \"{rule}\" }}");
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             [pools.a]\npolicy = {policy}\nkey = {{ header = \"x-user\" }}\nbackends = {addresses:?}\n"
        );
        Proxy::start(PROXY, 1, ["--config", ConfigFile::new(SCRATCH, rule, &text).path()])
    };
    let proxy = with_rule("round_robin");
    let turns: Vec<_> = (0..8).map(|_| backend_of(&proxy, "/", "")).collect();
    assert_eq!(turns[..4], turns[4..]);
    assert_eq!(turns.iter().collect::<BTreeSet<_>>().len(), 4, "{turns:?}");

    let proxy = with_rule("refuse");
    let refused = get(proxy.address(), "/");
    let why = "the request has no key to pick a backend by\n";
    assert_eq!((refused.status, refused.text().as_str()), (400, why));
    proxy.logged(&["GET / 400 pool=a backend=- attempts=0"]);
    backend_of(&proxy, "/", &user(1));
}

#[test]
fn a_key_may_be_given_by_a_flag() {
    let backends = NAMES.map(Backend::named);
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    let flags = ["--policy", "maglev", "--key", "header=x-user,cookie=s"];
    let proxy = Proxy::over(PROXY, &addresses, &flags);
    let place = || (0..20).map(|index| backend_of(&proxy, "/", &(user(index) + "Cookie: s=1\r\n")));
    let placed: Vec<_> = place().collect();
    assert_eq!(place().collect::<Vec<_>>(), placed);
    assert!(placed.iter().collect::<BTreeSet<_>>().len() > 1);
    proxy.logged(&["pools.default.secret: not given"]);
}

#[test]
fn wrong_keys_and_secrets_are_refused() {
    let header = "{ header = \"x-user\" }";
    for (key, more, named) in [
        ("\"sni\"", "", vec!["pools.a.key", "`sni`", "does not speak TLS", "client, header"]),
        ("{ header = \"a b\" }", "", vec![":5:18", "key.header", "`a b`"]),
        ("{ path = 0 }", "", vec!["key.path", "1 to 255"]),
        ("[]", "", vec!["key: no parts"]),
        (header, "secret = \"0123\"", vec!["pools.a.secret", "32 hexadecimal digits"]),
    ] {
        let file = config(&["127.0.0.1:81"], key, more);
        let named: Vec<_> = [file.path()].into_iter().chain(named).collect();
        assert_refused(PROXY, &["--config", file.path()], &named);
    }
    let text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
                [pools.a]\npolicy = \"maglev\"\nbackends = [\"127.0.0.1:81\"]\n";
    let file = ConfigFile::new(SCRATCH, "keyless", text);
    let named = [file.path(), "pools.a.key: missing", "`maglev`", "\"client\""];
    assert_refused(PROXY, &["--config", file.path()], &named);
    let flags = |more: &[&'static str]| {
        [&["--listen", "127.0.0.1:0", "--backend", "127.0.0.1:81"], more].concat()
    };
    for (more, named) in [
        (&["--policy", "maglev"][..], vec!["--key: missing", "`maglev`", "header=x-user"]),
        (&["--policy", "maglev", "--key", "user"], vec!["--key", "`user`", "client, header"]),
        (&["--policy", "maglev", "--key", "sni"], vec!["--key", "`sni` can't be seen"]),
        (&["--key", "client"], vec!["--key", "`round_robin` picks without a key"]),
    ] {
        assert_refused(PROXY, &flags(more), &named);
    }
    assert_refused(PROXY, &["--config", file.path(), "--key", "client"], &["--config", "--key"]);
}

#[test]
fn what_a_compatible_mode_can_not_be_is_refused() {
    let header = "{ header = \"x-user\" }";
    let fine = "[\"127.0.0.1:81\"]";
    for (policy, key, backends, more, named) in [
        (
            "\"nginx_hash\"",
            header,
            fine,
            SECRET,
            vec!["pools.a.secret", "`nginx_hash`", "without a secret"],
        ),
        (
            "\"nginx_ip_hash\"",
            header,
            fine,
            "",
            vec!["pools.a.key", "`nginx_ip_hash`", "`client` alone"],
        ),
        ("\"envoy_maglev\"", "{ path = 1 }", fine, "", vec!["pools.a.key", "nothing like `path`"]),
        (
            "{ name = \"envoy_maglev\", slots = 65536 }",
            header,
            fine,
            "",
            vec!["policy.slots", "65536 is not a prime number"],
        ),
        (
            "\"haproxy_consistent\"",
            header,
            "[\"127.0.0.1:81\", \"127.0.0.1:82,weight=257,backup\"]",
            "",
            vec!["pools.a.backends", "`haproxy_consistent`", "weight: 257", "0 to 256"],
        ),
        (
            "\"envoy_maglev\"",
            header,
            "[\"LocalHost:81\", \"localhost:81\"]",
            "",
            vec!["pools.a.backends", "duplicate backend `localhost:81`"],
        ),
    ] {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             [pools.a]\npolicy = {policy}\nkey = {key}\nbackends = {backends}\n{more}\n"
        );
        let file = ConfigFile::new(SCRATCH, "compatible", &text);
        assert_refused(PROXY, &["--config", file.path(), "--check"], &named);
    }
}

#[test]
fn without_a_key_a_compatible_mode_does_as_the_other_proxy() {
    let backends = NAMES.map(Backend::named);
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    for policy in ["nginx_consistent", "nginx_hash", "haproxy_consistent"] {
        let flags = ["--policy", policy, "--key", "header=x-user"];
        let proxy = Proxy::over(PROXY, &addresses, &flags);
        let turns: Vec<_> = (0..8).map(|_| backend_of(&proxy, "/", "X-User:\r\n")).collect();
        assert_eq!(turns[..4], turns[4..], "{policy}");
        assert_eq!(turns.iter().collect::<BTreeSet<_>>().len(), 4, "{policy}: {turns:?}");
    }
}

#[test]
fn no_error_shows_a_secret() {
    let digits = "00112233445566778899aabbccddee";
    for line in [
        format!("secret = \"{digits}\""),
        format!("secret = \"{digits}"),
        format!("secret = {digits}"),
        format!("secrets = \"{digits}\""),
    ] {
        let file = config(&["127.0.0.1:81"], "\"client\"", &line);
        let (code, output, errors) = proxy_lab::process::run(PROXY, ["--config", file.path()]);
        assert_eq!((code, output.as_str()), (2, ""));
        assert!(errors.contains("secret") && !errors.contains(&digits[2..8]), "{errors}");
    }
}
