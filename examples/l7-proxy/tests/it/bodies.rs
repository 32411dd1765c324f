//! Bodies are streamed, both ways.

use std::sync::mpsc;
use std::thread;

use parking_lot::Mutex;
use proxy_lab::backend::Backend;
use proxy_lab::client::{Connection, get};
use proxy_lab::process::Proxy;

use crate::PROXY;

const LARGE: usize = 16 << 20;

fn pattern() -> Vec<u8> {
    (0..LARGE).map(|index| (index % 251) as u8).collect()
}

#[test]
fn a_large_body_comes_back_as_it_was_sent() {
    let backend = Backend::new(|connection| {
        while let Some(request) = connection.request() {
            connection
                .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()));
            connection.send(&request.body);
        }
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = Connection::open(proxy.address());
    client.send(format!("PUT / HTTP/1.1\r\nHost: lab\r\nContent-Length: {LARGE}\r\n\r\n"));
    client.send(pattern());
    assert!(client.reply().body == pattern());
}

#[test]
fn a_chunked_upload_arrives_whole() {
    let backend = Backend::named("got it");
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = Connection::open(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5\r\nhello\r\n");
    client.send("6\r\n world\r\n0\r\n\r\n");
    assert_eq!(client.reply().text(), "got it");
    assert_eq!(backend.first_request().body, b"hello world");
    assert_eq!(backend.first_request().header("content-length"), None);
}

#[test]
fn a_part_of_the_response_arrives_before_its_end() {
    let (next, wait) = mpsc::channel::<&'static str>();
    let wait = Mutex::new(wait);
    let backend = Backend::new(move |connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for part in wait.lock().iter() {
            connection.send(format!("{:x}\r\n{part}\r\n", part.len()));
        }
        connection.send("0\r\n\r\n");
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = Connection::open(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n");
    assert_eq!(client.head().0, 200);
    for part in ["one", "two"] {
        next.send(part).unwrap();
        assert_eq!(client.chunk().unwrap(), part.as_bytes());
    }
    drop(next);
    assert_eq!(client.chunk(), None);
}

#[test]
fn a_part_of_the_request_arrives_before_its_end() {
    let (seen, see) = mpsc::channel::<Vec<u8>>();
    let seen = Mutex::new(seen);
    let backend = Backend::new(move |connection| {
        use std::io::Read;
        connection.request_head();
        for _ in 0..2 {
            let mut part = vec![0; 3];
            connection.reader.read_exact(&mut part).unwrap();
            seen.lock().send(part).unwrap();
        }
        connection.reply(200, "ok");
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = Connection::open(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 6\r\n\r\n");
    for part in ["one", "two"] {
        client.send(part);
        assert_eq!(see.recv_timeout(proxy_lab::LIMIT).unwrap(), part.as_bytes());
    }
    assert_eq!(client.reply().text(), "ok");
}

#[test]
fn a_response_that_breaks_off_does_not_look_whole() {
    let backend = Backend::new(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = Connection::open(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n");
    assert_eq!(client.head().0, 200);
    let broken = thread::spawn(move || while client.chunk().is_some() {}).join();
    assert!(broken.is_err(), "there is no last chunk");
    proxy.logged(&["GET / 200", "cut_by=backend"]);
}

#[test]
fn a_head_request_has_no_body_and_the_connection_goes_on() {
    let backend = Backend::new(|connection| {
        while let Some(request) = connection.request() {
            if request.line.starts_with("HEAD") {
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
            } else {
                connection.reply(200, "after");
            }
        }
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = Connection::open(proxy.address());
    client.send("HEAD / HTTP/1.1\r\nHost: lab\r\n\r\n");
    let (status, headers) = client.head();
    assert_eq!(status, 200);
    assert!(headers.contains(&("content-length".into(), "5".into())), "{headers:?}");
    assert_eq!(client.request("GET / HTTP/1.1\r\nHost: lab\r\n\r\n").text(), "after");
}

#[test]
fn a_server_error_is_passed_on() {
    let backend = Backend::new(|connection| {
        connection.request();
        connection.reply(500, "my own words");
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let reply = get(proxy.address(), "/");
    assert_eq!((reply.status, reply.text().as_str()), (500, "my own words"));
}

#[test]
fn a_length_beside_a_coding_does_not_cut_the_body() {
    let backend = Backend::new(|connection| {
        connection.request();
        connection.send(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\n\r\n",
        );
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let reply = get(proxy.address(), "/");
    assert_eq!((reply.text().as_str(), reply.header("content-length")), ("abc", None));
}

#[test]
fn a_response_with_trailers_is_complete() {
    let backend = Backend::new(|connection| {
        while connection.request().is_some() {
            connection.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                 3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
            );
        }
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let request = "GET / HTTP/1.1\r\nHost: lab\r\nTE: trailers\r\nConnection: te, close\r\n\r\n";
    let mut client = Connection::open(proxy.address());
    client.send(request);
    let reply = String::from_utf8(client.rest()).unwrap().to_lowercase();
    assert!(reply.contains("abc") && reply.ends_with("x-sum: 7\r\n\r\n"), "{reply}");
    let log = proxy.logged(&["GET / 200"]);
    assert!(!log.contains("cut_by"), "{log}");
}
