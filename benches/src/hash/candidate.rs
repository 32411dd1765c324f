//! What a row must offer.

use super::keys::Key;
use super::servers::Server;

/// One server comes or goes.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// It leaves.
    Leave(Server),
    /// It joins.
    Join(Server),
}

/// A table that has been built, ours or a peer's.
pub trait Candidate: Send + Sync + 'static {
    /// The number of the server that has the key.
    fn owner(&self, key: &Key) -> u32;

    /// One server comes or goes; `servers` are those that are there then. Says whether it could be
    /// done: where not, the table is built anew.
    fn change(&mut self, _change: Change, _servers: &[Server]) -> bool {
        false
    }
}
