//! How long a connection may last, by one timer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::end::End;

/// How long a connection may last. `None` is without limit, and so is what no clock can count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Longest time in which no byte passes in either direction.
    pub idle: Option<Duration>,
    /// Longest time in which no byte passes once one direction has ended. The shorter of this and
    /// `idle` counts.
    pub half_closed: Option<Duration>,
    /// Longest time in all.
    pub total: Option<Duration>,
}

/// Tells when a limit is hit. The timer is not set anew whenever bytes pass: when it fires it looks at
/// when they last did, and waits for the rest.
#[derive(Debug)]
pub(super) struct Watch {
    limits: Limits,
    started: Instant,
    /// When bytes last passed, or a direction ended.
    last: Instant,
    half_closed: bool,
    /// None if there is no deadline.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    /// None without limits, and no clock is read then.
    pub(super) fn new(limits: Limits) -> Option<Self> {
        if limits == Limits::default() {
            return None;
        }
        let now = Instant::now();
        let mut watch = Self { limits, started: now, last: now, half_closed: false, timer: None };
        watch.arm();
        Some(watch)
    }

    /// Bytes have passed.
    pub(super) fn note_bytes(&mut self) {
        self.last = Instant::now();
    }

    /// One direction has ended.
    pub(super) fn note_half_closed(&mut self) {
        if !self.half_closed {
            self.half_closed = true;
            self.last = Instant::now();
            self.arm();
        }
    }

    /// Ready when a limit is hit.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        while let Some(timer) = &mut self.timer {
            if timer.as_mut().poll(cx).is_pending() {
                break;
            }
            match self.next() {
                Some((deadline, end)) if deadline <= Instant::now() => return Poll::Ready(end),
                _ => self.arm(),
            }
        }
        Poll::Pending
    }

    /// Which limit is hit next if nothing happens, and when.
    fn next(&self) -> Option<(Instant, End)> {
        let Limits { idle, half_closed, total } = self.limits;
        let at = |since: Instant, limit: Option<Duration>, end| {
            limit.and_then(|limit| since.checked_add(limit)).map(|at| (at, end))
        };
        let half_closed = half_closed.filter(|_| self.half_closed);
        [
            at(self.started, total, End::TooLong),
            at(self.last, idle, End::Idle),
            at(self.last, half_closed, End::HalfClosed),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    fn arm(&mut self) {
        match (self.next(), &mut self.timer) {
            (None, timer) => *timer = None,
            (Some((at, _)), Some(timer)) => timer.as_mut().reset(at),
            (Some((at, _)), timer) => *timer = Some(Box::pin(sleep_until(at))),
        }
    }
}
