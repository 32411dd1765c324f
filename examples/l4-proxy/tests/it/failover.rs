//! Who gets a connection.

use std::sync::mpsc;

use parking_lot::Mutex;
use proxy_lab::backend::{Backend, free_address};
use proxy_lab::client::{Connection, get};
use proxy_lab::process::Proxy;

use crate::PROXY;

#[test]
fn the_next_backend_is_tried_when_one_cant_be_reached() {
    // A backup is asked after the others: it takes three attempts, always.
    let alive = Backend::named("alive");
    let backends = [free_address(), format!("{},backup", alive.address), free_address()];
    let proxy = Proxy::over(PROXY, &backends, &[]);
    for _ in 0..9 {
        assert_eq!(get(proxy.address(), "/").text(), "alive");
    }
    assert_eq!(alive.accepted(), 9);
    proxy.logged(&[&alive.address, "attempts=3"]);
}

#[test]
fn a_client_is_let_go_when_nobody_can_be_reached() {
    let proxy = Proxy::over(PROXY, &[free_address(), free_address()], &[]);
    Connection::open(proxy.address()).until_closed();
    proxy.logged(&["attempts=2 sent=0 received=0", "end=\"no backend is left: 2 tried, 0 full\""]);
}

#[test]
fn a_connection_takes_its_place_until_it_ends() {
    let (end, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let backend = Backend::new(move |connection| {
        connection.send("hello");
        let _ = wait.lock().recv();
    });
    let proxy = Proxy::over(PROXY, &[format!("{},max=1", backend.address)], &[]);
    let mut first = Connection::open(proxy.address());
    let mut hello = [0; 5];
    std::io::Read::read_exact(&mut first.reader, &mut hello).unwrap();

    Connection::open(proxy.address()).until_closed();
    proxy.logged(&["backend=- attempts=0", "end=\"no backend is left: 0 tried, 1 full\""]);

    end.send(()).unwrap();
    drop(first);
    proxy.logged(&["received=5"]);
    end.send(()).unwrap();
    assert_eq!(Connection::open(proxy.address()).rest(), b"hello");
}
