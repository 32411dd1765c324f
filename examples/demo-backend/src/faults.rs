//! What is broken at the moment.

use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::watch;
use tokio::time::timeout;

/// What can be broken, each by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// The answers of the application: `/`, `/orders` and the login app.
    Application,
    /// The answer of `/health`.
    Health,
    /// The answer of `/ready`.
    Ready,
    /// The database itself.
    Database,
}

/// All parts.
pub(crate) const PARTS: [Part; 4] = [Part::Application, Part::Health, Part::Ready, Part::Database];

/// How it is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The answer has this status.
    Status(StatusCode),
    /// The answer comes so much later.
    Slow(Duration),
    /// No answer comes.
    Hang,
    /// The connection is reset.
    Reset,
    /// Bytes come that are not HTTP.
    Garbage,
    /// It is gone: the database, or the readiness.
    Gone,
}

/// Tells one breaking from the next, so that the end of the first does not mend the second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Serial(u64);

/// The switches. Whoever waits because of one of them is woken when it is mended.
#[derive(Debug)]
pub(crate) struct Faults(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    last: Serial,
    broken: [Option<(Serial, Fault)>; PARTS.len()],
}

impl Faults {
    /// Nothing is broken.
    pub(crate) fn none() -> Self {
        Self(watch::Sender::default())
    }

    /// Breaks a part, however it was broken before.
    pub(crate) fn set(&self, part: Part, fault: Fault) -> Serial {
        let mut serial = Serial::default();
        self.0.send_modify(|state| {
            state.last.0 += 1;
            serial = state.last;
            state.broken[part as usize] = Some((serial, fault));
        });
        serial
    }

    /// Mends a part.
    pub(crate) fn clear(&self, part: Part) {
        self.0.send_modify(|state| state.broken[part as usize] = None);
    }

    /// Whether a part is still broken by that.
    pub(crate) fn is(&self, part: Part, serial: Serial) -> bool {
        self.0.borrow().broken[part as usize].is_some_and(|(current, _)| current == serial)
    }

    /// How a part is broken.
    pub(crate) fn of(&self, part: Part) -> Option<Fault> {
        self.0.borrow().broken[part as usize].map(|(_, fault)| fault)
    }

    /// Sits out a fault that takes time, and gives one that does not.
    pub(crate) async fn strike(&self, part: Part) -> Option<Fault> {
        loop {
            match self.of(part)? {
                Fault::Slow(time) => {
                    let _ = timeout(time, self.until_not(part, Fault::Slow(time))).await;
                    return None;
                }
                Fault::Hang => self.until_not(part, Fault::Hang).await,
                fault => return Some(fault),
            }
        }
    }

    async fn until_not(&self, part: Part, fault: Fault) {
        let changed = |state: &State| state.broken[part as usize].map(|(_, f)| f) != Some(fault);
        // The sender lives as long as we do.
        let _ = self.0.subscribe().wait_for(changed).await;
    }
}
