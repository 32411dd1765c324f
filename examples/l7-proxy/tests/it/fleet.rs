//! A mixed fleet: a real nginx, HAProxy or Envoy beside this proxy, in front of the same backends.
//! Each key must go to the same backend through both.
//!
//! `cargo test -p l7-proxy --test it fleet -- --nocapture` prints how many keys agree.

use std::fmt::Write as _;
use std::net::SocketAddr;

use proxy_lab::backend::{Backend, free_address};
use proxy_lab::client::Connection;
use proxy_lab::fleet::{OtherProxy, ask_from, assert_agree, clients, is_installed, keys};
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;

use crate::{PROXY, SCRATCH};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const WEIGHTS: [u16; 5] = [1, 2, 1, 3, 1];
const KEYS: usize = 1_000;

const HEADER: &str = "{ header = \"x-user\" }";
const CLIENT: &str = "\"client\"";

/// A way of hashing: what the other proxy is told, and what this one is.
#[derive(Clone, Copy)]
struct Mode {
    theirs: &'static str,
    policy: &'static str,
    key: &'static str,
}

/// Pool N, for paths under `/N`, is that of mode N; all are over these backends.
fn ours(backends: &[(String, u16)], modes: &[Mode]) -> Proxy {
    let backends: Vec<_> =
        backends.iter().map(|(address, weight)| format!("{address},weight={weight}")).collect();
    let mut config = "[[listeners]]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for (number, Mode { policy, key, .. }) in modes.iter().enumerate() {
        let _ = write!(
            config,
            "[[routes]]\npath_prefix = \"/{number}\"\npool = \"{number}\"\n\
             [pools.{number}]\npolicy = {policy}\nkey = {key}\nbackends = {backends:?}\n"
        );
    }
    let proxy =
        Proxy::start(PROXY, 1, ["--config", ConfigFile::new(SCRATCH, "fleet", &config).path()]);
    // There is no secret, so none is drawn.
    assert!(!proxy.output().iter().any(|line| line.contains("secret")), "{:?}", proxy.output());
    proxy
}

fn addresses(backends: &[Backend]) -> Vec<(String, u16)> {
    backends.iter().map(|backend| backend.address.clone()).zip(WEIGHTS).collect()
}

/// Who gets each key in a header, through each of the proxies.
fn ask(path: &str, proxies: [SocketAddr; 2]) -> Vec<[String; 2]> {
    let mut both = proxies.map(Connection::open);
    let head = format!("GET {path} HTTP/1.1\r\nHost: lab\r\nX-User: ");
    let pair = |key: Vec<u8>| {
        let request = [head.as_bytes(), &key, b"\r\n\r\n"].concat();
        both.each_mut().map(|proxy| proxy.request(&request).text())
    };
    keys(KEYS).into_iter().map(pair).collect()
}

/// Sends each key through both proxies.
fn compare(what: &str, modes: &[Mode], theirs: &OtherProxy, ours: &Proxy, backends: usize) {
    for (number, mode) in modes.iter().enumerate() {
        let proxies = [theirs.address, ours.address()];
        let pairs = if mode.key == CLIENT {
            ask_from(&clients(KEYS as u32), &format!("/{number}"), proxies)
        } else {
            ask(&format!("/{number}"), proxies)
        };
        let Mode { theirs, policy, key } = mode;
        let what = format!("{what} `{theirs}`, l7-proxy {policy} by {key}");
        assert_agree(&what, backends, &pairs);
    }
}

fn nginx(backends: &[(String, u16)], modes: &[Mode]) -> OtherProxy {
    let (mut http, mut locations) = (String::new(), String::new());
    for (number, mode) in modes.iter().enumerate() {
        let _ = writeln!(http, "upstream u{number} {{\n  {}", mode.theirs);
        for (address, weight) in backends {
            let _ = writeln!(http, "  server {address} weight={weight} max_fails=0;");
        }
        let _ = writeln!(http, "  keepalive 8;\n}}");
        let _ = writeln!(locations, "location /{number} {{ proxy_pass http://u{number}; }}");
    }
    let _ = write!(
        http,
        "proxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
         server {{\nlisten {{listen}};\nlarge_client_header_buffers 8 32k;\n{locations}}}\n"
    );
    OtherProxy::nginx(SCRATCH, &http)
}

const NGINX: [Mode; 4] = [
    Mode { theirs: "hash $http_x_user consistent;", policy: "\"nginx_consistent\"", key: HEADER },
    Mode { theirs: "hash $http_x_user;", policy: "\"nginx_hash\"", key: HEADER },
    Mode { theirs: "ip_hash;", policy: "\"nginx_ip_hash\"", key: CLIENT },
    Mode { theirs: "hash $remote_addr consistent;", policy: "\"nginx_consistent\"", key: CLIENT },
];

#[test]
fn keys_go_where_nginx_sends_them() {
    if !is_installed("nginx") {
        return;
    }
    let backends = NAMES.map(Backend::named);
    let addresses = addresses(&backends);
    compare("nginx", &NGINX, &nginx(&addresses, &NGINX), &ours(&addresses, &NGINX), 5);
}

/// nginx goes on along its ring, or to the key's next place, and so does this proxy.
#[test]
fn keys_of_a_dead_backend_go_where_nginx_sends_them() {
    if !is_installed("nginx") {
        return;
    }
    let backends = NAMES.map(Backend::named);
    let mut addresses = addresses(&backends);
    addresses[3].0 = free_address();
    let modes = &NGINX[..2];
    compare("nginx, one dead,", modes, &nginx(&addresses, modes), &ours(&addresses, modes), 4);
}

#[test]
fn keys_go_where_haproxy_sends_them() {
    if !is_installed("haproxy") {
        return;
    }
    let hdr = |theirs, policy| Mode { theirs, policy, key: HEADER };
    let modes = [
        hdr("balance hdr(x-user); hash-type consistent", "\"haproxy_consistent\""),
        hdr(
            "balance hdr(x-user); hash-type consistent djb2",
            "{ name = \"haproxy_consistent\", function = \"djb2\" }",
        ),
        hdr(
            "balance hdr(x-user); hash-type consistent crc32 avalanche",
            "{ name = \"haproxy_consistent\", function = \"crc32\", avalanche = true }",
        ),
        Mode {
            theirs: "balance source; hash-type consistent",
            policy: "\"haproxy_consistent\"",
            key: CLIENT,
        },
    ];
    let backends = NAMES.map(Backend::named);
    let addresses = addresses(&backends);
    let mut config = "frontend all\n  bind {listen}\n".to_owned();
    for number in 0..modes.len() {
        let _ = writeln!(config, "  use_backend b{number} if {{ path /{number} }}");
    }
    for (number, mode) in modes.iter().enumerate() {
        let _ = writeln!(config, "backend b{number}\n  {}", mode.theirs.replace("; ", "\n  "));
        for (index, (address, weight)) in addresses.iter().enumerate() {
            let _ = writeln!(config, "  server s{index} {address} weight {weight}");
        }
    }
    let theirs = OtherProxy::haproxy(SCRATCH, "http", &config);
    compare("HAProxy", &modes, &theirs, &ours(&addresses, &modes), 5);
}

/// HAProxy numbers backups too, though they are on another ring.
#[test]
fn backups_count_where_haproxy_numbers_servers() {
    if !is_installed("haproxy") {
        return;
    }
    let backends = NAMES.map(Backend::named);
    let mut config = "listen all\n  bind {listen}\n  balance hdr(x-user)\n  \
                      hash-type consistent\n"
        .to_owned();
    let mut written = Vec::new();
    for (index, Backend { address, .. }) in backends.iter().enumerate() {
        let is_backup = index % 2 == 0;
        let _ = write!(config, "  server s{index} {address}");
        config.push_str(if is_backup { " backup\n" } else { "\n" });
        written.push(format!("{address}{}", if is_backup { ",backup" } else { "" }));
    }
    let theirs = OtherProxy::haproxy(SCRATCH, "http", &config);
    let flags = ["--policy", "haproxy_consistent", "--key", "header=x-user"];
    let ours = Proxy::over(PROXY, &written, &flags);
    assert_agree("HAProxy with backups", 2, &ask("/", [theirs.address, ours.address()]));
}

#[test]
fn keys_go_where_envoy_sends_them() {
    if !is_installed("envoy") {
        return;
    }
    let modes = [
        Mode { theirs: "lb_policy: RING_HASH", policy: "\"envoy_ring_hash\"", key: HEADER },
        Mode {
            theirs: "lb_policy: RING_HASH, ring_hash_lb_config: \
                     { minimum_ring_size: 100, maximum_ring_size: 150, hash_function: MURMUR_HASH_2 }",
            policy: "{ name = \"envoy_ring_hash\", minimum_ring_size = 100, \
                     maximum_ring_size = 150, function = \"murmur_hash_2\" }",
            key: HEADER,
        },
        Mode { theirs: "lb_policy: MAGLEV", policy: "\"envoy_maglev\"", key: HEADER },
        Mode {
            theirs: "lb_policy: MAGLEV, maglev_lb_config: { table_size: 1009 }",
            policy: "{ name = \"envoy_maglev\", slots = 1009 }",
            key: CLIENT,
        },
    ];
    let backends = NAMES.map(Backend::named);
    let addresses = addresses(&backends);
    let (mut routes, mut clusters) = (String::new(), String::new());
    for (number, mode) in modes.iter().enumerate() {
        let by = match mode.key {
            CLIENT => "connection_properties: { source_ip: true }",
            _ => "header: { header_name: x-user }",
        };
        let _ = writeln!(
            routes,
            "              - match: {{ path: /{number} }}\n                \
             route: {{ cluster: c{number}, hash_policy: [{{ {by} }}] }}"
        );
        let _ = writeln!(
            clusters,
            "  - {{ name: c{number}, type: STATIC, {}, load_assignment: {{ cluster_name: c{number}, \
             endpoints: [{{ lb_endpoints: [",
            mode.theirs
        );
        for (address, weight) in &addresses {
            let (host, port) = address.rsplit_once(':').unwrap();
            let _ = writeln!(
                clusters,
                "      {{ endpoint: {{ address: {{ socket_address: {{ address: {host}, port_value: \
                 {port} }} }} }}, load_balancing_weight: {weight} }},"
            );
        }
        let _ = writeln!(clusters, "    ] }}] }} }}");
    }
    let extension = "type.googleapis.com/envoy.extensions.filters";
    let config = format!(
        "static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {{port}} }} }}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          \"@type\": {extension}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: all
          use_remote_address: true
          http_filters:
          - {{ name: router, typed_config: {{ \"@type\": {extension}.http.router.v3.Router }} }}
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
{routes}  clusters:
{clusters}"
    );
    let theirs = OtherProxy::envoy(SCRATCH, &config);
    compare("Envoy", &modes, &theirs, &ours(&addresses, &modes), 5);
}
