//! Backends that do as a test says, and count.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use parking_lot::Mutex;

use crate::client::{find, read_chunk, read_head};
use crate::{LIMIT, wait};

/// An address on which nobody listens: connections to it are refused.
///
/// # Panics
/// If there is no free port.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

/// A backend on a free port. Its threads end with the test.
#[derive(Debug)]
pub struct Backend {
    /// `127.0.0.1:port`
    pub address: String,
    accepted: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// `METHOD target HTTP/1.1`
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without the framing.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// A connection that a backend has accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Buffered bytes, and the socket below.
    pub reader: BufReader<TcpStream>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Accepted {
    /// Reads a request, counts it, and gives it back; `None` when the client has closed.
    pub fn request(&mut self) -> Option<Request> {
        let mut request = self.request_head()?;
        let length = request.header("content-length").and_then(|length| length.parse().ok());
        if request.header("transfer-encoding").is_some() {
            while let Some(chunk) = read_chunk(&mut self.reader).ok()? {
                request.body.extend(chunk);
            }
        } else if let Some(length) = length {
            request.body.resize(length, 0);
            self.reader.read_exact(&mut request.body).ok()?;
        }
        self.requests.lock().push(request.clone());
        Some(request)
    }

    /// Reads a request's head, without counting it.
    pub fn request_head(&mut self) -> Option<Request> {
        let (line, headers) = read_head(&mut self.reader)?;
        Some(Request { line, headers, body: Vec::new() })
    }

    /// Sends bytes; the other side may have gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.reader.get_mut().write_all(bytes.as_ref());
    }

    /// Sends a reply with this body.
    pub fn reply(&mut self, status: u16, body: &str) {
        self.send(format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }
}

impl Backend {
    /// A backend whose connections are handled by `handle`, each in a thread.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn new(handle: impl Fn(&mut Accepted) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (accepted, requests) = (Arc::default(), Arc::default());
        let backend =
            Self { address, accepted: Arc::clone(&accepted), requests: Arc::clone(&requests) };
        let handle = Arc::new(handle);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                accepted.fetch_add(1, SeqCst);
                let _ = stream.set_nodelay(true);
                let _ = stream.set_read_timeout(Some(LIMIT));
                let _ = stream.set_write_timeout(Some(LIMIT));
                let requests = Arc::clone(&requests);
                let mut connection = Accepted { reader: BufReader::new(stream), requests };
                let handle = Arc::clone(&handle);
                thread::spawn(move || handle(&mut connection));
            }
        });
        backend
    }

    /// A backend that answers every request with its name, and keeps connections open.
    pub fn named(name: &'static str) -> Self {
        Self::new(move |connection| {
            while connection.request().is_some() {
                connection.reply(200, name);
            }
        })
    }

    /// Its port.
    pub fn port(&self) -> &str {
        self.address.rsplit_once(':').expect("host:port").1
    }

    /// Connections that it has accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }

    /// Requests that it has read.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }

    /// Waits for the first request.
    pub fn first_request(&self) -> Request {
        wait::for_some("a request at the backend", || self.requests.lock().first().cloned())
    }
}
