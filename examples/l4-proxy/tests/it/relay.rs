//! Bytes both ways, each direction ending by itself.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;

use parking_lot::Mutex;
use proxy_lab::backend::Backend;
use proxy_lab::client::Connection;
use proxy_lab::process::Proxy;

use crate::PROXY;

#[test]
fn a_client_that_half_closes_still_gets_its_answer() {
    // Answers only once it has seen the end of the question.
    let backend = Backend::new(|connection| {
        let mut question = Vec::new();
        connection.reader.read_to_end(&mut question).unwrap();
        connection.send(format!("{} bytes", question.len()));
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = Connection::open(proxy.address());
    client.send("question");
    client.half_close();
    assert_eq!(client.rest(), b"8 bytes");
    proxy.logged(&[&backend.address, "attempts=1 sent=8 received=7", "end=\"closed\""]);
}

#[test]
fn a_backend_that_half_closes_still_hears_the_client() {
    let (heard, hear) = mpsc::channel();
    let heard = Mutex::new(heard);
    let backend = Backend::new(move |connection| {
        connection.send("all I have to say");
        connection.reader.get_ref().shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        connection.reader.read_to_string(&mut rest).unwrap();
        heard.lock().send(rest).unwrap();
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = Connection::open(proxy.address());
    assert_eq!(client.rest(), b"all I have to say");
    client.send("I am not done");
    client.half_close();
    assert_eq!(hear.recv_timeout(proxy_lab::LIMIT).unwrap(), "I am not done");
    proxy.logged(&["sent=13 received=17", "end=\"closed\""]);
}

#[test]
fn large_streams_pass_both_ways_at_once() {
    const LARGE: usize = 8 << 20;
    let backend = Backend::new(|connection| {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = connection.reader.read(&mut buffer) {
            connection.send(&buffer[..read]);
        }
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = Connection::open(proxy.address());
    let sent: Vec<u8> = (0..LARGE).map(|index| (index % 251) as u8).collect();
    let mut writer = client.reader.get_ref().try_clone().unwrap();
    let to_send = sent.clone();
    let sending = thread::spawn(move || {
        writer.write_all(&to_send).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert!(client.rest() == sent);
    sending.join().unwrap();
}

#[test]
fn a_reset_is_passed_on_as_one() {
    // Closing a socket with unread bytes resets the connection.
    let backend = Backend::new(|connection| {
        connection.send("the first part");
        let _ = connection.reader.get_ref().peek(&mut [0]);
    });
    let proxy = Proxy::over(PROXY, &[&backend.address], &[]);
    let mut client = Connection::open(proxy.address());
    let mut part = [0; 14];
    client.reader.read_exact(&mut part).unwrap();
    client.send("unread");
    let error = client.reader.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    proxy.logged(&["sent=6 received=14", "end=\"broken by backend\""]);
}
