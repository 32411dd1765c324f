//! The settings of an active check, and how long it may take with them.

use std::time::Duration;

/// What a busy machine may add to any bound: a timer that fires late, a process that waits for a core. The
/// bounds themselves are of the configuration.
pub const SLACK: Duration = Duration::from_millis(250);

/// `[health.check]`, and its bounds, reckoned here anew from the documented rule.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    /// Passes in a row that bring a backend up.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
    /// From one check of a backend that is up to the next.
    pub up: Duration,
    /// From one check to the next while a change is on its way.
    pub fast: Duration,
    /// From one check of a backend that is down to the next.
    pub down: Duration,
    /// For an answer.
    pub timeout: Duration,
}

impl Checks {
    /// By which part of itself an interval varies.
    pub const JITTER: f64 = 0.1;

    /// Quick enough for a test, and slow enough for a machine that builds something else.
    pub const QUICK: Self = Self {
        rise: 2,
        fall: 3,
        up: Duration::from_millis(150),
        fast: Duration::from_millis(100),
        down: Duration::from_millis(150),
        timeout: Duration::from_millis(100),
    };

    /// The section of a check over HTTP of this path; `more` are further lines.
    pub fn section(&self, path: &str, more: &str) -> String {
        self.asking(&format!("type = \"http\"\npath = \"{path}\"\n{more}"))
    }

    /// The section of a check that asks as these lines say.
    pub fn asking(&self, lines: &str) -> String {
        format!(
            "[health.check]\n{lines}\nrise = {}\nfall = {}\ninterval_ms = {}\n\
             fast_interval_ms = {}\ndown_interval_ms = {}\ntimeout_ms = {}\njitter = {}\n",
            self.rise,
            self.fall,
            self.up.as_millis(),
            self.fast.as_millis(),
            self.down.as_millis(),
            self.timeout.as_millis(),
            Self::JITTER,
        )
    }

    /// From its death to a backend's being down, at most:
    /// (1 + jitter) (up + (fall - 1) fast) + timeout.
    pub fn detection(&self) -> Duration {
        self.bound(self.up, self.fall)
    }

    /// From its return to a backend's being up, at most:
    /// (1 + jitter) (down + (rise - 1) fast) + timeout.
    pub fn recovery(&self) -> Duration {
        self.bound(self.down, self.rise)
    }

    /// From one transition to down to the next, at least, however often the backend goes and comes.
    pub fn shortest_cycle(&self) -> Duration {
        let steps = self.fast * (self.fall - 1) + self.down + self.fast * (self.rise - 1);
        (self.up + steps).mul_f64(1.0 - Self::JITTER)
    }

    fn bound(&self, first: Duration, answers: u32) -> Duration {
        (first + self.fast * (answers - 1)).mul_f64(1.0 + Self::JITTER) + self.timeout
    }
}
