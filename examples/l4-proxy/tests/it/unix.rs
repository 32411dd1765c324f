//! Unix sockets, as listeners and as backends.

mod files;
mod party;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::thread;

use proxy_lab::backend::Backend;
use proxy_lab::checks::Checks;
use proxy_lab::client::get;
use proxy_lab::fleet::is_installed;
use proxy_lab::process::Proxy;
use proxy_lab::table::{ConfigFile, assert_refused};
use proxy_lab::wait;

use self::party::{Door, Path, config, start};
use crate::proxy_protocol::{LINE, echo};
use crate::tls_party::Authority;
use crate::{PROXY, SCRATCH};

/// A proxy that listens on an IP address.
fn start_tcp(backends: &[&str], more: &str) -> Proxy {
    let config = config("127.0.0.1:0", "", backends, "", more);
    Proxy::configured(PROXY, 1, ConfigFile::new(SCRATCH, "unix", &config))
}

/// Gives back what comes while it comes, and a full stop for its end.
fn mirror() -> Backend {
    Backend::new(|connection| {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read) = connection.reader.read(&mut buffer) {
            match read {
                0 => return connection.send("."),
                _ => connection.send(&buffer[..read]),
            }
        }
    })
}

/// Sends a lot and its end, and has it back.
fn passes(mut writer: impl Write + Send, end: impl FnOnce() + Send, mut reader: impl Read) {
    const LARGE: usize = 8 << 20;
    let sent: Vec<u8> = (0..LARGE).map(|index| (index % 251) as u8).collect();
    let expected = [&sent[..], b"."].concat();
    thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).unwrap();
            end();
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).unwrap();
        assert!(back == expected, "{} of {} bytes, or others", back.len(), expected.len());
    });
}

#[test]
fn a_backend_may_be_a_unix_socket() {
    let backend = mirror();
    let door = Door::to(&backend.address);
    let proxy = start_tcp(&[&door.written()], "");
    let client = TcpStream::connect(proxy.address()).unwrap();
    let end = || client.shutdown(Shutdown::Write).unwrap();
    passes(&client, end, &client);
    let written = format!("backend={} attempts=1 sent=8388608 received=8388609", door.written());
    proxy.logged(&["127.0.0.1:", &written, "end=\"closed\""]);
    // On the command line as in a file.
    let named = Backend::named("a");
    let door = Door::to(&named.address);
    let proxy = Proxy::over(PROXY, &[format!("{},weight=2", door.written())], &[]);
    assert_eq!(get(proxy.address(), "/").text(), "a");
}

#[test]
fn a_client_may_come_over_a_unix_socket() {
    let backend = mirror();
    let door = Door::to(&backend.address);
    for (backend, workers) in [(&backend.address, 0), (&door.written(), 0), (&door.written(), 2)] {
        let path = Path::new();
        let workers = format!("workers = {workers}");
        let proxy = start(&config(&path.written(), "", &[backend], "", &workers));
        for _ in 0..3 {
            let client = path.open().unwrap();
            let end = || client.shutdown(Shutdown::Write).unwrap();
            passes(&client, end, &client);
        }
        let written = format!("backend={backend} attempts=1 sent=8388608 received=8388609");
        let line = proxy.logged(&["unix: pool=a", &written, "end=\"closed\""]);
        assert!(line.starts_with("unix: "), "{line}");
    }
}

#[test]
fn a_backend_that_nobody_listens_at_is_passed_over() {
    let (alive, mut dead) = (Backend::named("alive"), Door::to("127.0.0.1:1"));
    dead.close();
    let (gone, path) = (Path::new(), Path::new());
    let (dead, gone) = (dead.written(), gone.written());
    // A backup is asked after the others: it takes three attempts.
    let backup = format!("{},backup", alive.address);
    let backends = [&*dead, &*gone, &*backup];
    let proxy = start(&config(&path.written(), "", &backends, "", ""));
    for _ in 0..6 {
        assert_eq!(path.get(), "alive");
    }
    proxy.logged(&[&format!("backend={} attempts=3", alive.address), "end=\"closed\""]);
}

#[test]
fn its_health_is_asked_for_over_the_socket() {
    for check in ["type = \"tcp\"", "type = \"http\"\npath = \"/\""] {
        let (a, b) = (Backend::named("a"), Backend::named("b"));
        let (mut door, path) = (Door::to(&a.address), Path::new());
        let written = door.written();
        let backends = [&*written, &*b.address];
        let health = Checks::QUICK.asking(check);
        let proxy = start(&(config(&path.written(), "", &backends, "", "") + &health));
        let both = || (0..4).map(|_| path.get()).collect::<String>();
        assert!(["abab", "baba"].contains(&&*both()));
        let backend = format!("backend={}", door.written());
        door.close();
        proxy.logged(&["health pool=a", &backend, "down", "connection refused"]);
        assert_eq!(both(), "bbbb");
        door.open();
        wait::until("it to be used again", || both().contains('a'));
    }
    // Asked at the socket of something else.
    let (a, path) = (Backend::named("a"), Path::new());
    let (door, mut other) = (Door::to(&a.address), Door::to(&a.address));
    other.close();
    let backend = format!("{},check={}", door.written(), other.written());
    let health = Checks::QUICK.asking("type = \"tcp\"");
    let proxy = start(&(config(&path.written(), "", &[&backend], "", "") + &health));
    proxy.logged(&[&format!("backend={}", door.written()), "down", "connection refused"]);
}

#[test]
fn a_client_without_an_address_has_no_key_and_no_session() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let backends = [&*a.address, &*b.address];
    let round_robin = "policy = { name = \"maglev\", without_key = \"round_robin\" }";
    for pool in [
        format!("{round_robin}\nkey = \"client\""),
        format!("{round_robin}\nkey = \"connection\""),
        "[pools.a.sticky]\nmode = \"client\"".to_owned(),
    ] {
        let path = Path::new();
        let _proxy = start(&config(&path.written(), "", &backends, &pool, ""));
        let mut answers: Vec<_> = (0..4).map(|_| path.get()).collect();
        answers.sort();
        assert_eq!(answers, ["a", "a", "b", "b"], "{pool}");
    }
}

#[test]
fn the_proxy_protocol_is_taken_from_those_who_are_trusted() {
    let backend = echo();
    let trusted = |trusted| format!("trusted = [\"{trusted}\"]\nproxy_protocol = \"required\"");
    let path = Path::new();
    let pool = "send_proxy = \"v1\"";
    let proxy = start(&config(&path.written(), &trusted("unix"), &[&backend.address], pool, ""));
    assert_eq!(path.ask(format!("{LINE}hello")).unwrap(), format!("{LINE}hello").as_bytes());
    proxy.logged(&["203.0.113.7:4321 via=unix: pool=a", "end=\"closed\""]);
    let unknown = "PROXY UNKNOWN\r\n";
    assert_eq!(path.ask(format!("{unknown}hello")).unwrap(), format!("{unknown}hello").as_bytes());

    let path = Path::new();
    let config = config(&path.written(), &trusted("0.0.0.0/0"), &[&backend.address], "", "");
    let proxy = start(&config);
    let answer = path.ask(format!("{LINE}hello"));
    assert!(!matches!(&answer, Ok(bytes) if !bytes.is_empty()), "{answer:?}");
    proxy.logged(&["unix: pool=a backend=- attempts=0", "unix: is not trusted"]);
}

#[test]
fn a_backend_is_told_that_the_client_has_no_address() {
    let backend = echo();
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0";
    for (version, said) in [("v1", &b"PROXY UNKNOWN\r\n"[..]), ("v2", &v2[..])] {
        let path = Path::new();
        let pool = format!("send_proxy = \"{version}\"");
        let _proxy = start(&config(&path.written(), "", &[&backend.address], &pool, ""));
        assert_eq!(path.ask("hello").unwrap(), [said, b"hello"].concat());
    }
}

#[test]
fn tls_ends_or_passes_through() {
    if !is_installed("curl") {
        return;
    }
    let authority = Authority::new();
    let files = authority.issue(&["shop.example"]).files();
    let (clear, ca) = (Backend::named("clear"), Path::new());
    fs::write(&ca.0, &authority.pem).unwrap();
    let passed = authority.backend("passed", &["shop.example"], &[]);
    let door = Door::to(&passed.address);
    let ends = format!("tls = {{ certificates = [{}] }}", files.toml());
    let routes = "routes = [{ sni = [\"shop.example\"], pool = \"b\" }]";
    let more = format!("[pools.b]\nbackends = [\"{}\"]\n", door.written());
    for (listener, more, expected) in [(&*ends, "", "clear"), (routes, &*more, "passed")] {
        let path = Path::new();
        let _proxy = start(&(config(&path.written(), listener, &[&clear.address], "", "") + more));
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--unix-socket"])
            .arg(&path.0)
            .arg("--cacert")
            .arg(&ca.0)
            .arg("https://shop.example/")
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!((&*text(&output.stdout), &*text(&output.stderr)), (expected, ""));
    }
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let (long, check) = ("a".repeat(107), "[health.check]\ntype = \"tcp\"\n");
    for (address, listener, backends, more, named) in [
        ("unix:a.sock", "", "unix:/a", "", "listeners[0].address: `unix:a.sock`: give an absolute"),
        (&*format!("unix:/{long}"), "", "unix:/a", "", "the path has more than 107 bytes"),
        ("127.0.0.1:0", "", "unix:", "", "backend `unix:`: give an absolute path"),
        ("127.0.0.1:0", "", "unix:/a,check=80", check, "`unix:/a`: check `80`: a Unix socket has"),
        ("127.0.0.1:0", "", "unix:/a,check=80", "", "a Unix socket has no port"),
        (
            "127.0.0.1:0",
            "",
            "unix:/a",
            "[health.check]\ntype = \"tcp\"\nport = 80\n",
            "pools.a.backends: backend `unix:/a`: a Unix socket has no port",
        ),
        (
            "127.0.0.1:0",
            "trusted = [\"unix:/a\"]\nproxy_protocol = \"optional\"",
            "unix:/a",
            "",
            "listeners[0].trusted: `unix:/a` is neither an address nor a network nor `unix`",
        ),
        (
            "127.0.0.1:0",
            "",
            "unix:/a",
            "[[udp]]\naddress = \"127.0.0.1:0\"\npool = \"a\"\n",
            "udp[0].pool: backend `unix:/a` of the pool takes no datagrams",
        ),
        (
            "127.0.0.1:0",
            "",
            "unix:/a",
            "[[udp]]\naddress = \"unix:/b\"\npool = \"a\"\n",
            "udp[0].address: `unix:/b` is not an IP address and port",
        ),
    ] {
        let text = config(address, listener, &[backends], "", "") + more;
        let file = ConfigFile::new(SCRATCH, "unix-wrong", &text);
        assert_refused(PROXY, &["--config", file.path()], &[named]);
    }
    let path = Path::new();
    let listener = format!("[[listeners]]\naddress = \"{}\"\npool = \"a\"", path.written());
    let twice = config(&path.written(), &listener, &["unix:/a"], "", "");
    let file = ConfigFile::new(SCRATCH, "unix-twice", &twice);
    assert_refused(PROXY, &["--config", file.path()], &["duplicate listener `unix:"]);
}
