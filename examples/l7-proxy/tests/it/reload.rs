//! SIGHUP: another configuration, and nobody notices.

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, get};
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

#[test]
fn the_next_request_goes_by_the_new_routes() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let config = |first: &str, more: &str| {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             [pools.a]\nbackends = [{:?}]\n[pools.b]\nbackends = [{:?}]\n\
             [[routes]]\npath_prefix = \"/\"\npool = {first:?}\n{more}",
            a.address, b.address
        )
    };
    let file = ConfigFile::new(SCRATCH, "reload", &config("a", ""));
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    let mut open = Connection::open(proxy.address());
    let mut ask = || open.request("GET / HTTP/1.1\r\nhost: x\r\n\r\n").text();
    assert_eq!(ask(), "a");

    file.rewrite(&config("b", ""));
    proxy.signal("HUP");
    proxy.logged(&["reloaded: pools kept 2, changed 0, new 0, gone 0"]);
    assert_eq!(ask(), "b", "on the connection that was open");
    assert_eq!(get(proxy.address(), "/").text(), "b");

    file.rewrite(&config("c", ""));
    proxy.signal("HUP");
    proxy.complained("routes[0].pool: no pool `c`; allowed are a, b; nothing has changed");
    assert_eq!(ask(), "b");

    file.rewrite(&config("a", "[timeouts]\nresponse_head_ms = 1000\n"));
    proxy.signal("HUP");
    wait::until("the reload", || proxy.times_logged("reloaded: ") == 2);
    assert_eq!(ask(), "a");
}
