//! UDP listeners, as an operator sees them.

use serde::Serialize;

/// A UDP listener. It counts from its start, through reloads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct UdpReport {
    /// Where it listens.
    pub address: String,
    /// Its pool.
    pub pool: String,
    /// The sessions of its clients.
    pub sessions: UdpSessions,
    /// What passes.
    pub datagrams: UdpDatagrams,
    /// What does not, by cause.
    pub dropped: UdpDropped,
}

/// The sessions of a listener's clients.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct UdpSessions {
    /// How many there are.
    pub now: usize,
    /// How many there may be.
    pub max: usize,
    /// How many there have been.
    pub opened: u64,
    /// How many have ended because both sides were silent.
    pub idle: u64,
    /// With the last of their answers.
    pub answered: u64,
    /// Because nobody listens at the backend.
    pub refused: u64,
    /// Because the backend was taken out.
    pub taken_out: u64,
    /// With the listener.
    pub stopped: u64,
}

/// Datagrams that pass.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct UdpDatagrams {
    /// Read from clients.
    pub from_clients: u64,
    /// Sent to backends.
    pub to_backends: u64,
    /// Read from backends.
    pub from_backends: u64,
    /// Sent to clients.
    pub to_clients: u64,
    /// Bytes of those that wait for a backend, with 64 for each datagram.
    pub waiting_bytes: usize,
}

/// Datagrams that were dropped.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct UdpDropped {
    /// New clients', when there were as many sessions as may be.
    pub full: u64,
    /// Those of sessions that got no backend, or ended first.
    pub unserved: u64,
    /// More than is kept while a session gets its backend.
    pub waiting: u64,
    /// The system did not take them, to backends or clients.
    pub unsent: u64,
}
