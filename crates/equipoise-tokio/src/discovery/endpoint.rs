//! One backend, as its source announces it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use equipoise_core::{BackendId, Weight};

use super::{DiscoveryError, MAX_ENDPOINTS};

/// One backend, as its source announces it.
///
/// ```
/// use equipoise_core::Weight;
/// use equipoise_tokio::discovery::Endpoint;
///
/// let mut endpoint = Endpoint::new("10.0.0.1:8080".parse().unwrap());
/// assert_eq!(endpoint.name, "10.0.0.1:8080");
/// let id = endpoint.id();
/// endpoint.weight = Weight::new(3);
/// assert_eq!(endpoint.id(), id);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who it is: what survives an update. Neither weight nor position may be part of it. The
    /// sources of this crate use the address as it is written, so that another address is another
    /// backend, in whatever order a server lists them.
    pub name: String,
    /// Its share of the traffic.
    pub weight: Weight,
    /// Its tier; 0 is used first.
    pub tier: u8,
    /// Whether it wants no new requests.
    pub drain: bool,
}

impl Endpoint {
    /// A backend that is named by its address: weight 1, tier 0, not draining.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, name: address.to_string(), weight: Weight::ONE, tier: 0, drain: false }
    }

    /// The id that its name gives it.
    pub fn id(&self) -> BackendId {
        BackendId::named(&self.name)
    }
}

/// The set, if it is one.
///
/// O(n log n).
pub(super) fn checked(set: Vec<Endpoint>) -> Result<Vec<Endpoint>, DiscoveryError> {
    if set.len() > MAX_ENDPOINTS {
        return Err(DiscoveryError::TooMany { limit: MAX_ENDPOINTS });
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = set.iter().find(|endpoint| !names.insert(endpoint.name.as_str())) {
        return Err(DiscoveryError::Duplicate { name: twice.name.clone() });
    }
    Ok(set)
}
