//! Outlier detection: which backends fail where others do not, and for how long to leave them out.
//!
//! Four parts, each a value without a clock:
//! * the detectors: [`on_runs`] hears of failures in a row as they come, a [`Sweeper`] compares the
//!   [`Tally`](equipoise_core::Tally) of every backend at the end of each interval;
//! * the limit: [`may_eject`] says whether one more may go;
//! * a [`Guard`] lets go of ejection altogether, where failing is general;
//! * an [`Ejection`] for each backend, which says how long it stays out and how it comes back.
//!
//! The rules are those of [gRFC A50] and of [Envoy]'s outlier detection. What is different here, and why:
//!
//! | rule | there | here |
//! |---|---|---|
//! | the limit | one backend always goes; counted before the ejection (Envoy #3263, #27066) | strict: counted after it |
//! | the last backend | goes too (Envoy #17504) | never, unless [`may_eject_last`](OutlierBuilder::may_eject_last) asks |
//! | who goes first at the limit | the first in the list | the worst |
//! | the way back | at once, with all its traffic | by one request at a time until one goes well |
//! | the base time | 30 s, since trying costs many requests | 1 s, since a trial costs one |
//! | success rate | any distance below the others | at least [`success_rate_min_gap`](OutlierBuilder::success_rate_min_gap) |
//! | all fail | ejects up to the limit | the [`Guard`] lets all in |
//! | slow backends | not detected | [`latency_factor`](OutlierBuilder::latency_factor), by median and MAD |
//!
//! ```
//! use equipoise_core::{Instant, Passive, Rng, Runs};
//! use equipoise_health::outlier::{self, Ejection, OutlierConfig};
//!
//! let config = OutlierConfig::default();
//! let (mut rng, mut ejection) = (Rng::seeded(1), Ejection::new());
//!
//! // Five times 502 in a row, from one of four backends of which none is out.
//! let runs = Runs { failures: 5, gateway: 5, local: 0, code: 502 };
//! let cause = outlier::on_runs(&config, &runs).ok_or("not enough")?;
//! assert!(outlier::may_eject(&config, 0, 4));
//! ejection.eject(&config, Instant::ZERO, cause, &mut rng);
//! assert_eq!(ejection.passive(), Passive::Ejected);
//! assert_eq!(cause.to_string(), "5 consecutive 502");
//!
//! // Its time is up: it may show with one request that it works again, and does.
//! let later = ejection.deadline().ok_or("an ejection ends")?;
//! ejection.poll(&config, later);
//! assert_eq!(ejection.passive(), Passive::Trial);
//! ejection.on_trial(&config, later, true, &mut rng);
//! assert_eq!(ejection.passive(), Passive::Clear);
//! # Ok::<(), &str>(())
//! ```
//!
//! [gRFC A50]: https://github.com/grpc/proposal/blob/master/A50-xds-outlier-detection.md
//! [Envoy]: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier

mod cause;
mod config;
mod ejection;
mod guard;
mod sweep;

pub use cause::{EjectionCause, Origin, on_runs};
pub use config::{OutlierBuilder, OutlierConfig, Recovery, may_eject};
pub use ejection::{Ejection, EjectionChange};
pub use guard::Guard;
pub use sweep::{Host, Sweeper};
