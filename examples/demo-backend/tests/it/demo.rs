//! The program under test, and how it is asked.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proxy_lab::client::{Connection, Reply, get, raw};
use proxy_lab::process::Proxy;

use crate::{PROGRAM, SCRATCH};

/// A path for a database of its own; what is there is removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        // Tests run at the same time.
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{}-{}.db", std::process::id(), MADE.fetch_add(1, Relaxed));
        let scratch = Self(PathBuf::from(SCRATCH).join(name));
        scratch.remove();
        scratch
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }

    pub(crate) fn aside(&self) -> String {
        format!("{}.taken-away", self.path())
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.path())
    }

    fn remove(&self) {
        let _ = fs::remove_file(self.path());
        let _ = fs::remove_file(self.aside());
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A running demo backend.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) process: Proxy,
}

impl Demo {
    /// Named `one`, over this database; `more` are further arguments.
    pub(crate) fn over(database: &str, more: &[&str]) -> Self {
        let args = ["--listen", "127.0.0.1:0", "--name", "one", "--database", database];
        Self { process: Proxy::start(PROGRAM, 1, [&args, more].concat()) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        said(&get(self.address(), path))
    }

    /// A POST without a body.
    pub(crate) fn post(&self, path: &str) -> (u16, String) {
        let request = format!("POST {path} HTTP/1.1\r\nHost: lab\r\nContent-Length: 0\r\n\r\n");
        said(&raw(self.address(), request))
    }

    /// As [`post`](Self::post), and expects that it is done.
    pub(crate) fn done(&self, path: &str) {
        let (status, text) = self.post(path);
        assert_eq!(status, 200, "{path}: {text}");
    }

    pub(crate) fn order(&self, id: &str) -> (u16, String) {
        said(&raw(self.address(), order(id)))
    }

    /// A connection on which a GET has been sent.
    pub(crate) fn asked(&self, path: &str) -> Connection {
        let mut connection = Connection::open(self.address());
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n"));
        connection
    }
}

/// The request of an order.
pub(crate) fn order(id: &str) -> String {
    format!(
        "POST /orders HTTP/1.1\r\nHost: lab\r\nX-Request-Id: {id}\r\nContent-Length: 3\r\n\r\ntea"
    )
}

pub(crate) fn said(reply: &Reply) -> (u16, String) {
    (reply.status, reply.text())
}

/// A status and a line.
pub(crate) fn line(status: u16, text: &str) -> (u16, String) {
    (status, format!("{text}\n"))
}
