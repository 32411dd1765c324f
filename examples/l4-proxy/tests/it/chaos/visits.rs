//! Clients over TCP, which check every byte that they get.
#![allow(clippy::disallowed_methods, reason = "a test measures real time")]

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use equipoise_core::Rng;
use proxy_lab::echo::Pattern;
use proxy_lab::wait;
use socket2::{Domain, SockRef, Socket, Type};

use super::{PATIENCE, World};

/// What a client does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// A few bytes, there and back.
    Short,
    /// The same for some seconds.
    PingPong,
    /// Up to two megabytes: there, back, or both.
    Bulk,
    /// Connects, and goes without a word.
    Silent,
}

/// A connection, as its client saw it.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) client: SocketAddr,
    pub(super) kind: Kind,
    pub(super) opened: Instant,
    pub(super) ended: Instant,
    /// Who answered: a name and a process.
    pub(super) backend: Option<(String, u32)>,
    pub(super) ending: Ending,
}

/// How it ended, in its client's eyes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// All was said, and both sides have closed.
    Whole,
    /// The client went before the backend's end, with a reset or without.
    Left,
    /// The other side went first.
    Lost,
    /// What came was not what had to come, or nothing came for too long.
    Wrong(String),
}

/// Why a talk is not whole.
enum Fault {
    Left,
    Lost,
    Wrong(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => Self::Lost,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                Self::Wrong(format!("nothing for {PATIENCE:?}"))
            }
            _ => Self::Wrong(error.to_string()),
        }
    }
}

/// One visit after the other, until the run is over.
pub(super) fn go_on(world: &World, listener: usize, kind: Kind, mut rng: Rng) {
    while !world.is_over() {
        let visit = visit(world, world.listeners[listener], kind, &mut rng);
        world.visits.lock().push(visit);
        wait::pause(Duration::from_millis(u64::from(rng.below(20))));
    }
}

/// A connection from an address of its own.
pub(super) fn open(world: &World, to: SocketAddr) -> (BufReader<TcpStream>, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&world.client_address().into()).expect("an address");
    // The listener is there, always.
    socket.connect(&to.into()).expect("a connection");
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let client = stream.local_addr().expect("an address");
    (BufReader::new(stream), client)
}

fn visit(world: &World, to: SocketAddr, kind: Kind, rng: &mut Rng) -> Visit {
    let opened = Instant::now();
    let (mut stream, client) = open(world, to);
    let mut backend = None;
    let said = match kind {
        Kind::Silent => {
            wait::pause(Duration::from_millis(u64::from(rng.below(100))));
            Err(Fault::Left)
        }
        _ => hear_name(&mut stream).and_then(|name| {
            backend = Some(name);
            talk(world, &mut stream, kind, rng)
        }),
    };
    let ending = match said {
        Ok(()) => Ending::Whole,
        Err(Fault::Left) => {
            if rng.below(2) == 0 {
                let _ = SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO));
            }
            Ending::Left
        }
        Err(Fault::Lost) => Ending::Lost,
        Err(Fault::Wrong(why)) => Ending::Wrong(why),
    };
    drop(stream);
    Visit { client, kind, opened, ended: Instant::now(), backend, ending }
}

/// Who the backend is: it says so first.
fn hear_name(stream: &mut BufReader<TcpStream>) -> Result<(String, u32), Fault> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let Some(whole) = line.strip_suffix('\n') else { return Err(Fault::Lost) };
    let parts = whole.split_once(' ').map(|(name, process)| (name, process.parse()));
    match parts {
        Some((name, Ok(process))) => Ok((name.to_owned(), process)),
        _ => Err(Fault::Wrong(format!("a name, not {line:?}"))),
    }
}

fn talk(
    world: &World,
    stream: &mut BufReader<TcpStream>,
    kind: Kind,
    rng: &mut Rng,
) -> Result<(), Fault> {
    let mut talk = Talk { stream, rng };
    match (kind, talk.rng.below(3)) {
        (Kind::Short, _) => {
            let until = Instant::now();
            talk.echo(world, until, 2_000)
        }
        (Kind::PingPong, _) => {
            let until = Instant::now() + Duration::from_millis(u64::from(talk.rng.below(4_000)));
            talk.echo(world, until, 300)
        }
        (_, 0) => talk.make(),
        (_, 1) => talk.take(),
        _ => {
            let until = Instant::now() + Duration::from_millis(100);
            talk.echo(world, until, 32_000)
        }
    }
}

struct Talk<'a> {
    stream: &'a mut BufReader<TcpStream>,
    rng: &'a mut Rng,
}

impl Talk<'_> {
    /// Messages of up to so many bytes until this time, one at least.
    fn echo(&mut self, world: &World, until: Instant, largest: u32) -> Result<(), Fault> {
        let (began, seed) = (Instant::now(), self.rng.next_u64());
        let (mut there, mut back) = (Pattern::new(seed), Pattern::new(seed));
        self.send(b"echo\n")?;
        loop {
            let mut message = vec![0; 1 + self.rng.below(largest) as usize];
            there.fill(&mut message);
            self.send(&message)?;
            self.perhaps_leave(if until > began { 500 } else { 30 })?;
            self.receive(message.len(), &mut back)?;
            if world.is_over() || Instant::now() >= until {
                return self.close();
            }
            wait::pause(Duration::from_millis(u64::from(self.rng.below(20))));
        }
    }

    /// The backend sends.
    fn make(&mut self) -> Result<(), Fault> {
        let (seed, length) = (self.rng.next_u64(), self.rng.below(2 << 20) as usize);
        self.send(format!("make {seed} {length}\n").as_bytes())?;
        let mut pattern = Pattern::new(seed);
        self.receive(length / 2, &mut pattern)?;
        self.perhaps_leave(30)?;
        self.receive(length - length / 2, &mut pattern)?;
        self.close()
    }

    /// The backend takes, and says whether it was right.
    fn take(&mut self) -> Result<(), Fault> {
        let (seed, mut left) = (self.rng.next_u64(), self.rng.below(2 << 20) as usize);
        self.send(format!("take {seed}\n").as_bytes())?;
        let mut pattern = Pattern::new(seed);
        while left > 0 {
            let mut part = vec![0; left.min(1 << 16)];
            pattern.fill(&mut part);
            self.send(&part)?;
            self.perhaps_leave(30)?;
            left -= part.len();
        }
        self.stream.get_ref().shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer)?;
        match answer.strip_suffix('\n') {
            None => Err(Fault::Lost),
            Some(answer) if answer == format!("right {}", pattern.length()) => Ok(()),
            Some(answer) => Err(Fault::Wrong(format!("{answer:?} of {} bytes", pattern.length()))),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    fn receive(&mut self, length: usize, pattern: &mut Pattern) -> Result<(), Fault> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        match pattern.matches(&bytes) {
            true => Ok(()),
            false => Err(Fault::Wrong(format!("other bytes before {}", pattern.length()))),
        }
    }

    /// One in so many goes now.
    fn perhaps_leave(&mut self, odds: u32) -> Result<(), Fault> {
        if self.rng.below(odds) == 0 { Err(Fault::Left) } else { Ok(()) }
    }

    /// Half-closes, and waits for the end, before which nothing more may come.
    fn close(&mut self) -> Result<(), Fault> {
        self.stream.get_ref().shutdown(Shutdown::Write)?;
        match self.stream.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(Fault::Wrong("more bytes than there are".to_owned())),
        }
    }
}
