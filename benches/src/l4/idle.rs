//! Connections on which nothing happens.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::l4::clients::MESSAGE;
use crate::l4::outcome::Outcome;
use crate::l4::sockets::connect;

/// Opens so many, each with one round trip; then they stay open until `until` returns.
///
/// # Errors
/// Of the system. Connections that could not be made, or had no answer within 10 s in all, are counted.
pub fn hold(target: SocketAddr, connections: usize, until: impl FnOnce(Outcome)) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let start = Instant::now();
    let mut streams = Vec::with_capacity(connections);
    let (mut errors, mut answered) = (0, 0);
    let mut opened = 0;
    let deadline = start + Duration::from_secs(10);
    while answered + errors < connections && Instant::now() < deadline {
        // Some at a time, so that no queue of a listener overflows.
        while opened < connections && opened - answered - errors < 64 {
            opened += 1;
            match connect(target, opened) {
                Ok(mut stream) => {
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(streams.len()), both)?;
                    streams.push((Some(stream), MESSAGE, true));
                }
                Err(_) => errors += 1,
            }
        }
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            let (slot, left, is_due) = &mut streams[event.token().0];
            let Some(stream) = slot else { continue };
            let mut turn = || {
                if *is_due && event.is_writable() {
                    stream.write_all(&[b'e'; MESSAGE])?;
                    *is_due = false;
                }
                stream.read(&mut [0; MESSAGE])
            };
            match turn() {
                Ok(n) if n > 0 => {
                    *left = left.saturating_sub(n);
                    answered += usize::from(*left == 0);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => {
                    errors += 1;
                    *slot = None;
                }
            }
        }
    }
    let errors = (connections - answered) as u64;
    let seconds = start.elapsed().as_secs_f64();
    until(Outcome { count: answered as f64, seconds, errors, ..Outcome::default() });
    Ok(())
}
