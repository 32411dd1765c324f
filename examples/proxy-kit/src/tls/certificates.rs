//! Which certificate a client is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;

/// The certificates of a listener. Those who hold it see each change at their next handshake.
#[derive(Debug)]
pub(super) struct Certificates(ArcSwap<Table>);

/// By name, in the order in which they are written: the first that the client can check is shown.
#[derive(Debug)]
pub(super) struct Table {
    all: Vec<Arc<CertifiedKey>>,
    by_name: BTreeMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Certificates {
    pub(super) fn new(pairs: &[Pair]) -> Self {
        Self(ArcSwap::from_pointee(Table::new(pairs)))
    }

    /// Puts these in place of those before.
    pub(super) fn set(&self, pairs: &[Pair]) {
        self.0.store(Arc::new(Table::new(pairs)));
    }
}

impl Table {
    pub(super) fn new(pairs: &[Pair]) -> Self {
        let mut by_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for pair in pairs {
            for name in &pair.names {
                by_name.entry(name.clone()).or_default().push(Arc::clone(&pair.certified));
            }
        }
        Self { all: pairs.iter().map(|pair| Arc::clone(&pair.certified)).collect(), by_name }
    }

    /// Those for this very name; or for all names beside it; or, because a client that is shown another
    /// name can say so, and one that is shown nothing can't, all of them.
    pub(super) fn of(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let by_name = |name: &str| self.by_name.get(name).map(Vec::as_slice);
        // RFC 9525, 6.3: the wildcard stands for one label.
        let wildcard = |name: &str| by_name(&format!("*.{}", name.split_once('.')?.1));
        name.and_then(|name| by_name(name).or_else(|| wildcard(name))).unwrap_or(&self.all)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.0.load();
        let schemes = hello.signature_schemes();
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(schemes).is_some();
        table.of(hello.server_name()).iter().find(fits).cloned()
    }
}
