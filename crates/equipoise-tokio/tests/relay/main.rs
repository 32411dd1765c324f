//! The relay, over real sockets.

mod bulk;
mod chunks;
mod ends;
mod fallback;
mod limits;
mod support;
