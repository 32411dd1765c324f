//! One probe, in its time, at each of a backend's addresses.

use std::sync::Arc;
use std::time::Duration;

use equipoise_health::Verdict;
use tokio::time::{Instant, timeout_at};

use crate::probe::{Answer, Probe, ProbeError, Target};

/// What became of a probe.
pub(super) enum Heard {
    /// A verdict, and what went wrong if it is a failure; `None`: no answer in time.
    Verdict(Verdict, Option<Arc<str>>),
    /// This machine could not ask.
    NotAsked,
}

/// Asks the targets in turn until one passes: they are the addresses of one backend. Each may take an
/// equal part of the time that is left.
pub(super) async fn ask(probe: &dyn Probe, targets: &[Target], time: Duration) -> Heard {
    let end = Instant::now() + time;
    let mut heard = Heard::Verdict(Verdict::Fail, Some("no address to ask".into()));
    for (target, left) in targets.iter().zip((1..=targets.len() as u32).rev()) {
        let now = Instant::now();
        let share = end.saturating_duration_since(now) / left;
        let answer = timeout_at(now + share, probe.probe(target)).await;
        heard = match answer {
            Ok(Ok(Answer::Pass)) => return Heard::Verdict(Verdict::Pass, None),
            Ok(Ok(Answer::Drain)) => return Heard::Verdict(Verdict::Drain, None),
            Ok(Err(error)) if error.is_local() => Heard::NotAsked,
            Ok(Err(error)) => Heard::Verdict(Verdict::Fail, Some(words(&error))),
            // The monitor may have been first to say so, and does it in the same words.
            Err(_) => Heard::Verdict(Verdict::Fail, None),
        };
    }
    heard
}

fn words(error: &ProbeError) -> Arc<str> {
    let hint = if error.suggests_wrong_endpoint() { "; is the path right?" } else { "" };
    format!("{error}{hint}").into()
}
