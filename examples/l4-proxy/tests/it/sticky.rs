//! Clients that stay with their backend, told by their addresses.

use std::collections::BTreeSet;
use std::io::Read;

use proxy_lab::backend::{Backend, free_address};
use proxy_lab::client::{Connection, get};
use proxy_lab::demo::Demo;
use proxy_lab::fleet::ask_from;
use proxy_lab::process::Proxy;
use proxy_lab::table::{ConfigFile, assert_refused};

use crate::{PROXY, SCRATCH};

const NAMES: [&str; 3] = ["one", "two", "three"];

fn config(addresses: &[&str], sticky: &str) -> ConfigFile {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n\
         [pools.a]\npolicy = \"round_robin\"\nbackends = {addresses:?}\n\
         [pools.a.sticky]\n{sticky}\n"
    );
    ConfigFile::new(SCRATCH, "sticky", &text)
}

fn proxy(addresses: &[&str], sticky: &str) -> Proxy {
    Proxy::start(PROXY, 1, ["--config", config(addresses, sticky).path()])
}

/// Clients of a network each.
fn clients(host: u8) -> Vec<String> {
    (1..=12).map(|network| format!("127.2.{network}.{host}")).collect()
}

#[test]
fn a_client_stays_over_its_connections_by_its_address_or_its_network() {
    let backends = NAMES.map(Backend::named);
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    for (more, is_one_session) in [("", false), ("v4 = 24", true)] {
        let proxy = proxy(&addresses, &format!("mode = \"client\"\n{more}"));
        let place = |host| ask_from(&clients(host), "/", [proxy.address()]).concat();
        let first = place(7);
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), NAMES.len());
        // One more in between, so that turns don't come out even.
        get(proxy.address(), "/");
        let second = place(77);
        assert_eq!(second == first, is_one_session, "{more}");
        assert_eq!((place(7), place(77)), (first, second), "{more}");
        proxy.logged(&["127.2.1.7:", "attempts=1 pin=new"]);
        proxy.logged(&["127.2.1.7:", "attempts=1 pin=hit"]);
    }
}

#[test]
fn proxies_need_no_secret_to_tell_clients_apart() {
    let backends = NAMES.map(Backend::named);
    let addresses = backends.each_ref().map(|backend| backend.address.as_str());
    let proxy = Proxy::over(PROXY, &addresses, &["--sticky", "client"]);
    let used: BTreeSet<_> = (0..6).map(|_| get(proxy.address(), "/").text()).collect();
    assert_eq!(used.len(), 1);
    assert!(!proxy.output().iter().any(|line| line.contains("secret")));
}

/// The backend that a new connection gets.
fn name(proxy: &Proxy) -> String {
    let text = get(proxy.address(), "/").text();
    text.split(':').next().unwrap_or_default().to_owned()
}

#[test]
fn a_client_whose_backend_dies_moves_visits_or_is_refused() {
    for on_lost in ["repin", "hold", "refuse"] {
        let mut demos = ["one", "two"].map(|name| Demo::start(PROXY, SCRATCH, name));
        let addresses = demos.each_ref().map(|demo| demo.address.as_str());
        let sticky = format!(
            "mode = \"client\"\non_lost = \"{on_lost}\"\n[health.passive]\nenabled = false"
        );
        let proxy = proxy(&addresses, &sticky);
        let home = name(&proxy);
        assert_eq!(name(&proxy), home);
        let index = usize::from(home == "two");
        let other = demos[1 - index].name;
        demos[index].kill();
        match on_lost {
            "repin" => {
                assert_eq!([name(&proxy), name(&proxy)], [other; 2]);
                proxy.logged(&["attempts=2 pin=repin"]);
                demos[index].restart();
                assert_eq!(name(&proxy), other);
            }
            "hold" => {
                assert_eq!([name(&proxy), name(&proxy)], [other; 2]);
                proxy.logged(&["attempts=2 pin=held"]);
                demos[index].restart();
                assert_eq!(name(&proxy), home);
            }
            _ => {
                let mut refused = Connection::open(proxy.address());
                refused.send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n");
                refused.until_closed();
                let end = "end=\"the backend of its session was tried in vain\"";
                proxy.logged(&["attempts=1 pin=refused", end]);
                demos[index].restart();
                assert_eq!(name(&proxy), home);
            }
        }
    }
}

#[test]
fn nothing_comes_of_the_session_of_a_client_that_no_backend_took() {
    let dead = [free_address(), free_address()];
    let addresses = dead.each_ref().map(String::as_str);
    let proxy = proxy(&addresses, "mode = \"client\"");
    let mut client = Connection::open(proxy.address());
    let _ = client.reader.read(&mut [0]);
    let line = proxy.logged(&["attempts=2", "end="]);
    assert!(!line.contains("pin="), "{line}");
}

#[test]
fn what_a_tcp_proxy_does_not_see_is_refused() {
    let secret = "secret = \"000102030405060708090a0b0c0d0e0f\"";
    let can_not = |mode: &str| format!("`{mode}` can't be: ");
    for (mode, more) in [
        ("cookie", secret),
        ("prefix", "name = \"id\""),
        ("route", "name = \"id\"\nroutes = { \"127.0.0.1:81\" = \"a\" }"),
        ("learn", "name = \"id\""),
        ("header", "name = \"x-user\""),
    ] {
        let file = config(&["127.0.0.1:81"], &format!("mode = \"{mode}\"\n{more}"));
        let wrong = can_not(mode);
        let named = [file.path(), "pools.a.sticky.mode", &wrong, "does not read HTTP", "client"];
        assert_refused(PROXY, &["--config", file.path()], &named);
    }
    let file = config(&["127.0.0.1:81"], "mode = \"client\"\nreport = \"x-session\"");
    let named = [file.path(), "pools.a.sticky.report", "means nothing with mode `client`"];
    assert_refused(PROXY, &["--config", file.path()], &named);
    let flags = ["--listen", "127.0.0.1:0", "--backend", "127.0.0.1:81", "--sticky", "cookie"];
    assert_refused(PROXY, &flags, &["--sticky.mode", &can_not("cookie"), "client"]);
}
