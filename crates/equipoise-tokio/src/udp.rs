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
//! # Trains
//! On Linux up to 32 pieces are read by one system call (`recvmmsg`), each a datagram or several of one
//! size that came together (`UDP_GRO`). Those of one flow and size leave by one call, as a train
//! that the system cuts (`UDP_SEGMENT`; udp(7)). A way that does not take trains, because its packets
//! are smaller or the card can't cut, gets each datagram by itself.
//!
//! # All addresses
//! On Linux the answers of a listener on an unspecified address (`0.0.0.0`, `[::]`) leave from the
//! address that the client has sent to (`IP_PKTINFO`, ip(7); `IPV6_PKTINFO`, RFC 3542), and a client
//! that sends to two addresses has two sessions. A broadcast is answered from the address of the
//! interface, a multicast on IPv6 from one that the system chooses. Elsewhere the system chooses always:
//! listen on each address by name.

mod batch;
mod config;
mod counters;
mod listener;
mod session;
mod way;

pub use config::UdpConfig;
pub use counters::{Counters, Dropped};
pub use listener::Listener;
pub use session::{End, Held, Serve, Traffic, connect};
