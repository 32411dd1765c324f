//! The settings of shared sessions.

use std::time::Duration;

use equipoise_health::BreakerConfig;

use super::error::SessionsError;

/// When the store hears of a pin.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum WriteMode {
    /// Before the request goes on: it waits for the store, within the time limit, and follows
    /// whoever was first.
    #[default]
    Through,
    /// Afterwards: the request goes on at once, and a task writes. Two balancers that pin the same
    /// session at the same moment disagree until both have written.
    Behind,
}

/// Settings of shared sessions that were checked.
///
/// ```
/// use core::time::Duration;
/// use equipoise_tokio::sessions::{SharedConfig, WriteMode};
///
/// let config = SharedConfig::builder().mode(WriteMode::Behind).build()?;
/// let refused = SharedConfig::builder().time_limit(Duration::ZERO).build().unwrap_err();
/// assert_eq!(refused.to_string(), "time_limit: `0ns` is not allowed; allowed is 1 ms to 10 s");
/// # let _ = config;
/// # Ok::<(), equipoise_tokio::sessions::SessionsError>(())
/// ```
#[derive(Clone, PartialEq, Default, Debug)]
pub struct SharedConfig(SharedBuilder);

impl SharedConfig {
    /// Starts from the defaults.
    pub fn builder() -> SharedBuilder {
        SharedBuilder::default()
    }

    pub(super) fn settings(&self) -> &SharedBuilder {
        &self.0
    }
}

/// Settings of shared sessions that were not checked yet.
#[derive(Clone, PartialEq, Debug)]
#[must_use = "settings do nothing until they are built"]
pub struct SharedBuilder {
    pub(super) mode: WriteMode,
    pub(super) trust: Duration,
    pub(super) time_limit: Duration,
    pub(super) batch_limit: Duration,
    pub(super) gather: Duration,
    pub(super) queue: usize,
    pub(super) breaker: BreakerConfig,
}

impl Default for SharedBuilder {
    fn default() -> Self {
        // It asks again soon: the task that does so holds up no request.
        let breaker = BreakerConfig::builder()
            .consecutive(3)
            .open_time(Duration::from_millis(200))
            .max_open_time(Duration::from_secs(5))
            .max_in_flight(1_024)
            .build()
            .unwrap_or_default();
        Self {
            mode: WriteMode::Through,
            trust: Duration::from_secs(1),
            time_limit: Duration::from_millis(50),
            batch_limit: Duration::from_secs(1),
            gather: Duration::from_millis(2),
            queue: 100_000,
            breaker,
        }
    }
}

impl SharedBuilder {
    /// When the store hears of a pin. Default [`WriteMode::Through`].
    pub const fn mode(mut self, mode: WriteMode) -> Self {
        self.mode = mode;
        self
    }

    /// For how long a balancer goes by what it heard last, without asking: 0 to an hour, in whole
    /// milliseconds. So long a re-pin that another balancer made may go unseen. Default 1 s.
    pub const fn trust(mut self, trust: Duration) -> Self {
        self.trust = trust;
        self
    }

    /// How long a request waits for the store at most, 1 ms to 10 s. Default 50 ms.
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// How long the task waits for the store at most, connecting included, when it tries one that
    /// was down or writes what is queued: 1 ms to a minute. Default 1 s.
    pub const fn batch_limit(mut self, limit: Duration) -> Self {
        self.batch_limit = limit;
        self
    }

    /// How long a queued write waits for others to travel with, 0 to 10 s. Default 2 ms.
    pub const fn gather(mut self, time: Duration) -> Self {
        self.gather = time;
        self
    }

    /// How many writes may be queued, 1 to 10,000,000; each costs about 150 bytes. When there are
    /// more, the oldest are dropped. Default 100,000.
    pub const fn queue(mut self, writes: usize) -> Self {
        self.queue = writes;
        self
    }

    /// When the store counts as down, and when it is tried again. Its cap is on how many requests
    /// may wait for the store at a time; those beyond it go by what this balancer knows. Default:
    /// 3 failures in a row, or half of 20 within 10 s; tried after 200 ms, up to 5 s, with a jitter
    /// of 20 %; 1,024 at a time.
    pub const fn breaker(mut self, breaker: BreakerConfig) -> Self {
        self.breaker = breaker;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first that is out of range, by its name.
    pub fn build(self) -> Result<SharedConfig, SessionsError> {
        let ms = Duration::from_millis;
        let times = [
            ("trust", self.trust, 0, 3_600_000, "0 to an hour"),
            ("time_limit", self.time_limit, 1, 10_000, "1 ms to 10 s"),
            ("batch_limit", self.batch_limit, 1, 60_000, "1 ms to a minute"),
            ("gather", self.gather, 0, 10_000, "0 to 10 s"),
        ];
        for (field, given, min, max, allowed) in times {
            if !(ms(min)..=ms(max)).contains(&given) {
                return Err(SessionsError::Setting { field, given: format!("{given:?}"), allowed });
            }
        }
        if !(1..=10_000_000).contains(&self.queue) {
            let (given, allowed) = (self.queue.to_string(), "1 to 10000000");
            return Err(SessionsError::Setting { field: "queue", given, allowed });
        }
        Ok(SharedConfig(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let b = SharedConfig::builder;
        assert_eq!(b().build(), Ok(SharedConfig::default()));
        let (day, zero) = (Duration::from_secs(86_400), Duration::ZERO);
        for (builder, field) in [
            (b().trust(day), "trust"),
            (b().time_limit(zero), "time_limit"),
            (b().time_limit(day), "time_limit"),
            (b().batch_limit(zero), "batch_limit"),
            (b().batch_limit(day), "batch_limit"),
            (b().gather(day), "gather"),
            (b().queue(0), "queue"),
            (b().queue(10_000_001), "queue"),
        ] {
            let error = builder.build().expect_err(field).to_string();
            assert!(error.starts_with(&format!("{field}: ")), "{error}");
        }
    }
}
