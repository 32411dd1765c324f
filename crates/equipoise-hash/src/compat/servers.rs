//! What another proxy knows of its servers, and a [`BackendId`] does not.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use equipoise_core::{BackendId, Weight};

use crate::{BuildError, Node};

/// A server as the other proxy's configuration names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    pub(super) id: BackendId,
    pub(super) name: Box<str>,
    pub(super) number: u32,
}

/// The servers of another proxy's configuration, in its order.
///
/// One list serves every table made from it and all their updates, which share it; a clone is
/// another handle on it. A table is over those of the servers that it is given as nodes, so keep a
/// server here that may come back.
#[derive(Clone, Debug)]
pub struct Servers {
    all: Arc<[Server]>,
    /// By id, the position in `all`.
    by_id: Arc<[(BackendId, u32)]>,
}

/// A server that takes part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// Its index in the caller's list of nodes.
    pub(super) index: u32,
    /// Its position in the configuration.
    pub(super) position: u32,
    pub(super) weight: u16,
}

impl Server {
    /// A server by the name that the other proxy hashes, byte for byte: for nginx what follows
    /// `server` in its configuration, for Envoy the address and port (or the host name, if the
    /// cluster hashes that). HAProxy hashes none. Its id is [`BackendId::named`] of the name.
    pub fn new(name: &str) -> Self {
        Self { id: BackendId::named(name), name: name.into(), number: 0 }
    }

    /// Sets the id, for backends that have other ids than the names'.
    #[must_use]
    pub const fn id(mut self, id: BackendId) -> Self {
        self.id = id;
        self
    }

    /// Sets the number that HAProxy knows the server by, its `id`: 1 and up. With 0, the default,
    /// the server has what HAProxy gives out, which is its position from 1 on if no server has an
    /// `id` of its own. The other proxies don't look at it.
    #[must_use]
    pub const fn number(mut self, number: u32) -> Self {
        self.number = number;
        self
    }
}

impl Servers {
    /// These servers, in the order of the other proxy's configuration.
    ///
    /// # Errors
    /// [`DuplicateId`](BuildError::DuplicateId), and [`TooManyNodes`](BuildError::TooManyNodes) for
    /// more than 2³² - 1 servers.
    pub fn new(servers: impl IntoIterator<Item = Server>) -> Result<Self, BuildError> {
        let all: Arc<[Server]> = servers.into_iter().collect();
        if u32::try_from(all.len()).is_err() {
            return Err(BuildError::TooManyNodes { nodes: all.len(), limit: u32::MAX as usize });
        }
        let mut by_id: Vec<_> = all.iter().zip(0..).map(|(server, at)| (server.id, at)).collect();
        by_id.sort_unstable();
        if let Some(pair) = by_id.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(BuildError::DuplicateId(pair[0].0));
        }
        Ok(Self { all, by_id: by_id.into() })
    }

    /// Servers of these names, each with the id of its name: [`Server::new`] of each.
    ///
    /// # Errors
    /// As [`new`](Self::new): a name that stands there twice.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, BuildError> {
        Self::new(names.into_iter().map(Server::new))
    }

    /// A node for each server, in this order, with these weights; of weight 1 where the weights have
    /// ended.
    pub fn nodes(&self, weights: impl IntoIterator<Item = Weight>) -> Vec<Node> {
        let weights = weights.into_iter().chain(core::iter::repeat(Weight::ONE));
        self.all.iter().zip(weights).map(|(s, weight)| Node::new(s.id).weight(weight)).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn all(&self) -> &[Server] {
        &self.all
    }

    pub(super) fn name(&self, placed: &Placed) -> &str {
        &self.all[placed.position as usize].name
    }

    /// Those of the nodes that have a weight, in the order of the configuration.
    pub(super) fn place(&self, nodes: &[Node]) -> Result<Vec<Placed>, BuildError> {
        let mut placed = Vec::with_capacity(nodes.len());
        // Who has no weight has no place, and need not be known.
        let nodes_with_weight = nodes.iter().enumerate().filter(|(_, n)| n.weight != Weight::ZERO);
        for (index, node) in nodes_with_weight {
            let at = self.by_id.binary_search_by_key(&node.id, |&(id, _)| id);
            let Ok(at) = at else { return Err(BuildError::UnknownServer(node.id)) };
            let position = self.by_id[at].1;
            // Whatever is not a duplicate, which is refused below, fits: ids are unique in `all`.
            placed.push(Placed { index: index as u32, position, weight: node.weight.get() });
        }
        placed.sort_unstable_by_key(|server| server.position);
        if let Some(pair) = placed.windows(2).find(|pair| pair[0].position == pair[1].position) {
            return Err(BuildError::DuplicateId(nodes[pair[0].index as usize].id));
        }
        Ok(placed)
    }
}
