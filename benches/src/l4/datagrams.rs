//! Flows of datagrams, each with so many on the way.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::l4::batch::{BATCH, Batch};
use crate::l4::outcome::{Meter, Outcome};
use crate::l4::sockets::flow;

/// The length of a datagram.
pub const DATAGRAM: usize = 200;
/// What has not come back after so long is lost.
const LOST: Duration = Duration::from_millis(200);

struct Flow {
    socket: UdpSocket,
    under_way: usize,
    heard: Instant,
}

impl Flow {
    /// Sends until there are as many under way as there may be.
    fn fill(&mut self, batch: &mut Batch, window: usize, start: Instant) {
        let mut datagram = [0; DATAGRAM];
        // Each says when it was sent.
        let now = start.elapsed().as_nanos() as u64;
        datagram[..8].copy_from_slice(&now.to_be_bytes());
        // Refused, while a backend is down, or a full buffer: they count as lost later.
        let missing = window.saturating_sub(self.under_way);
        let _ = batch.send(&self.socket, &datagram, missing);
        self.under_way = window.max(self.under_way);
    }

    /// Reads what is there.
    fn read(&mut self, batch: &mut Batch, start: Instant, meter: &mut Meter) {
        // What a refused one is told, too, is an error of one call.
        while let Ok(count) = batch.read(&self.socket) {
            self.heard = Instant::now();
            let now = self.heard - start;
            for datagram in batch.datagrams().filter(|datagram| datagram.len() == DATAGRAM) {
                let sent: [u8; 8] = std::array::from_fn(|i| datagram[i]);
                meter.done(now.saturating_sub(Duration::from_nanos(u64::from_be_bytes(sent))));
            }
            self.under_way = self.under_way.saturating_sub(count);
            if count < BATCH {
                return;
            }
        }
    }
}

/// So many flows with so many datagrams under way each, until the meter's time is over.
///
/// # Errors
/// Of the system, when a socket can't be made.
pub fn load(
    target: SocketAddr,
    flows: usize,
    window: usize,
    mut meter: Meter,
) -> io::Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(flows.max(1));
    let mut batch = Batch::default();
    let start = Instant::now();
    let mut all = Vec::new();
    for index in 0..flows {
        let mut socket = flow(target, index)?;
        poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
        let mut flow = Flow { socket, under_way: 0, heard: start };
        flow.fill(&mut batch, window, start);
        all.push(flow);
    }
    loop {
        let now = Instant::now();
        if meter.is_over(now) {
            return Ok(meter.outcome());
        }
        for flow in all.iter_mut().filter(|flow| now.saturating_duration_since(flow.heard) > LOST) {
            meter.failed(flow.under_way as u64);
            (flow.under_way, flow.heard) = (0, now);
            flow.fill(&mut batch, window, start);
        }
        poll.poll(&mut events, Some(LOST / 10))?;
        for event in &events {
            let flow = &mut all[event.token().0];
            flow.read(&mut batch, start, &mut meter);
            flow.fill(&mut batch, window, start);
        }
    }
}
