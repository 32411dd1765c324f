//! What happens when a backend does not do its part.

use proxy_lab::backend::{Backend, free_address};
use proxy_lab::client::{get, raw};
use proxy_lab::process::Proxy;

use crate::PROXY;

const POST: &str = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 5\r\n\r\nhello";

/// Reads a request, and breaks off without a word.
fn breaking() -> Backend {
    Backend::new(|connection| {
        connection.request();
    })
}

#[test]
fn the_next_backend_is_tried_when_one_cant_be_reached() {
    // A backup is asked after the others: it takes three attempts, until five failures have ejected one of
    // them. So there are four requests.
    let alive = Backend::named("alive");
    let backends = [free_address(), format!("{},backup", alive.address), free_address()];
    let proxy = Proxy::over(PROXY, &backends, &[]);
    for _ in 0..2 {
        assert_eq!(raw(proxy.address(), POST).text(), "alive");
        assert_eq!(get(proxy.address(), "/").text(), "alive");
    }
    let posted = alive.requests().into_iter().filter(|request| request.body == b"hello").count();
    assert_eq!(posted, 2, "each once, with its body");
    proxy.logged(&["POST / 200", &alive.address, "attempts=3"]);
    proxy.logged(&["GET / 200", &alive.address, "attempts=3"]);
}

#[test]
fn nobody_is_asked_twice_and_the_answer_is_502() {
    let dead = [free_address(), free_address()];
    let proxy = Proxy::over(PROXY, &dead, &[]);
    let reply = get(proxy.address(), "/");
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (502, "no backend could be reached: 2 tried\n")
    );
    proxy.logged(&["GET / 502", "attempts=2"]);
}

#[test]
fn a_get_goes_to_the_next_backend_when_one_breaks_off() {
    let (broken, alive) = (breaking(), Backend::named("alive"));
    let proxy = Proxy::over(PROXY, &[&broken.address, &alive.address], &[]);
    for _ in 0..4 {
        assert_eq!(get(proxy.address(), "/").text(), "alive");
    }
    let met = broken.requests().len();
    assert!((1..=4).contains(&met), "at most once a request: {met}");
}

#[test]
fn a_post_is_never_delivered_twice() {
    let backends = [breaking(), breaking()];
    let proxy = Proxy::over(PROXY, &[&backends[0].address, &backends[1].address], &[]);
    for sent in 1..=4 {
        let reply = raw(proxy.address(), POST);
        assert_eq!(reply.status, 502);
        assert_eq!(reply.text(), "the backend broke off before it answered\n");
        let delivered: usize = backends.iter().map(|backend| backend.requests().len()).sum();
        assert_eq!(delivered, sent);
    }
}

#[test]
fn a_get_with_a_body_is_not_sent_again() {
    let backends = [breaking(), breaking()];
    let proxy = Proxy::over(PROXY, &[&backends[0].address, &backends[1].address], &[]);
    let request = POST.replace("POST", "GET");
    assert_eq!(raw(proxy.address(), request).status, 502);
    let delivered: usize = backends.iter().map(|backend| backend.requests().len()).sum();
    assert_eq!(delivered, 1);
}

#[test]
fn a_backend_that_answers_nonsense_is_502() {
    let backend = Backend::new(|connection| {
        connection.request();
        connection.send("NONSENSE\r\n\r\n");
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    assert_eq!(raw(proxy.address(), POST).status, 502);
}

#[test]
fn an_upgrade_that_nobody_asked_for_is_502() {
    let backend = Backend::new(|connection| {
        connection.request();
        connection.send("HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
        connection.request();
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    assert_eq!(raw(proxy.address(), POST).status, 502);
}
