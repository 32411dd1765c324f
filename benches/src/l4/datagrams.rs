//! Flows of datagrams, each with so many on the way.

use std::collections::VecDeque;
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
const LOST: Duration = Duration::from_millis(50);

struct Flow {
    socket: UdpSocket,
    /// When some were sent, in nanoseconds, and how many of them are not back.
    under_way: VecDeque<(u64, usize)>,
}

impl Flow {
    /// Sends until there are as many under way as there may be.
    fn fill(&mut self, batch: &mut Batch, window: usize, now: u64) {
        let missing = window.saturating_sub(self.under_way.iter().map(|(_, count)| count).sum());
        if missing == 0 {
            return;
        }
        let mut datagram = [0; DATAGRAM];
        // Each says when it was sent.
        datagram[..8].copy_from_slice(&now.to_be_bytes());
        // What is refused, or meets a full buffer, is tried again.
        if let Ok(sent @ 1..) = batch.send(&self.socket, &datagram, missing) {
            self.under_way.push_back((now, sent));
        }
    }

    /// Reads what is there.
    fn read(&mut self, batch: &mut Batch, start: Instant, meter: &mut Meter) {
        while let Ok(count) = batch.read(&self.socket) {
            let now = nanos(start);
            for datagram in batch.datagrams().filter(|datagram| datagram.len() == DATAGRAM) {
                let sent = u64::from_be_bytes(std::array::from_fn(|i| datagram[i]));
                // What has been given up counts as lost already.
                let known = self.under_way.iter_mut().find(|(at, count)| *at == sent && *count > 0);
                if let Some((_, left)) = known {
                    *left -= 1;
                    meter.done(Duration::from_nanos(now - sent));
                }
            }
            if count < BATCH {
                break;
            }
        }
        self.under_way.retain(|&(_, left)| left > 0);
    }

    /// Gives up what has been under way for too long: how many datagrams.
    fn lost(&mut self, now: u64) -> usize {
        let mut lost = 0;
        let too_long = LOST.as_nanos() as u64;
        while let Some(&(_, left)) = self.under_way.front().filter(|(at, _)| now - at > too_long) {
            lost += left;
            self.under_way.pop_front();
        }
        lost
    }
}

fn nanos(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
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
        all.push(Flow { socket, under_way: VecDeque::new() });
    }
    while !meter.is_over(Instant::now()) {
        for flow in &mut all {
            let now = nanos(start);
            meter.failed(flow.lost(now) as u64);
            flow.fill(&mut batch, window, now);
        }
        poll.poll(&mut events, Some(LOST / 10))?;
        for event in &events {
            all[event.token().0].read(&mut batch, start, &mut meter);
        }
    }
    Ok(meter.outcome())
}
