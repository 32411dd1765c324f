//! TLS that passes through, to the backend that its ClientHello asks for.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use proxy_lab::backend::Backend;
use proxy_lab::client;
use proxy_lab::fleet::is_installed;
use proxy_lab::process::Proxy;
use proxy_lab::table::{ConfigFile, assert_refused};

use crate::tls_party::{Authority, connect, get};
use crate::{PROXY, SCRATCH};

const ROUTES: &str = r#"
routes = [
    { alpn = ["imap"], pool = "mail" },
    { sni = ["*.example"], pool = "wild" },
    { sni = ["Shop.example", "store.example"], pool = "shop" },
    { sni = ["shop.example"], alpn = ["h2"], pool = "shop-h2" },
]
"#;

/// A proxy with a pool for each of these.
fn over(routes: &str, pools: &[(&str, &Backend)]) -> Proxy {
    let mut config =
        format!("[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"default\"\n{routes}\n");
    for (name, backend) in pools {
        config += &format!("[pools.{name}]\nbackends = [\"{}\"]\n", backend.address);
    }
    let file = ConfigFile::new(SCRATCH, "tls-routes", &config);
    Proxy::start(PROXY, 1, ["--config", file.path()])
}

#[test]
fn host_and_protocol_decide_and_the_rest_goes_to_the_default() {
    let authority = Authority::new();
    let shop = authority.backend("shop", &["shop.example", "store.example"], &["http/1.1"]);
    let h2 = authority.backend("shop-h2", &["shop.example"], &["h2"]);
    let wild = authority.backend("wild", &["blog.example", "a.b.example"], &[]);
    let mail = authority.backend("mail", &["other.test"], &["imap"]);
    let default = authority.backend("default", &["other.test", "127.0.0.1"], &[]);
    let proxy = over(
        ROUTES,
        &[
            ("shop", &shop),
            ("shop-h2", &h2),
            ("wild", &wild),
            ("mail", &mail),
            ("default", &default),
        ],
    );
    for (name, alpn, wanted) in [
        ("shop.example", &[][..], "shop"),
        ("SHOP.example", &["http/1.1"], "shop"),
        ("store.example", &[], "shop"),
        ("shop.example", &["h2", "http/1.1"], "shop-h2"),
        ("blog.example", &["h2"], "wild"),
        ("a.b.example", &[], "wild"),
        ("other.test", &["imap"], "mail"),
        ("other.test", &[], "default"),
        // No name is sent for an address.
        ("127.0.0.1", &[], "default"),
    ] {
        // The certificate is checked: it is the backend's own, and nothing in between has touched it.
        let talk = connect(authority.client(alpn), proxy.address(), name);
        let mut talk = talk.unwrap_or_else(|error| panic!("{name} {alpn:?}: {error}"));
        assert_eq!(get(&mut talk), wanted, "{name} {alpn:?}");
    }
    // A client that leaves before it has read the end of TLS leaves with a reset.
    proxy.logged(&["pool=shop-h2 ", "attempts=1 "]);
}

#[test]
fn what_is_not_tls_goes_to_the_default() {
    let (plain, shop) = (Backend::named("plain"), Backend::named("shop"));
    let routes = "routes = [{ sni = [\"shop.example\"], pool = \"shop\" }]";
    let proxy = over(routes, &[("default", &plain), ("shop", &shop)]);
    assert_eq!(client::get(proxy.address(), "/").text(), "plain");
    assert_eq!(shop.accepted(), 0);
}

/// What curl gets from `https://HOST/` at this address, and what it says.
fn curl(authority: &Authority, address: SocketAddr, host: &str, more: &[&str]) -> (String, String) {
    let ca = format!("{SCRATCH}/{}-{host}-{}-ca.pem", std::process::id(), more.len());
    fs::write(&ca, &authority.pem).unwrap();
    let port = address.port();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--cacert", &ca, "--resolve"])
        .arg(format!("{host}:{port}:127.0.0.1"))
        .args(more)
        .arg(format!("https://{host}:{port}/"))
        .output()
        .unwrap();
    let _ = fs::remove_file(&ca);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn curl_finds_its_backend_by_host_and_protocol() {
    if !is_installed("curl") {
        return;
    }
    let authority = Authority::new();
    let shop = authority.backend("shop", &["shop.example"], &[]);
    let blog = authority.backend("blog", &["blog.example"], &[]);
    let old = authority.backend("old", &["shop.example"], &[]);
    let routes = "routes = [{ sni = [\"blog.example\"], pool = \"blog\" }, \
                  { sni = [\"shop.example\"], pool = \"old\" }, \
                  { sni = [\"shop.example\"], alpn = [\"http/1.1\"], pool = \"shop\" }]";
    let proxy = over(routes, &[("default", &old), ("shop", &shop), ("blog", &blog), ("old", &old)]);
    let ask = |host, more: &[&str]| curl(&authority, proxy.address(), host, more);
    let said = |name: &str| (name.to_owned(), String::new());
    assert_eq!(ask("blog.example", &[]), said("blog"));
    assert_eq!(ask("shop.example", &["--http1.1"]), said("shop"));
    assert_eq!(ask("shop.example", &["--http1.1", "--no-alpn"]), said("old"));
    let (body, error) = ask("other.example", &[]);
    assert!(
        body.is_empty() && error.contains("other.example"),
        "the certificate of another: {error}"
    );
}

#[test]
fn routes_that_are_wrong_are_refused() {
    for (routes, named) in [
        ("{ pool = \"a\" }", "listeners[0].routes[0]: give `sni`, `alpn` or both"),
        ("{ sni = [], pool = \"a\" }", "listeners[0].routes[0].sni: no name"),
        ("{ sni = [\"a\", \"*\"], pool = \"a\" }", "listeners[0].routes[0].sni[1]: `*` is neither"),
        ("{ sni = [\"a.*.b\"], pool = \"a\" }", "listeners[0].routes[0].sni[0]: `a.*.b` is"),
        ("{ sni = [\"10.0.0.1\"], pool = \"a\" }", "listeners[0].routes[0].sni[0]: "),
        ("{ alpn = [], pool = \"a\" }", "listeners[0].routes[0].alpn: no protocol"),
        ("{ alpn = [\"\"], pool = \"a\" }", "listeners[0].routes[0].alpn[0]: a protocol has 1"),
        ("{ sni = [\"a\"], pool = \"b\" }", "listeners[0].routes[0].pool: "),
        ("{ sni = [\"a\"] }", "missing field `pool`"),
        ("{ sni = [\"a\"], host = 1, pool = \"a\" }", "unknown field `host`"),
        (
            "{ sni = [\"a.b\"], pool = \"a\" }, { sni = [\"A.b\"], pool = \"a\" }",
            "listeners[0].routes[1].sni[0]: a route before this one takes all of it",
        ),
        (
            "{ alpn = [\"h2\", \"x\"], pool = \"a\" }, { alpn = [\"x\"], pool = \"a\" }",
            "listeners[0].routes[1].alpn: a route before this one takes all of it",
        ),
    ] {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\nroutes = [{routes}]\n\
             [pools.a]\nbackends = [\"127.0.0.1:81\"]\n"
        );
        let file = ConfigFile::new(SCRATCH, "bad-routes", &text);
        assert_refused(PROXY, &["--check", "--config", file.path()], &[file.path(), named]);
    }
}

#[test]
fn the_examples_of_the_page_are_good() {
    let page = include_str!("../../../../docs/tls.md");
    let blocks: Vec<_> = page.split("```toml\n").skip(1).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let mut text = block.split("```").next().unwrap().to_owned();
        for pool in ["web", "shop", "shop-h2", "acme"] {
            text += &format!("[pools.{pool}]\nbackends = [\"127.0.0.1:81\"]\n");
        }
        l4_proxy::check(&text).unwrap_or_else(|error| panic!("{error}"));
    }
}
