//! The walk-through of `docs/lab.md`, one level lower.

use proxy_lab::client::get;
use proxy_lab::process::Proxy;
use proxy_lab::python::PythonServer;

use crate::{PROXY, SCRATCH};

#[test]
fn two_python_servers_take_turns_one_dies_and_comes_back() {
    let one = PythonServer::start(SCRATCH, "one");
    let mut two = PythonServer::start(SCRATCH, "two");
    let proxy = Proxy::over(PROXY, &[&one.address, &two.address], &["--policy", "round_robin"]);
    let ask = || {
        let reply = get(proxy.address(), "/");
        assert_eq!(reply.status, 200);
        reply.text()
    };

    let texts: Vec<_> = (0..10).map(|_| ask()).collect();
    assert!(texts.iter().any(|text| text == "one\n") && texts.iter().any(|text| text == "two\n"));
    assert!(texts.windows(2).all(|pair| pair[0] != pair[1]), "they take turns: {texts:?}");

    two.kill();
    assert!((0..10).all(|_| ask() == "one\n"), "every request is answered, by the one that lives");
    proxy.logged(&[&one.address, "attempts=2", "end=\"closed\""]);

    two.restart();
    let texts: Vec<_> = (0..10).map(|_| ask()).collect();
    assert!(texts.windows(2).all(|pair| pair[0] != pair[1]), "it is used again: {texts:?}");
}
