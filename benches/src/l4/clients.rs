//! Clients over TCP: round trips, bytes without end, a connection for each round trip.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use rustix::net::{RecvFlags, recv};

use crate::l4::backend::SOURCE;
use crate::l4::outcome::{Meter, Outcome};
use crate::l4::sockets::connect;

/// The length of a message, and of its echo.
pub const MESSAGE: usize = 128;
const ECHOED: [u8; MESSAGE] = [b'e'; MESSAGE];
/// Who has waited for so long has failed.
const TOO_LONG: Duration = Duration::from_secs(3);
/// Who has failed tries again after so long.
const PAUSE: Duration = Duration::from_millis(10);
/// What a socket may hold at most, and more.
const MOST: usize = 8 << 20;
const MIB: f64 = (1 << 20) as f64;

/// What clients do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// One message after the other, each when the last is back.
    RoundTrips,
    /// Each message over a connection of its own.
    Connections,
    /// Reads what comes, and drops it in the kernel.
    Bulk,
}

struct Client {
    stream: Option<TcpStream>,
    /// Whether the message has still to be sent.
    is_due: bool,
    left: usize,
    since: Instant,
}

struct Load {
    work: Work,
    target: SocketAddr,
    registry: Registry,
    clients: Vec<Client>,
    connected: usize,
    meter: Meter,
    buffer: Vec<u8>,
}

impl Load {
    fn open(&mut self, index: usize) {
        self.connected += 1;
        let client = &mut self.clients[index];
        client.since = Instant::now();
        (client.is_due, client.left) = (true, MESSAGE);
        let opened = connect(self.target, self.connected).and_then(|mut stream| {
            let both = Interest::READABLE | Interest::WRITABLE;
            // The handshake over loopback is mostly done by now.
            client.is_due = !say(&mut stream, self.work)?;
            self.registry.register(&mut stream, Token(index), both)?;
            Ok(stream)
        });
        match opened {
            Ok(stream) => client.stream = Some(stream),
            Err(_) => self.fail(index),
        }
    }

    fn fail(&mut self, index: usize) {
        let client = &mut self.clients[index];
        (client.stream, client.since) = (None, Instant::now());
        self.meter.failed(1);
    }

    fn turn(&mut self, index: usize) {
        let work = self.work;
        let client = &mut self.clients[index];
        let Some(stream) = &mut client.stream else { return };
        if client.is_due {
            match say(stream, work) {
                Ok(said) => client.is_due = !said,
                Err(_) => return self.fail(index),
            }
        }
        let read = match work {
            Work::Bulk => recv(&*stream, &mut self.buffer[..], RecvFlags::TRUNC)
                .map_or_else(|error| Err(error.into()), |(_, n)| Ok(n)),
            _ => stream.read(&mut self.buffer[..MESSAGE + 1]),
        };
        match read {
            Ok(n) if n > 0 && work == Work::Bulk => {
                client.since = Instant::now();
                self.meter.add(n as f64 / MIB);
            }
            Ok(n) if n > 0 && n <= client.left => {
                client.left -= n;
                if client.left == 0 {
                    self.answered(index);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Too little, too much, or a reset.
            _ => self.fail(index),
        }
    }

    fn answered(&mut self, index: usize) {
        let now = Instant::now();
        let client = &mut self.clients[index];
        self.meter.done(now - client.since);
        if self.work == Work::Connections {
            client.stream = None;
            return self.open(index);
        }
        (client.since, client.left, client.is_due) = (now, MESSAGE, true);
        let said = client.stream.as_mut().map(|stream| say(stream, self.work));
        match said {
            Some(Ok(said)) => client.is_due = !said,
            _ => self.fail(index),
        }
    }

    /// Gives up on those that have waited for too long, and lets those that failed try again.
    fn mind(&mut self, now: Instant) {
        for index in 0..self.clients.len() {
            let client = &self.clients[index];
            let waited = now.saturating_duration_since(client.since);
            match client.stream {
                Some(_) if waited > TOO_LONG => self.fail(index),
                None if waited > PAUSE => self.open(index),
                _ => {}
            }
        }
    }
}

/// Sends what a client says, if the connection is there: whether it did.
fn say(stream: &mut TcpStream, work: Work) -> io::Result<bool> {
    let words = if work == Work::Bulk { &[SOURCE][..] } else { &ECHOED[..] };
    match stream.write(words) {
        Ok(n) if n == words.len() => Ok(true),
        // So few bytes go as a whole, or the connection has come to grief.
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
        Err(error)
            if [io::ErrorKind::WouldBlock, io::ErrorKind::NotConnected].contains(&error.kind()) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// As many clients at a time, until the meter's time is over.
///
/// # Errors
/// Of the system, when there are no file descriptors left. What a connection meets is counted.
pub fn load(work: Work, target: SocketAddr, clients: usize, meter: Meter) -> io::Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let now = Instant::now();
    let client = || Client { stream: None, is_due: true, left: 0, since: now };
    let mut load = Load {
        work,
        target,
        registry: poll.registry().try_clone()?,
        clients: std::iter::repeat_with(client).take(clients).collect(),
        connected: 0,
        meter,
        buffer: vec![0; if work == Work::Bulk { MOST } else { 2 * MESSAGE }],
    };
    (0..clients).for_each(|index| load.open(index));
    let mut minded = now;
    loop {
        let now = Instant::now();
        if load.meter.is_over(now) {
            return Ok(load.meter.outcome());
        }
        if now - minded > PAUSE {
            minded = now;
            load.mind(now);
        }
        poll.poll(&mut events, Some(PAUSE))?;
        events.iter().for_each(|event| load.turn(event.token().0));
    }
}
