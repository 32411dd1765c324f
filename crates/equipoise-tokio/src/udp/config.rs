//! The limits of UDP sessions.

use std::num::NonZeroU32;
use std::time::Duration;

/// The limits of a listener's sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpConfig {
    /// A session ends when neither side has sent anything for so long. 60 s by default.
    pub idle: Duration,
    /// As many sessions as there may be over all listeners that share
    /// [`Counters`](super::Counters): 10,000 by default.
    /// Each has a file descriptor. When it is reached, datagrams of new clients are dropped; no session
    /// that lives makes way.
    pub max_sessions: usize,
    /// A session ends when each of the client's datagrams has so many answers, as with nginx's `proxy_responses`: 1 suits DNS. `None`, the
    /// default, ends none for that.
    pub responses: Option<NonZeroU32>,
}

impl Default for UdpConfig {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), max_sessions: 10_000, responses: None }
    }
}
