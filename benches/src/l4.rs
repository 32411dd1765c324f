//! The L4 proxy beside others: what a round trip, a MiB, a connection and a datagram cost each.
//!
//! One program has all the parts, each in a process of its own: [`roles`] are what it starts itself as.
//! [`turn`] starts a proxy, loads it and measures it; [`rounds`] lets the proxies take turns.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

pub mod additions;
pub mod backend;
pub mod batch;
pub mod child;
pub mod clients;
pub mod datagrams;
pub mod idle;
pub mod options;
pub mod outcome;
pub mod plain;
pub mod process;
pub mod proxies;
pub mod report;
pub mod roles;
pub mod rounds;
pub mod scenario;
pub mod sockets;
pub mod turn;
