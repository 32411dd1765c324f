//! Drivers for Equipoise on tokio: the only library crate that does I/O and reads a clock.
//!
//! # Who needs this crate
//! Whoever has a pool on tokio and wants it to know who its backends are and which of them are well.
//! On another runtime, drive `equipoise_health::Monitor` yourself.
//!
//! # What is in it
//! | module | what it does |
//! |---|---|
//! | [`control`] | the control task: a [`Controller`](control::Controller) owns a pool, has it probed, hears what came of requests, ejects, and tells an [`Observer`](control::Observer) |
//! | [`probe`] | asks one backend once, and says in words what is wrong; [`Probe`](probe::Probe) is the trait for one of yours |
//! | [`discovery`] | who the backends are, from a list, a file or DNS; [`Discover`](discovery::Discover) is the trait for a source of yours |
//! | [`socket`] | stream sockets, TCP or Unix, and where they are |
//! | [`queue`] | requests that find every backend full wait in a [`WaitQueue`](queue::WaitQueue), first come first served |
//! | `relay` | bytes between two connections, on Linux without entering user space; feature `relay` |
//! | `sessions` | sessions that several balancers share through Redis or Valkey; feature `redis` |
//! | `proxy_protocol` | who the client is, from one proxy to the next: the PROXY protocol; feature `proxy-protocol` |
//! | `udp` | UDP clients, each with a backend until it falls silent; feature `udp` |
//!
//! What a backend or a name server sends is read within bounds of size, and whoever waits for it sets
//! a bound of time. Dropping a future ends what it does.
//!
//! # Features
//! All are off by default: what you don't ask for is not compiled.
//!
//! | feature | what it adds |
//! |---|---|
//! | `http` | HTTP/1.1 probes, and conditions on the body: a text, a regular expression, a JSON field |
//! | `http2` | HTTP/2 for them |
//! | `tls` | TLS probes, and TLS under the others, by rustls |
//! | `grpc` | the probe of gRPC's health service |
//! | `script` | the probe by a script: send these bytes, expect those |
//! | `dns` | discovery by A, AAAA and SRV records |
//! | `relay` | the relay of bytes between two connections |
//! | `redis` | sessions that balancers share through Redis or Valkey |
//! | `proxy-protocol` | the PROXY protocol, versions 1 and 2, read and written |
//! | `udp` | sessions of UDP clients |

pub mod control;
pub mod discovery;
#[cfg(any(
    feature = "http",
    feature = "tls",
    feature = "grpc",
    feature = "script",
    feature = "redis"
))]
mod excerpt;
pub mod probe;
#[cfg(feature = "proxy-protocol")]
pub mod proxy_protocol;
pub mod queue;
#[cfg(feature = "relay")]
pub mod relay;
#[cfg(feature = "redis")]
pub mod sessions;
pub mod socket;
#[cfg(feature = "udp")]
pub mod udp;

/// The code of the README runs.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
