//! Which pool takes a request.

use proxy_lab::backend::Backend;
use proxy_lab::client::raw;
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;

use crate::{PROXY, SCRATCH};

#[test]
fn the_first_route_that_matches_takes_the_request() {
    let backends = ["web", "api", "canary", "beta", "shop", "both"].map(Backend::named);
    let mut config = String::from("[[listeners]]\naddress = \"127.0.0.1:0\"\n");
    for (name, backend) in ["web", "api", "canary", "beta", "shop", "both"].iter().zip(&backends) {
        config += &format!("[pools.{name}]\nbackends = [\"{}\"]\n", backend.address);
    }
    config += r#"
        [[routes]]
        host = "both.example"
        path_prefix = "/x"
        header = { name = "x-a", value = "1" }
        cookie = { name = "b" }
        pool = "both"
        [[routes]]
        header = { name = "X-Canary", value = "yes" }
        pool = "canary"
        [[routes]]
        cookie = { name = "beta", value = "1" }
        pool = "beta"
        [[routes]]
        path_prefix = "/api"
        pool = "api"
        [[routes]]
        host = "*.shop.example"
        pool = "shop"
        [[routes]]
        host = "web.example"
        pool = "web"
    "#;
    let file = ConfigFile::new(SCRATCH, "routes", &config);
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    for (path, head, expected) in [
        ("/", "Host: web.example", "web"),
        ("/", "Host: WEB.example:8080", "web"),
        ("/", "Host: web.example.", "web"),
        ("/api", "Host: web.example", "api"),
        ("/api/users?id=1", "Host: web.example", "api"),
        ("/apis", "Host: web.example", "web"),
        ("/?/api", "Host: web.example", "web"),
        ("http://web.example/", "Host: other.example", "web"),
        ("/api", "Host: web.example\r\nX-Canary: yes", "canary"),
        ("/api", "Host: web.example\r\nX-Canary: no", "api"),
        ("/", "Host: web.example\r\nCookie: a=b; beta=1", "beta"),
        ("/", "Host: web.example\r\nCookie: beta=12", "web"),
        ("/", "Host: web.example\r\nCookie: alpha=1", "web"),
        ("/", "Host: eu.shop.example", "shop"),
        ("/", "Host: shop.example", "no route for shop.example/\n"),
        ("/x", "Host: both.example\r\nX-A: 1\r\nCookie: b=7", "both"),
        ("/x", "Host: both.example\r\nX-A: 1", "no route for both.example/x\n"),
        ("/", "Host: other.example", "no route for other.example/\n"),
    ] {
        let reply = raw(proxy.address(), format!("GET {path} HTTP/1.1\r\n{head}\r\n\r\n"));
        assert_eq!(reply.text(), expected, "{path} with {head}");
        let status = if expected.starts_with("no route") { 404 } else { 200 };
        assert_eq!(reply.status, status);
    }
    proxy.logged(&["GET /api 200 pool=canary", &backends[2].address]);
    proxy.logged(&["GET / 404 pool=- backend=- attempts=0"]);
}

#[test]
fn a_proxy_listens_on_several_addresses() {
    let backend = Backend::named("ok");
    let args = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--backend", &backend.address];
    let proxy = Proxy::start(PROXY, 2, args);
    for &address in &proxy.addresses {
        assert_eq!(proxy_lab::client::get(address, "/").text(), "ok");
    }
    assert_eq!(backend.requests()[1].header("x-forwarded-for"), Some("::1"));
}
