//! Backends and clients that keep the proxy waiting.

use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, get};
use proxy_lab::process::Proxy;
use proxy_lab::python::FullServer;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use crate::{PROXY, SCRATCH};

fn impatient(backend: &Backend, name: &str) -> (Proxy, ConfigFile) {
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[pools.a]\nbackends = [\"{}\"]\n\
         [timeouts]\nresponse_head_ms = 1000\n",
        backend.address
    );
    let file = ConfigFile::new(SCRATCH, name, &config);
    (Proxy::start(PROXY, 1, ["--config", file.path()]), file)
}

#[test]
fn a_backend_that_does_not_answer_is_504() {
    let backend = Backend::new(|connection| while connection.request().is_some() {});
    let (proxy, _file) = impatient(&backend, "silent");
    let reply = get(proxy.address(), "/");
    let text = "the backend did not answer in time\n";
    assert_eq!((reply.status, reply.text().as_str()), (504, text));
    assert_eq!(backend.requests().len(), 1, "it is not tried again");
    proxy.logged(&["GET / 504 pool=a", "attempts=1"]);
}

#[test]
fn a_backend_that_accepts_no_connection_is_passed_over_or_504() {
    let (full, alive) = (FullServer::start(), Backend::named("alive"));
    let config = |backends: &str| {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[pools.a]\nbackends = [{backends}]\n\
             [timeouts]\nconnect_ms = 100\n"
        )
    };
    let both = config(&format!("\"{}\", \"{},backup\"", full.address, alive.address));
    let file = ConfigFile::new(SCRATCH, "full", &both);
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    assert_eq!(get(proxy.address(), "/").text(), "alive");
    proxy.logged(&["GET / 200", &alive.address, "attempts=2"]);

    let file = ConfigFile::new(SCRATCH, "full", &config(&format!("\"{}\"", full.address)));
    let proxy = Proxy::start(PROXY, 1, ["--config", file.path()]);
    let reply = get(proxy.address(), "/");
    let text = "no backend accepted a connection in time\n";
    assert_eq!((reply.status, reply.text().as_str()), (504, text));
}

#[test]
fn a_client_that_stops_in_its_body_is_408() {
    let backend = Backend::named("ok");
    let (proxy, _file) = impatient(&backend, "stalled");
    let mut client = Connection::open(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 5\r\n\r\nhe");
    assert_eq!(client.reply().status, 408);
    assert_eq!(backend.requests().len(), 0);
}

#[test]
fn an_upload_that_moves_may_take_longer_than_the_timeout() {
    let backend = Backend::named("ok");
    let (proxy, _file) = impatient(&backend, "long-upload");
    let mut client = Connection::open(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 12\r\n\r\n");
    for _ in 0..12 {
        client.send("x");
        // 12 times 125 ms: longer than the timeout, with an eighth of it at once.
        wait::pause(std::time::Duration::from_millis(125));
    }
    assert_eq!(client.reply().text(), "ok");
}
