//! Discovery by DNS, against dnsmasq. Without it the test is skipped, and says so, unless
//! `EQUIPOISE_REQUIRE_SERVERS` is set.
#![cfg(all(unix, feature = "dns"))]

mod discovery_support;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use discovery_support::{names, names_after_errors, next};
use equipoise_tokio::discovery::{AddressFamily, Discover, Dns, DnsBuilder};
use tokio::process::{Child, Command};

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let rooms = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    rooms.map(|room| room.join("dnsmasq")).find(|program| program.is_file())
}

fn start(program: &Path, hosts: &Path) -> (Child, SocketAddr) {
    // Free a moment ago; a test that loses the race to somebody else fails to start.
    let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let child = Command::new(program)
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root"])
        .args(["--no-resolv", "--no-hosts", "--bind-interfaces", "--listen-address=127.0.0.1"])
        .args(["--local=/test/", "--cname=alias.test,api.test"])
        .arg("--srv-host=_http._tcp.test,api.test,8080,10,5")
        .arg("--srv-host=_http._tcp.test,spare.test,8081,20,0")
        .arg(format!("--addn-hosts={}", hosts.display()))
        .arg(format!("--port={}", address.port()))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (child, address)
}

#[tokio::test]
async fn a_real_server_is_followed_over_changes_and_an_absence() {
    let Some(program) = find() else {
        assert!(
            std::env::var_os("EQUIPOISE_REQUIRE_SERVERS").is_none(),
            "dnsmasq is neither on PATH nor in /usr/sbin"
        );
        println!("skipped: dnsmasq is neither on PATH nor in /usr/sbin");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let hosts = directory.path().join("hosts");
    fs::write(&hosts, "10.0.0.1 api.test\n10.0.0.2 api.test\n10.0.0.9 spare.test\n").unwrap();
    let (mut server, address) = start(&program, &hosts);
    let quick = |builder: DnsBuilder| {
        let (min, max) = (Duration::from_millis(20), Duration::from_millis(200));
        let builder = builder.name_servers(vec![address]).ttl(min, max);
        builder.timeout(Duration::from_millis(500)).build().unwrap()
    };
    let mut service = quick(Dns::service("_http._tcp.test").family(AddressFamily::V4));
    let mut host = quick(Dns::host("alias.test", 80));
    let mut absent = quick(Dns::host("absent.test", 80));

    let expected = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.9:8081"];
    assert_eq!(names_after_errors(&mut service).await, expected);
    assert_eq!(names_after_errors(&mut host).await, ["10.0.0.1:80", "10.0.0.2:80"]);
    assert!(next(&mut absent).await.unwrap_err().to_string().ends_with("no such name"));

    fs::write(&hosts, "10.0.0.2 api.test\nfd00::3 api.test\n10.0.0.9 spare.test\n").unwrap();
    let id = server.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().await.unwrap().success());
    assert_eq!(names(&mut service).await, ["10.0.0.2:8080", "10.0.0.9:8081"]);
    assert_eq!(names(&mut host).await, ["10.0.0.2:80", "[fd00::3]:80"]);

    server.kill().await.unwrap();
    assert!(next(&mut host).await.is_err());
    // Whoever comes to an end with nothing to say has kept what he had.
    let news = tokio::time::timeout(Duration::from_millis(700), async {
        loop {
            if let Ok(set) = host.next().await {
                return set;
            }
        }
    });
    assert!(news.await.is_err());
}
