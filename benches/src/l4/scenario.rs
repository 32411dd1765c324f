//! What is measured, of all proxies.

use crate::l4::clients::Work;
use crate::l4::roles::Load;

/// One thing to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// A message and its echo over connections that stay.
    Ping,
    /// Bytes without end, from the backends.
    Bulk,
    /// A connection for each message.
    Connect,
    /// Datagrams and their echo.
    Udp,
    /// Connections on which nothing happens.
    Idle,
    /// As `Connect`, while one of three backends is dead for two seconds.
    Kill,
}

impl Scenario {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Ping, Self::Bulk, Self::Connect, Self::Udp, Self::Idle, Self::Kill];

    /// What the command line calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Bulk => "bulk",
            Self::Connect => "connect",
            Self::Udp => "udp",
            Self::Idle => "idle",
            Self::Kill => "kill",
        }
    }

    /// The heading of its table.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Ping => "Ping-pong: 64 connections, 128 B",
            Self::Bulk => "Bulk: 4 connections, backend to client",
            Self::Connect => "New connection and one round trip of 128 B, 64 at a time",
            Self::Udp => "UDP: 16 flows, 16 datagrams of 200 B in flight each",
            Self::Idle => "Idle connections",
            Self::Kill => {
                "One of three backends is killed for two seconds: new connections, 32 at a time"
            }
        }
    }

    /// One operation.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Ping | Self::Udp => "round trip",
            Self::Bulk => "MiB",
            Self::Connect | Self::Idle | Self::Kill => "connection",
        }
    }

    /// What drives it; `idle` is how many connections there can be.
    pub const fn load(self, idle: usize) -> Load {
        match self {
            Self::Ping => Load::Clients(Work::RoundTrips, 64),
            Self::Bulk => Load::Clients(Work::Bulk, 4),
            Self::Connect => Load::Clients(Work::Connections, 64),
            Self::Udp => Load::Datagrams(16, 16),
            Self::Idle => Load::Idle(idle),
            Self::Kill => Load::Clients(Work::Connections, 32),
        }
    }

    /// What ours is held against.
    pub const fn target(self) -> Target {
        match self {
            Self::Ping => Target::Best(1.0),
            Self::Bulk => Target::Best(0.7),
            Self::Connect => Target::Best(0.9),
            Self::Udp => Target::Best(0.8),
            Self::Idle => Target::Kibibytes(4.0),
            Self::Kill => Target::Errors(1),
        }
    }
}

/// A bound on ours.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Target {
    /// At most so many times the CPU time of the best peer.
    Best(f64),
    /// At most so many KiB a connection.
    Kibibytes(f64),
    /// At most so many errors in a run.
    Errors(u64),
}
