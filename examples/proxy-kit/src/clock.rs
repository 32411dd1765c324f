//! The one place that reads the time.

use std::time;

use equipoise_core::{Clock, Instant};

/// A monotonic clock that starts at zero. One for the whole process.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic(time::Instant);

impl Monotonic {
    /// Starts the clock.
    #[allow(clippy::disallowed_methods, reason = "a proxy is a driver: here it reads the clock")]
    pub fn start() -> Self {
        Self(time::Instant::now())
    }
}

impl Clock for Monotonic {
    #[allow(clippy::disallowed_methods, reason = "a proxy is a driver: here it reads the clock")]
    fn now(&self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }
}

/// The wall time, in seconds since 1970: what tokens are dated by.
#[allow(clippy::disallowed_methods, reason = "a proxy is a driver: here it reads the clock")]
pub fn unix_seconds() -> u64 {
    let since = time::SystemTime::now().duration_since(time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
