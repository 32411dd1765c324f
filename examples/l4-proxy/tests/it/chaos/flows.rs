//! Clients over UDP.
#![allow(clippy::disallowed_methods, reason = "a test measures real time")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use equipoise_core::Rng;
use proxy_lab::echo::Pattern;
use proxy_lab::wait;

use super::World;

/// What the datagrams of one socket came to.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) client: SocketAddr,
    pub(super) sent: usize,
    /// When those were sent that were never answered.
    pub(super) unanswered: Vec<Instant>,
    /// The names of two backends that answered one after the other; when the first was last heard, and the
    /// second first.
    pub(super) moves: Vec<(String, Instant, Instant)>,
    /// An answer to what was not asked, or another one.
    pub(super) wrong: Option<String>,
}

/// How long a flow waits for an answer before it goes on, and at its end for those that are late.
const SHORT: Duration = Duration::from_millis(200);
pub(super) const LATE: Duration = Duration::from_secs(2);
/// How long a socket is used. With the second in which its session ends, there are never more of these than there
/// may be.
const LIFE: Duration = Duration::from_millis(2_500);

/// One socket after the other, until the run is over.
pub(super) fn go_on(world: &World, mut rng: Rng) {
    while !world.is_over() {
        let flow = Open::new(world).run(world, &mut rng);
        world.flows.lock().push(flow);
    }
}

/// A flow at work.
pub(super) struct Open {
    socket: UdpSocket,
    flow: Flow,
    outstanding: BTreeMap<u64, Instant>,
    heard: Option<(String, Instant)>,
}

impl Open {
    pub(super) fn new(world: &World) -> Self {
        let socket = UdpSocket::bind(world.client_address()).expect("a socket");
        // Answers of another address do not come in.
        socket.connect(world.udp).expect("a way");
        socket.set_read_timeout(Some(SHORT)).expect("a timeout");
        let flow = Flow {
            client: socket.local_addr().expect("an address"),
            sent: 0,
            unanswered: Vec::new(),
            moves: Vec::new(),
            wrong: None,
        };
        Self { socket, flow, outstanding: BTreeMap::new(), heard: None }
    }

    fn run(mut self, world: &World, rng: &mut Rng) -> Flow {
        let began = Instant::now();
        while began.elapsed() < LIFE && !world.is_over() {
            let largest = [64, 1_400, 9_000][rng.below(3) as usize];
            self.ask(rng.below(largest) as usize);
            wait::pause(Duration::from_millis(u64::from(rng.below(10))));
        }
        self.end()
    }

    /// Sends a datagram with so many bytes beside its number, and waits for the answer, for a short time.
    pub(super) fn ask(&mut self, length: usize) -> bool {
        self.flow.sent += 1;
        let number = self.flow.sent as u64;
        self.outstanding.insert(number, Instant::now());
        // Nobody may listen, says ICMP.
        let _ = self.socket.send(&datagram(number, length));
        let until = Instant::now() + SHORT;
        while self.outstanding.contains_key(&number) && Instant::now() < until {
            self.hear();
        }
        !self.outstanding.contains_key(&number)
    }

    fn hear(&mut self) {
        let mut buffer = [0; 16_384];
        let Ok(length) = self.socket.recv(&mut buffer) else { return };
        let now = Instant::now();
        let Some((name, number)) = read(&buffer[..length]) else {
            self.flow.wrong = Some(format!("an answer of {length} bytes"));
            return;
        };
        if self.outstanding.remove(&number).is_none() {
            self.flow.wrong = Some(format!("an answer to {number}, which awaits none"));
        }
        if let Some((before, last)) = self.heard.take().filter(|(before, _)| *before != name) {
            self.flow.moves.push((before, last, now));
        }
        self.heard = Some((name, now));
    }

    fn end(mut self) -> Flow {
        let until = Instant::now() + LATE;
        while !self.outstanding.is_empty() && Instant::now() < until {
            self.hear();
        }
        self.flow.unanswered = self.outstanding.into_values().collect();
        self.flow
    }
}

/// A number, and bytes that follow from it.
fn datagram(number: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; 8 + length];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Pattern::new(number).fill(&mut bytes[8..]);
    bytes
}

/// Who answers which datagram, if it is as it was sent.
fn read(answer: &[u8]) -> Option<(String, u64)> {
    let line = answer.iter().position(|byte| *byte == b'\n')?;
    let name = std::str::from_utf8(&answer[..line]).ok()?.split(' ').next()?;
    let (number, rest) = answer[line + 1..].split_first_chunk::<8>()?;
    let number = u64::from_be_bytes(*number);
    Pattern::new(number).matches(rest).then(|| (name.to_owned(), number))
}
