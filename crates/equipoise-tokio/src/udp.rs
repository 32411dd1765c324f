//! Sessions of UDP clients: who sends from one address stays with one backend until it falls silent.
//!
//! [`Listener`] has the socket that clients send to. The first datagram of a client asks a [`Serve`] for
//! a backend, and gets a socket of its own that is connected to it, so that a backend tells clients
//! apart, and the system says when nobody listens there (ICMP port unreachable, which is
//! `ECONNREFUSED` on a connected socket, RFC 1122, 4.1.3.3). Answers leave from the listener's socket.
//!
//! # Limits
//! Sessions, what is kept for clients while they get their backend, and time: see [`UdpConfig`].
//! Nothing is lost without a trace: what is not passed on is in [`Counters`]. A session has no buffer;
//! those that read share one per thread.
//!
//! A listener on an unspecified address (`0.0.0.0`, `[::]`) lets the system choose the source of
//! answers. On a machine of several addresses, listen on each by name.

mod batch;
mod config;
mod listener;
mod session;

pub use config::{Counters, Dropped, UdpConfig};
pub use listener::Listener;
pub use session::{End, Held, Serve, Traffic, connect};
