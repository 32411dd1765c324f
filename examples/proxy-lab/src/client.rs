//! Requests and replies, byte by byte if need be.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::LIMIT;

/// A reply, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without the framing.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as a text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    /// Buffered bytes, and the socket below.
    pub reader: BufReader<TcpStream>,
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Reply {
    Connection::open(address).request(format!("GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n"))
}

/// One request on a connection of its own, as it is.
pub fn raw(address: SocketAddr, request: impl AsRef<[u8]>) -> Reply {
    Connection::open(address).request(request)
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    /// If it can't.
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        stream.set_write_timeout(Some(LIMIT)).expect("a timeout");
        Self { reader: BufReader::new(stream) }
    }

    /// Sends bytes. That the other side has closed already is no failure: it may have answered.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.reader.get_mut().write_all(bytes.as_ref());
    }

    /// Sends a request and reads the reply.
    pub fn request(&mut self, request: impl AsRef<[u8]>) -> Reply {
        self.send(request);
        self.reply()
    }

    /// Reads a reply.
    ///
    /// # Panics
    /// If there is none.
    pub fn reply(&mut self) -> Reply {
        let (status, headers) = self.head();
        let mut body = Vec::new();
        let length = find(&headers, "content-length").and_then(|length| length.parse().ok());
        if find(&headers, "transfer-encoding").is_some_and(|value| value == "chunked") {
            while let Some(chunk) = self.chunk() {
                body.extend(chunk);
            }
        } else if let Some(length) = length {
            body.resize(length, 0);
            self.reader.read_exact(&mut body).expect("the whole body");
        } else {
            self.reader.read_to_end(&mut body).expect("a body to the end");
        }
        Reply { status, headers, body }
    }

    /// Sends a request and reads the reply, for clients that live on when there is none. The reply needs a
    /// length.
    ///
    /// # Errors
    /// There is none, or not all of it.
    pub fn try_request(&mut self, request: impl AsRef<[u8]>) -> io::Result<Reply> {
        self.reader.get_mut().write_all(request.as_ref())?;
        // What is wrong is seen here; below, it is only that there is nothing.
        self.reader.fill_buf()?;
        let (line, headers) = read_head(&mut self.reader).ok_or(ErrorKind::UnexpectedEof)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let length = find(&headers, "content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.ok_or(ErrorKind::InvalidData)?];
        self.reader.read_exact(&mut body)?;
        Ok(Reply { status: status.ok_or(ErrorKind::InvalidData)?, headers, body })
    }

    /// Reads a reply's head.
    ///
    /// # Panics
    /// If there is none.
    pub fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let (line, headers) = read_head(&mut self.reader).expect("the head of a reply");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), headers)
    }

    /// Reads a chunk of a chunked body; `None` is the last one.
    ///
    /// # Panics
    /// If there is none.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        read_chunk(&mut self.reader).expect("a chunk")
    }

    /// Says that there is no more to come from this side.
    pub fn half_close(&self) {
        self.reader.get_ref().shutdown(Shutdown::Write).expect("a half-close");
    }

    /// Reads until the other side closes.
    ///
    /// # Panics
    /// If it does not in time, or resets the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).expect("an orderly end");
        rest
    }

    /// Waits until the other side has closed or reset the connection; what comes before is skipped.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn until_closed(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.reader.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
                        "{error}"
                    );
                    return;
                }
            }
        }
    }
}

/// Reads a start line and headers; `None` at the end of the connection.
pub(crate) fn read_head(reader: &mut impl BufRead) -> Option<(String, Vec<(String, String)>)> {
    let start = read_line(reader)?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Some((start, headers));
        }
        let (name, value) = line.split_once(':').expect("a header");
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// `Err` at the end of the connection, `Ok(None)` for the last chunk.
pub(crate) fn read_chunk(reader: &mut impl BufRead) -> Result<Option<Vec<u8>>, &'static str> {
    let line = read_line(reader).ok_or("the connection ended before a chunk")?;
    let size = usize::from_str_radix(&line, 16).map_err(|_| "a bad chunk size")?;
    let mut chunk = vec![0; size + 2];
    reader.read_exact(&mut chunk).map_err(|_| "the connection ended in a chunk")?;
    chunk.truncate(size);
    Ok((size > 0).then_some(chunk))
}

pub(crate) fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    match reader.read_until(b'\n', &mut line) {
        // Headers may have any bytes.
        Ok(1..) => Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()),
        _ => None,
    }
}
