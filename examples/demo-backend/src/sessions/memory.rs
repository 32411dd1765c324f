//! Sessions in memory: they end with the process, and no other process knows them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{SessionId, UserName, Visit};
use crate::down::Down;

/// At most so many sessions, each until nobody has come with it for so long.
#[derive(Debug)]
pub(crate) struct Memory {
    sessions: BTreeMap<SessionId, Session>,
    capacity: usize,
    idle: Duration,
}

#[derive(Debug)]
struct Session {
    user: UserName,
    visits: u64,
    used: Instant,
}

impl Memory {
    pub(super) fn new(capacity: usize, idle: Duration) -> Self {
        Self { sessions: BTreeMap::new(), capacity, idle }
    }

    /// O(log n), or O(n) when it is full.
    ///
    /// # Errors
    /// It is full of sessions that are alive. Those stay: else whoever logs in often enough would log
    /// everybody else out.
    pub(super) fn begin(
        &mut self,
        id: SessionId,
        user: &UserName,
        now: Instant,
    ) -> Result<(), Down> {
        if self.sessions.len() >= self.capacity {
            self.sessions.retain(|_, session| session.is_alive(self.idle, now));
        }
        if self.sessions.len() >= self.capacity {
            return Err(Down::new(format_args!(
                "{} are open, and no more are kept",
                self.capacity
            )));
        }
        self.sessions.insert(id, Session { user: user.clone(), visits: 0, used: now });
        Ok(())
    }

    pub(super) fn visit(&mut self, id: SessionId, now: Instant) -> Option<Visit> {
        let session = self.sessions.get_mut(&id)?;
        if !session.is_alive(self.idle, now) {
            self.sessions.remove(&id);
            return None;
        }
        session.visits = session.visits.saturating_add(1);
        session.used = now;
        Some(Visit { user: session.user.clone(), number: session.visits })
    }

    pub(super) fn end(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }
}

impl Session {
    fn is_alive(&self, idle: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    fn ada() -> UserName {
        "ada".parse().unwrap()
    }

    fn ids<const N: usize>() -> [SessionId; N] {
        [(); N].map(|()| SessionId::draw().unwrap())
    }

    fn visit(number: u64) -> Option<Visit> {
        Some(Visit { user: ada(), number })
    }

    #[allow(clippy::disallowed_methods, reason = "std has no other instant")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_session_lasts_as_long_as_somebody_comes_with_it() {
        let (mut memory, [id, other]) = (Memory::new(9, IDLE), ids());
        let start = start();
        let second = |second| start + Duration::from_secs(second);
        memory.begin(id, &ada(), second(0)).unwrap();
        assert_eq!(memory.visit(other, second(0)), None);
        assert_eq!(memory.visit(id, second(9)), visit(1));
        assert_eq!(memory.visit(id, second(18)), visit(2));
        assert_eq!(memory.visit(id, second(28)), None, "10 s later");
        assert_eq!(memory.visit(id, second(18)), None, "it has gone for good");
        assert!(memory.sessions.is_empty());
    }

    #[test]
    fn one_that_has_ended_is_not_known_and_the_others_are() {
        let (mut memory, [a, b]) = (Memory::new(9, IDLE), ids());
        let now = start();
        memory.begin(a, &ada(), now).unwrap();
        memory.begin(b, &ada(), now).unwrap();
        memory.end(a);
        memory.end(a);
        assert_eq!((memory.visit(a, now), memory.visit(b, now)), (None, visit(1)));
    }

    #[test]
    fn a_full_one_takes_no_more_until_one_has_ended_or_is_old() {
        let (mut memory, [a, b, c, d, e]) = (Memory::new(2, IDLE), ids());
        let start = start();
        let second = |second| start + Duration::from_secs(second);
        memory.begin(a, &ada(), second(0)).unwrap();
        memory.begin(b, &ada(), second(1)).unwrap();
        let full = memory.begin(c, &ada(), second(9)).unwrap_err();
        assert_eq!(full.to_string(), "2 are open, and no more are kept");
        memory.begin(c, &ada(), second(10)).expect("the first is old");
        assert_eq!((memory.visit(a, second(10)), memory.visit(b, second(10))), (None, visit(1)));
        memory.begin(d, &ada(), second(10)).unwrap_err();
        memory.end(c);
        memory.begin(e, &ada(), second(10)).expect("one has ended");
        assert_eq!(memory.sessions.len(), 2);
    }
}
