//! How many requests may be tried again.

use core::time::Duration;

use equipoise_core::Instant;

use crate::PassiveConfigError;
use crate::passive_error::{check_number, check_time};
use crate::rolling::Rolling;

/// Settings of a retry budget. The defaults are those of Finagle and of Envoy's ratio: 20 % of the
/// requests of the last 10 s, and 10 a second for those who have few requests.
///
/// Its serde form is a table of `ratio`, `min_retries_per_second` and `ttl_ms`.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Written", into = "Written"))]
pub struct RetryBudgetConfig {
    ratio: f64,
    min_retries_per_second: u32,
    ttl: Duration,
}

impl RetryBudgetConfig {
    /// Retries per request, 0 to 10; retries a second whatever the requests, 0 to 1,000,000; and
    /// for how long a request counts, 1 ms to a day.
    ///
    /// # Errors
    /// The first that is out of range, by its name.
    pub fn new(
        ratio: f64,
        min_retries_per_second: u32,
        ttl: Duration,
    ) -> Result<Self, PassiveConfigError> {
        check_number("ratio", ratio, 0.0..=10.0)?;
        let floor = f64::from(min_retries_per_second);
        check_number("min_retries_per_second", floor, 0.0..=1_000_000.0)?;
        check_time("ttl", ttl)?;
        Ok(Self { ratio, min_retries_per_second, ttl })
    }
}

impl Default for RetryBudgetConfig {
    fn default() -> Self {
        Self { ratio: 0.2, min_retries_per_second: 10, ttl: Duration::from_secs(10) }
    }
}

/// A budget of retries: a part of the recent requests, and a floor.
///
/// Without one, retries multiply the load just when it is too much: three tries each are three
/// times the requests, at the moment at which all of them fail, and nothing recovers. With one they
/// can't (Finagle's `RetryBudget`, tower's `Budget`, Envoy's `retry_budget`).
///
/// A retry is counted when it is decided, before it is in flight, so a burst of failures at once
/// can't spend the same budget twice (Envoy #30205).
///
/// # The bound
/// In the rolling window of one `ttl`, at every [`try_withdraw`](Self::try_withdraw) that succeeds,
/// `retries <= ratio * requests + min_retries_per_second * ttl`. So over any time, `retries <= ratio
/// * requests + min_retries_per_second * (seconds + 1.1 ttl)`, where `requests` are those of the time
/// and of one `ttl` before it: the whole floor of a `ttl` may be spent at once.
///
/// Each verb is O(1) and allocates nothing. About 150 bytes.
///
/// ```
/// use core::time::Duration;
/// use equipoise_core::Instant;
/// use equipoise_health::{RetryBudget, RetryBudgetConfig};
///
/// let config = RetryBudgetConfig::new(0.2, 0, Duration::from_secs(10))?;
/// let mut budget = RetryBudget::new(config);
/// for _ in 0..10 {
///     budget.deposit(Instant::ZERO);
/// }
/// assert!(budget.try_withdraw(Instant::ZERO));
/// assert!(budget.try_withdraw(Instant::ZERO));
/// assert!(!budget.try_withdraw(Instant::ZERO));
/// # Ok::<(), equipoise_health::PassiveConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget {
    config: RetryBudgetConfig,
    recent: Rolling,
}

impl RetryBudget {
    /// A budget that saw no request yet: it has its floor.
    pub const fn new(config: RetryBudgetConfig) -> Self {
        Self { config, recent: Rolling::new() }
    }

    /// A request begins: its first try, not a retry.
    pub fn deposit(&mut self, now: Instant) {
        self.recent.roll(now, self.config.ttl);
        self.recent.add([1, 0]);
    }

    /// Whether one more retry may be made; if so, it is counted.
    pub fn try_withdraw(&mut self, now: Instant) -> bool {
        self.recent.roll(now, self.config.ttl);
        let [requests, retries] = self.recent.sums();
        let floor = f64::from(self.config.min_retries_per_second) * self.config.ttl.as_secs_f64();
        // What is a whole number in decimal may be a bit less in binary: 0.2 * 5 must give one.
        let allowed = self.config.ratio * requests as f64 + floor + ROUNDING;
        let may = retries as f64 + 1.0 <= allowed;
        if may {
            self.recent.add([0, 1]);
        }
        may
    }
}

const ROUNDING: f64 = 1e-6;

/// The written form, before it is checked.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    ratio: f64,
    min_retries_per_second: u32,
    #[serde(rename = "ttl_ms", with = "crate::passive_error::millis")]
    ttl: Duration,
}

#[cfg(feature = "serde")]
impl Default for Written {
    fn default() -> Self {
        RetryBudgetConfig::default().into()
    }
}

#[cfg(feature = "serde")]
impl From<RetryBudgetConfig> for Written {
    fn from(config: RetryBudgetConfig) -> Self {
        let RetryBudgetConfig { ratio, min_retries_per_second, ttl } = config;
        Self { ratio, min_retries_per_second, ttl }
    }
}

#[cfg(feature = "serde")]
impl TryFrom<Written> for RetryBudgetConfig {
    type Error = PassiveConfigError;

    fn try_from(written: Written) -> Result<Self, PassiveConfigError> {
        Self::new(written.ratio, written.min_retries_per_second, written.ttl)
    }
}
