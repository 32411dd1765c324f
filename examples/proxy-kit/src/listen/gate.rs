//! How many clients there may be at a time.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::log;

/// File descriptors of a connection: the client's and the backend's.
const OF_CONNECTION: usize = 2;

/// What bounds the clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// The system alone.
    None,
    /// So many connections at a time. Sessions of UDP have limits of their own.
    Connections(usize),
    /// So many file descriptors: a connection takes two, and a session of UDP one. Whoever comes first has
    /// them, but sessions, whose clients may not even exist, get half of them at most.
    Descriptors(usize),
}

/// Lets in so many clients at a time, over all listeners. The connections of others stay with the system, which
/// accepts them on its own until its backlog is full.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
    free: Notify,
}

#[derive(Debug)]
struct State {
    limit: Limit,
    connections: usize,
    sessions: usize,
    /// The log has heard that somebody waits.
    is_told: bool,
}

/// A connection's place, which is free when this is dropped.
#[derive(Debug)]
pub struct Entered(Arc<Gate>);

/// A place of a session of UDP, which is free when this is dropped.
#[derive(Debug)]
pub struct InSession(Arc<Gate>);

impl Gate {
    /// With nobody inside.
    pub fn new(limit: Limit) -> Arc<Self> {
        let state = State { limit, connections: 0, sessions: 0, is_told: false };
        Arc::new(Self { state: Mutex::new(state), free: Notify::new() })
    }

    /// From now on this is the limit. Those beyond it are not put out.
    pub fn set(&self, limit: Limit) {
        self.state.lock().limit = limit;
        self.free.notify_waiters();
    }

    /// Waits until there is room, and takes none of it: whoever waits for a client needs no place yet. The log
    /// hears of it when the first one waits, and when half of the places are free again.
    pub async fn opens(&self) {
        self.until(|| self.state.lock().has_room().then_some(())).await;
    }

    /// Takes a place for a connection, if there is one.
    pub fn try_enter(self: &Arc<Self>) -> Option<Entered> {
        let mut state = self.state.lock();
        let enters = state.has_room();
        state.connections += usize::from(enters);
        enters.then(|| Entered(Arc::clone(self)))
    }

    /// Waits for a place; the log hears of it as of [`opens`](Self::opens).
    pub async fn enter(self: &Arc<Self>) -> Entered {
        self.until(|| self.try_enter()).await
    }

    /// Takes a place for a session of UDP, if there is one.
    pub fn try_begin(self: &Arc<Self>) -> Option<InSession> {
        let mut state = self.state.lock();
        let begins = state.has_room_for_session();
        state.sessions += usize::from(begins);
        begins.then(|| InSession(Arc::clone(self)))
    }

    async fn until<T>(&self, mut condition: impl FnMut() -> Option<T>) -> T {
        if let Some(value) = condition() {
            return value;
        }
        loop {
            // Before looking: a place that comes free meanwhile is not missed.
            let mut free = std::pin::pin!(self.free.notified());
            free.as_mut().enable();
            if let Some(value) = condition() {
                return value;
            }
            if !std::mem::replace(&mut self.state.lock().is_told, true) {
                log::warn(format_args!("accept: {self}; clients wait"));
            }
            free.await;
        }
    }

    fn leave(&self, out: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        out(&mut state);
        let is_over = state.is_told && state.is_half_free();
        state.is_told &= !is_over;
        drop(state);
        if is_over {
            log::warn(format_args!("accept: there is room again"));
        }
        // All: one that finds room need not have a client to take it.
        self.free.notify_waiters();
    }
}

impl State {
    fn descriptors(&self) -> usize {
        OF_CONNECTION * self.connections + self.sessions
    }

    fn has_room(&self) -> bool {
        match self.limit {
            Limit::None => true,
            Limit::Connections(most) => self.connections < most,
            // One at least: a proxy that serves nobody is none.
            Limit::Descriptors(most) => {
                self.connections == 0 || self.descriptors() + OF_CONNECTION <= most
            }
        }
    }

    fn has_room_for_session(&self) -> bool {
        match self.limit {
            Limit::None | Limit::Connections(_) => true,
            Limit::Descriptors(most) => self.sessions < most / 2 && self.descriptors() < most,
        }
    }

    fn is_half_free(&self) -> bool {
        match self.limit {
            Limit::None => true,
            Limit::Connections(most) => self.connections < most.div_ceil(2),
            Limit::Descriptors(most) => self.descriptors() < most.div_ceil(2),
        }
    }
}

/// What the limit is, and how far it is used.
impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { limit, connections, sessions, .. } = *self.state.lock();
        match limit {
            Limit::None => write!(f, "{connections} connections"),
            Limit::Connections(most) => write!(f, "{most} connections, limits.max_connections"),
            Limit::Descriptors(most) => write!(
                f,
                "{connections} connections and {sessions} UDP sessions, for which there are {most} file descriptors, \
                 see ulimit -n"
            ),
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.leave(|state| state.connections -= 1);
    }
}

impl Drop for InSession {
    fn drop(&mut self) {
        self.0.leave(|state| state.sessions -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn enters(gate: &Arc<Gate>) -> Option<Entered> {
        timeout(Duration::from_millis(20), gate.enter()).await.ok()
    }

    fn inside(gate: &Gate) -> (usize, usize) {
        let state = gate.state.lock();
        (state.connections, state.sessions)
    }

    #[tokio::test(start_paused = true)]
    async fn it_lets_in_as_many_as_it_may() {
        let gate = Gate::new(Limit::Connections(2));
        let (first, second) = (enters(&gate).await.unwrap(), enters(&gate).await.unwrap());
        assert!(enters(&gate).await.is_none());
        drop(first);
        let third = enters(&gate).await.unwrap();
        gate.set(Limit::Connections(1));
        drop(third);
        assert!(enters(&gate).await.is_none(), "there is one inside");
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter().await }
        });
        tokio::task::yield_now().await;
        drop(second);
        let last = waiting.await.unwrap();
        assert_eq!(inside(&gate), (1, 0));
        gate.set(Limit::None);
        assert!(enters(&gate).await.is_some());
        drop(last);
        assert_eq!(inside(&gate), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_and_sessions_share_the_descriptors() {
        let gate = Gate::new(Limit::Descriptors(8));
        let sessions: Vec<_> = (0..10).map_while(|_| gate.try_begin()).collect();
        assert_eq!(sessions.len(), 4, "half of them at most");
        let connections = (enters(&gate).await.unwrap(), enters(&gate).await.unwrap());
        assert!(enters(&gate).await.is_none());
        // A session that ends leaves half a connection's room.
        let mut sessions = sessions.into_iter();
        drop(sessions.next());
        assert!(enters(&gate).await.is_none());
        drop(sessions.next());
        let third = enters(&gate).await.unwrap();
        assert!(gate.try_begin().is_none());
        drop((sessions, connections));
        assert_eq!(inside(&gate), (1, 0));
        drop(third);
        // Nobody else: all are for connections.
        let mut connections = Vec::new();
        while let Some(entered) = gate.try_enter() {
            connections.push(entered);
        }
        assert_eq!((connections.len(), gate.try_begin().is_none()), (4, true));
        gate.set(Limit::Connections(1));
        assert!(gate.try_begin().is_some(), "sessions have a limit of their own");
    }

    #[test]
    fn one_connection_there_is_whatever_there_is() {
        let gate = Gate::new(Limit::Descriptors(0));
        let first = gate.try_enter();
        assert!(first.is_some() && gate.try_enter().is_none() && gate.try_begin().is_none());
    }
}
