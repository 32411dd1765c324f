//! How a backend stands, in words.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::time::Duration;

use equipoise_core::{Admin, BackendId, Drain, Finding, Health, Instant, Passive, Share};

use super::Monitor;
use super::member::Member;
use crate::{Check, CheckConfig, Progress};

/// How a backend stands, for a person.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// In a word.
    pub state: State,
    /// In a sentence: the state, why, and what comes next.
    pub reason: String,
    /// What is in effect; in panic that is not what its health says.
    pub finding: Finding,
}

/// A backend's state: what weighs most.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum State {
    /// It serves.
    Up,
    /// Its first checks have not decided.
    Pending,
    /// Its check fails.
    Down,
    /// Its traffic failed.
    Ejected,
    /// It was ejected, and may show that it works again.
    Trial,
    /// It takes no new sessions.
    Draining,
    /// It has drained as long as it may: nothing goes there.
    Drained,
    /// It is out of service.
    Disabled,
}

impl State {
    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Pending => "pending",
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Trial => "trial",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Monitor {
    /// How a backend stands; `None` if it is not there.
    pub fn report(&self, now: Instant, id: BackendId) -> Option<Report> {
        let member = self.members.get(&id)?;
        let (state, mut reason) = self.state(now, member);
        let overruled = matches!(state, State::Down | State::Ejected | State::Trial)
            && self.looks_away(member.last_good);
        if overruled {
            let mode = self.config.panic.mode();
            reason += &format!("; requests go there all the same: panic ({mode})");
        }
        Some(Report { state, reason, finding: member.published })
    }

    fn state(&self, now: Instant, member: &Member) -> (State, String) {
        let condition = member.condition();
        match (condition.admin, condition.health, condition.passive) {
            (Admin::Disabled, ..) => (State::Disabled, "disabled by the operator".to_string()),
            (_, Health::Down, _) => (State::Down, self.checked(member)),
            (_, Health::Pending, _) => (State::Pending, self.checked(member)),
            (_, _, Passive::Ejected) => {
                let until = member.ejection.deadline().unwrap_or(now);
                let time = Rounded(until.since(member.ejected_at));
                let left = Rounded(until.since(now));
                let cause = cause(member);
                (State::Ejected, format!("ejected for {time}: {cause}; back in {left}"))
            }
            (_, _, Passive::Trial) => {
                let cause = cause(member);
                (
                    State::Trial,
                    format!("on trial, one request at a time: it was ejected for {cause}"),
                )
            }
            _ if member.drained => {
                let limit = Rounded(self.config.drain_limit.unwrap_or_default());
                (
                    State::Drained,
                    format!("drained for {limit}, which is all it may: its sessions go elsewhere"),
                )
            }
            (Admin::Draining, ..) => {
                (State::Draining, "draining: the operator wants it".to_string())
            }
            _ if member.operator.drain => {
                (State::Draining, "draining: whoever announced it wants it".to_string())
            }
            _ if condition.drain == Drain::Wanted => {
                (State::Draining, "draining: its check says so".to_string())
            }
            _ if condition.weight.get() == 0 => {
                (State::Draining, "weight 0: no new requests".to_string())
            }
            _ => {
                let mut words = self.checked(member);
                let share = member.published.share;
                if share != Share::FULL {
                    let percent = (share.get() * 100.0 + 0.5) as u32;
                    words += &format!("; slow start: {percent} % of its weight");
                }
                (State::Up, words)
            }
        }
    }

    /// What the active check knows.
    fn checked(&self, member: &Member) -> String {
        let (Some(config), Some(check)) = (&self.config.check, &member.check) else {
            return "up".to_string();
        };
        words(config, check, member)
    }
}

fn words(config: &CheckConfig, check: &Check, member: &Member) -> String {
    let progress = check.progress(config);
    match progress {
        Progress::Up { failures: 0, .. } => "up".to_string(),
        Progress::Up { .. } => format!("up: {}; {progress}", Failing(member)),
        Progress::Down { passes: 0, .. } if member.failures == 0 => {
            format!("down until its checks pass; {progress}")
        }
        Progress::Down { passes: 0, .. } => format!("down: {}", Failing(member)),
        Progress::Down { .. } => format!("{progress}; before: {}", Failing(member)),
        Progress::Pending { failures: 0, .. } => "pending: not checked yet".to_string(),
        Progress::Pending { .. } => format!("pending: {}; {progress}", Failing(member)),
    }
}

fn cause(member: &Member) -> String {
    member.ejection.cause().map(|cause| cause.to_string()).unwrap_or_default()
}

/// What its check says, and how often.
struct Failing<'a>(&'a Member);

impl fmt::Display for Failing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = self.0.failure.as_deref().unwrap_or("no answer in time");
        // A hint, after a semicolon, stays at the end.
        let (what, hint) = failure.split_once("; ").map_or((failure, None), |(w, h)| (w, Some(h)));
        f.write_str(what)?;
        const WORDS: [&str; 13] = [
            "", "", "twice", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
            "eleven", "twelve",
        ];
        match self.0.failures {
            0 | 1 => {}
            2 => write!(f, " twice")?,
            n => match WORDS.get(n as usize) {
                Some(word) => write!(f, " {word} times")?,
                None => write!(f, " {n} times")?,
            },
        }
        hint.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// A time as a person wants it: whole seconds, or milliseconds where it is short.
pub(super) struct Rounded(pub(super) Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis < 950 {
            write!(f, "{millis} ms")
        } else {
            write!(f, "{} s", (millis + 500) / 1000)
        }
    }
}
