//! The PROXY protocol with nginx, HAProxy and Envoy, on either side of us: what they say is understood, and what they do
//! is what the decision record 0013 says of them.

use std::io::{BufRead, ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, raw};
use proxy_lab::fleet::{OtherProxy, is_installed, nginx_has_stream};
use proxy_lab::process::Proxy;
use proxy_lab::wait;

use crate::SCRATCH;
use crate::proxy_protocol::{FROM_HERE, LINE, start};

/// The same of IPv6.
const LINE6: &str = "PROXY TCP6 2001:db8::7 2001:db8::9 4321 443\r\n";
const VERSIONS: [&str; 3] = ["v1", "v2", "v2-crc32c"];

/// Us, in front of somebody.
fn in_front_of(backend: &str, version: &str) -> Proxy {
    let pool = format!("send_proxy = \"{version}\"");
    start(&format!("{FROM_HERE} \"optional\""), &pool, backend)
}

/// Us, behind somebody, in front of a backend that sees what we have understood.
fn behind(backend: &Backend) -> Proxy {
    start(&format!("{FROM_HERE} \"required\""), "send_proxy = \"v1\"", &backend.address)
}

fn haproxy(listen: &str, server: &str) -> OtherProxy {
    let sections = format!("listen a\n  bind {{listen}} {listen}\n  server a {server}\n");
    OtherProxy::haproxy(SCRATCH, "tcp", &sections)
}

/// Says back what it gets, up to the first line that is the client's.
fn parrot() -> Backend {
    Backend::new(|connection| {
        let mut got = String::new();
        while !got.ends_with("hello\n") && matches!(connection.reader.read_line(&mut got), Ok(1..))
        {
        }
        connection.send(got);
    })
}

/// What the parrot has heard, when this was said. No side closes before it has: nginx would close both, and Envoy,
/// now and then, breaks off.
fn ask(address: SocketAddr, preamble: &str) -> String {
    let mut client = Connection::open(address);
    client.send(format!("{preamble}hello\n"));
    String::from_utf8(client.rest()).unwrap()
}

#[test]
fn haproxy_understands_us_and_we_understand_it() {
    if !is_installed("haproxy") {
        return;
    }
    let backend = parrot();
    let options = ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"];
    for (version, option) in VERSIONS.into_iter().zip(options) {
        // Us, HAProxy, us, the backend.
        let last = behind(&backend);
        let theirs = haproxy("accept-proxy", &format!("{} {option}", last.address()));
        let first = in_front_of(&theirs.address.to_string(), version);
        for line in [LINE, LINE6] {
            let heard = ask(first.address(), line);
            assert_eq!(heard, format!("{line}hello\n"), "{version}");
        }
        last.logged(&["203.0.113.7:4321 via=127.0.0.1:", "end=\"closed\""]);
        last.logged(&["[2001:db8::7]:4321 via=127.0.0.1:", "end=\"closed\""]);
    }
}

#[test]
fn haproxys_own_checks_are_no_clients_of_others() {
    if !is_installed("haproxy") {
        return;
    }
    let backend = Backend::named("ok");
    // LOCAL in version 2, its own address in version 1.
    for option in ["send-proxy-v2", "send-proxy"] {
        let ours = start(&format!("{FROM_HERE} \"required\""), "", &backend.address);
        let theirs = haproxy("", &format!("{} {option} check inter 100", ours.address()));
        wait::until("two checks of its own", || {
            let lines = ours.output();
            let own =
                |line: &&String| line.contains("sent=0 received=0") && !line.contains(" via=");
            lines.iter().filter(own).count() >= 2
        });
        assert_eq!(ours.times_logged("PROXY protocol"), 0);
        let reply = raw(theirs.address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(reply.text(), "ok", "it finds us up");
    }
}

#[test]
fn nginx_is_told_by_us_who_the_client_is() {
    if !is_installed("nginx") {
        return;
    }
    let theirs = OtherProxy::nginx(
        SCRATCH,
        "server {\nlisten {listen} proxy_protocol;\nset_real_ip_from 127.0.0.0/8;\n\
         real_ip_header proxy_protocol;\n\
         return 200 \"$remote_addr $remote_port $proxy_protocol_server_addr \
         $proxy_protocol_server_port $realip_remote_addr\";\n}\n",
    );
    for version in VERSIONS {
        let ours = in_front_of(&theirs.address.to_string(), version);
        let get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        for (line, seen) in [
            (LINE, "203.0.113.7 4321 203.0.113.9 443 127.0.0.1"),
            (LINE6, "2001:db8::7 4321 2001:db8::9 443 127.0.0.1"),
        ] {
            let reply = raw(ours.address(), format!("{line}{get}"));
            assert_eq!(reply.text(), seen, "{version}");
        }
        // Without a preamble, the connection itself.
        let mut client = Connection::open(ours.address());
        let local = client.reader.get_ref().local_addr().unwrap();
        let (client_port, port) = (local.port(), ours.address().port());
        let seen = format!("127.0.0.1 {client_port} 127.0.0.1 {port} 127.0.0.1");
        assert_eq!(client.request(get).text(), seen, "{version}");
    }
}

#[test]
fn nginx_in_front_of_us_names_its_client() {
    if !nginx_has_stream() {
        return;
    }
    let backend = parrot();
    let last = behind(&backend);
    let server = |listen: &str| {
        let server = format!(
            "server {{\nlisten {{listen}}{listen};\nproxy_pass {};\nproxy_protocol on;\n}}\n",
            last.address()
        );
        OtherProxy::nginx_stream(SCRATCH, &server)
    };
    let theirs = server("");
    let mut client = Connection::open(theirs.address);
    let local = client.reader.get_ref().local_addr().unwrap();
    client.send("hello\n");
    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}", local.port(), theirs.address.port());
    assert_eq!(String::from_utf8(client.rest()).unwrap(), format!("{line}\r\nhello\n"));
    last.logged(&[&format!("{local} via=127.0.0.1:"), "end=\"closed\""]);

    // One that has been told passes on the source, where it believes it, and names itself as the destination.
    let theirs = server(" proxy_protocol;\nset_real_ip_from 127.0.0.0/8");
    let passed = format!("PROXY TCP4 203.0.113.7 127.0.0.1 4321 {}\r\n", theirs.address.port());
    assert_eq!(ask(theirs.address, LINE), format!("{passed}hello\n"));
    // If that makes it IPv6 from and IPv4 to, its line is none of the protocol (nginx/nginx#1609).
    let mut client = Connection::open(theirs.address);
    client.send(format!("{LINE6}hello\n"));
    client.until_closed();
    last.logged(&["backend=- ", "end=\"PROXY protocol: its line has a bad destination address\""]);
}

#[test]
fn preambles_of_strangers_at_haproxy_and_nginx() {
    if !is_installed("haproxy") || !nginx_has_stream() {
        return;
    }
    let backend = parrot();
    // HAProxy takes them for the client's data, which a backend that takes preambles from it would believe.
    let stranger = "layer4 if { src 192.0.2.1 }";
    let listen = format!("\n  tcp-request connection expect-proxy {stranger}");
    let theirs = haproxy(&listen, &backend.address);
    assert_eq!(ask(theirs.address, LINE), format!("{LINE}hello\n"));
    // nginx takes them off, and knows better.
    let server = format!(
        "server {{\nlisten {{listen}} proxy_protocol;\nset_real_ip_from 192.0.2.1;\n\
         proxy_pass {};\nproxy_protocol on;\n}}\n",
        backend.address
    );
    let theirs = OtherProxy::nginx_stream(SCRATCH, &server);
    let said = ask(theirs.address, LINE);
    assert!(said.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{said}");
    assert!(said.ends_with("\r\nhello\n"), "{said}");
}

#[test]
fn haproxy_writes_mixed_families_as_ipv6_as_we_do() {
    if !is_installed("haproxy") {
        return;
    }
    let backend = parrot();
    let listen = "\n  tcp-request connection set-src ipv6(2001:db8::7)";
    let theirs = haproxy(listen, &format!("{} send-proxy", backend.address));
    let line = ask(theirs.address, "");
    assert!(line.starts_with("PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 "), "{line}");
    for option in ["send-proxy", "send-proxy-v2"] {
        let last = behind(&backend);
        let theirs = haproxy(listen, &format!("{} {option}", last.address()));
        let said = ask(theirs.address, "");
        assert!(said.starts_with("PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 "), "{option}: {said}");
        last.logged(&["[2001:db8::7]:", "via=127.0.0.1:", "end=\"closed\""]);
    }
}

/// Envoy that sends preambles of this version, and takes them: from all, or from those that begin with one.
fn envoy(backend: &str, version: &str, optional: bool) -> OtherProxy {
    let (host, port) = backend.split_once(':').unwrap();
    let config = r#"{"static_resources": {
        "listeners": [{
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": {port}}},
            "listener_filters_timeout": "0.5s",
            "listener_filters": [{"name": "p", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
                "allow_requests_without_proxy_protocol": OPTIONAL,
                "pass_through_tlvs": {"match_type": "INCLUDE_ALL"}}}],
            "filter_chains": [{"filters": [{"name": "t", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "a", "cluster": "a"}}]}]}],
        "clusters": [{"name": "a", "type": "STATIC",
            "load_assignment": {"cluster_name": "a", "endpoints": [{"lb_endpoints": [{"endpoint": {
                "address": {"socket_address": {"address": "HOST", "port_value": BACKEND}}}}]}]},
            "transport_socket": {"name": "p", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
                "config": {"version": "VERSION", "pass_through_tlvs": {"match_type": "INCLUDE_ALL"}},
                "transport_socket": {"name": "r", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}}}}]}}"#;
    let config = config.replace("OPTIONAL", &optional.to_string()).replace("VERSION", version);
    OtherProxy::envoy(SCRATCH, &config.replace("HOST", host).replace("BACKEND", port))
}

#[test]
fn envoy_understands_us_and_we_understand_it() {
    if !is_installed("envoy") {
        return;
    }
    let backend = parrot();
    for version in ["V1", "V2"] {
        let last = behind(&backend);
        let theirs = envoy(&last.address().to_string(), version, version == "V1");
        for ours in VERSIONS {
            let first = in_front_of(&theirs.address.to_string(), ours);
            for line in [LINE, LINE6] {
                let heard = ask(first.address(), line);
                assert_eq!(heard, format!("{line}hello\n"), "{ours} {version}");
            }
        }
        if version == "V1" {
            // It waits for who says nothing, and closes.
            let mut silent = Connection::open(theirs.address);
            let timeout = Some(Duration::from_millis(200));
            silent.reader.get_ref().set_read_timeout(timeout).unwrap();
            let waits = silent.reader.read(&mut [0]).unwrap_err();
            assert_eq!(waits.kind(), ErrorKind::WouldBlock);
            silent.reader.get_ref().set_read_timeout(Some(proxy_lab::LIMIT)).unwrap();
            silent.until_closed();
        }
    }
}
