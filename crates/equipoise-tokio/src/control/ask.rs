//! One probe, in its time, at each of a backend's addresses.

use std::sync::Arc;
use std::time::Duration;

use equipoise_health::Verdict;
use tokio::time::{Instant, timeout_at};

use crate::probe::{Answer, Probe, ProbeError, Target};

/// What became of a probe.
pub(super) enum Heard {
    /// A verdict, and what went wrong if it is a failure.
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
            Err(_) => {
                let waited = Duration::from_millis((share.as_micros() as u64 + 500) / 1_000);
                let words = format!("{}: no answer in {waited:?}", probe.describe());
                Heard::Verdict(Verdict::Fail, Some(words.into()))
            }
        };
    }
    heard
}

fn words(error: &ProbeError) -> Arc<str> {
    let hint = if error.suggests_wrong_endpoint() { "; is the path right?" } else { "" };
    format!("{error}{hint}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Asking;

    #[derive(Debug)]
    struct Hangs;

    impl Probe for Hangs {
        fn probe<'a>(&'a self, _: &'a Target) -> Asking<'a> {
            Box::pin(std::future::pending())
        }

        fn describe(&self) -> String {
            "it".to_owned()
        }
    }

    /// The same words each time, or nobody could count how often the same went wrong.
    #[tokio::test(start_paused = true)]
    async fn the_time_that_was_waited_is_told_in_whole_milliseconds() {
        let (targets, time) = ([Target::new(([127, 0, 0, 1], 1).into())], 333_400);
        let heard = ask(&Hangs, &targets, Duration::from_micros(time)).await;
        let Heard::Verdict(verdict, words) = heard else {
            panic!("it was asked");
        };
        assert_eq!((verdict, words.as_deref()), (Verdict::Fail, Some("it: no answer in 333ms")));
    }
}
