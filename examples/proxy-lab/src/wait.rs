//! Waits for a condition, with a deadline.
#![allow(clippy::disallowed_methods, reason = "a test waits in real time")]

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::LIMIT;

/// Waits until the condition gives a value.
///
/// # Panics
/// When the time is up; names `what`.
pub fn for_some<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, what, condition)
}

/// Waits until the condition gives a value, for so long.
///
/// # Panics
/// When the time is up; names `what`.
pub fn within<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(2));
    }
}

/// Waits until the condition holds.
///
/// # Panics
/// When the time is up; names `what`.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for_some(what, || condition().then_some(()));
}

/// Lets time pass, for a test of what time itself does: never to wait for something to happen.
pub fn pause(time: Duration) {
    sleep(time);
}
