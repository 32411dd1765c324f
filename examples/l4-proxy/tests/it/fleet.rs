//! A mixed fleet: a real HAProxy beside this proxy, in front of the same backends.

use std::fmt::Write as _;

use proxy_lab::backend::Backend;
use proxy_lab::fleet::{OtherProxy, ask_from, assert_agree, clients, is_installed};
use proxy_lab::process::Proxy;

use crate::{PROXY, SCRATCH};

#[test]
fn clients_go_where_haproxy_sends_them() {
    if !is_installed("haproxy") {
        return;
    }
    let backends = ["a", "b", "c", "d", "e"].map(Backend::named);
    let mut config =
        "listen all\n  bind {listen}\n  balance source\n  hash-type consistent\n".to_owned();
    for (index, backend) in backends.iter().enumerate() {
        let _ = writeln!(config, "  server s{index} {} weight {}", backend.address, index + 1);
    }
    let theirs = OtherProxy::haproxy(SCRATCH, "tcp", &config);
    let weighed =
        |(index, backend): (usize, &Backend)| format!("{},weight={}", backend.address, index + 1);
    let addresses: Vec<_> = backends.iter().enumerate().map(weighed).collect();
    let flags = ["--policy", "haproxy_consistent", "--key", "client"];
    let ours = Proxy::over(PROXY, &addresses, &flags);
    let pairs = ask_from(&clients(1_000), "/", [theirs.address, ours.address()]);
    assert_agree("HAProxy `balance source`, l4-proxy haproxy_consistent", 5, &pairs);
}
