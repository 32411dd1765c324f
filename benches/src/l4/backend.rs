//! A backend: it sends back what it gets, over TCP and by UDP, or sends without end.

use std::io::{self, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

use crate::l4::batch::Batch;
use crate::l4::sockets::{listen, receive};

/// A connection that begins with this byte gets bytes without end; any other is sent back.
pub const SOURCE: u8 = b'S';

const LISTENER: Token = Token(0);
const DATAGRAMS: Token = Token(1);
/// The first token of a connection.
const FIRST: usize = 2;
/// A source lets the others have a turn after so many writes.
const WRITES: usize = 8;
const CHUNK: usize = 1 << 18;

struct Connection {
    stream: TcpStream,
    /// Read, and not yet sent back.
    owed: Vec<u8>,
    is_source: bool,
    is_new: bool,
}

/// What a turn of a connection came to.
enum Turn {
    Waits,
    /// It could go on at once.
    Ready,
    Over,
}

impl Connection {
    fn turn(&mut self, registry: &Registry, token: Token, buffer: &mut [u8]) -> io::Result<Turn> {
        if self.is_source {
            return self.pour(buffer);
        }
        if !self.flush()? {
            return Ok(Turn::Waits);
        }
        let n = match self.stream.read(buffer) {
            Ok(0) => return Ok(Turn::Over),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Waits),
            Err(error) => return Err(error),
        };
        self.is_source = self.is_new && buffer[0] == SOURCE;
        self.is_new = false;
        if self.is_source {
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.reregister(&mut self.stream, token, both)?;
            return self.pour(buffer);
        }
        match self.stream.write(&buffer[..n]) {
            Ok(sent) if sent == n => {}
            Ok(sent) => self.owed.extend_from_slice(&buffer[sent..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.owed.extend_from_slice(&buffer[..n]);
            }
            Err(error) => return Err(error),
        }
        if !self.owed.is_empty() {
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.reregister(&mut self.stream, token, both)?;
        }
        // If less was read than there was room for, the next arrival is an event.
        Ok(if n < buffer.len() { Turn::Waits } else { Turn::Ready })
    }

    /// Whether nothing is owed any more.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.owed.is_empty() {
            match self.stream.write(&self.owed) {
                Ok(sent) => drop(self.owed.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn pour(&mut self, buffer: &[u8]) -> io::Result<Turn> {
        for _ in 0..WRITES {
            match self.stream.write(buffer) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Waits),
                Err(error) => return Err(error),
            }
        }
        Ok(Turn::Ready)
    }
}

#[derive(Default)]
struct Connections {
    all: Vec<Option<Connection>>,
    free: Vec<usize>,
}

impl Connections {
    fn accept(&mut self, registry: &Registry, listener: &TcpListener) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The client has left already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or_else(|| {
                self.all.push(None);
                self.all.len() - 1
            });
            registry.register(&mut stream, Token(FIRST + index), Interest::READABLE)?;
            let (owed, is_source, is_new) = (Vec::new(), false, true);
            self.all[index] = Some(Connection { stream, owed, is_source, is_new });
        }
    }

    /// Whether it could go on at once.
    fn turn(&mut self, registry: &Registry, token: Token, buffer: &mut [u8]) -> bool {
        let index = token.0 - FIRST;
        let Some(connection) = &mut self.all[index] else { return false };
        match connection.turn(registry, token, buffer) {
            Ok(Turn::Waits) => false,
            Ok(Turn::Ready) => true,
            // A reset is an end like another.
            Ok(Turn::Over) | Err(_) => {
                self.all[index] = None;
                self.free.push(index);
                false
            }
        }
    }
}

/// Serves until it is killed.
///
/// # Errors
/// Of the system: the port is taken, or there are no file descriptors left.
pub fn serve(port: u16) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let registry = poll.registry().try_clone()?;
    let mut listener = listen(port)?;
    let mut datagrams = receive(port)?;
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    registry.register(&mut datagrams, DATAGRAMS, Interest::READABLE)?;
    let mut connections = Connections::default();
    let (mut batch, mut buffer) = (Batch::default(), vec![0; CHUNK]);
    let (mut ready, mut next) = (Vec::new(), Vec::new());
    loop {
        poll.poll(&mut events, (!ready.is_empty()).then_some(std::time::Duration::ZERO))?;
        for event in &events {
            match event.token() {
                LISTENER => connections.accept(&registry, &listener)?,
                // What can't be sent is lost, as datagrams are; the client counts it.
                DATAGRAMS => {
                    while batch.read(&datagrams).is_ok_and(|n| n > 0)
                        && batch.send_back(&datagrams).is_ok()
                    {}
                }
                token if !ready.contains(&token) => ready.push(token),
                _ => {}
            }
        }
        next.extend(
            ready.drain(..).filter(|&token| connections.turn(&registry, token, &mut buffer)),
        );
        std::mem::swap(&mut ready, &mut next);
    }
}
