//! What the tests of discovery share.

use std::time::Duration;

use equipoise_tokio::discovery::{Discover, DiscoveryError, Endpoint};
use tokio::time::timeout;

/// What the source has next; a test that would wait for ever fails.
pub(crate) async fn next(source: &mut impl Discover) -> Result<Vec<Endpoint>, DiscoveryError> {
    timeout(Duration::from_secs(20), source.next()).await.expect("news within 20 s")
}

/// The names of the next set.
pub(crate) async fn names(source: &mut impl Discover) -> Vec<String> {
    let set = next(source).await.unwrap();
    set.into_iter().map(|endpoint| endpoint.name).collect()
}

/// The names of the next set, whatever failed before it.
pub(crate) async fn names_after_errors(source: &mut impl Discover) -> Vec<String> {
    loop {
        if let Ok(set) = next(source).await {
            return set.into_iter().map(|endpoint| endpoint.name).collect();
        }
    }
}
