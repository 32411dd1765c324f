//! One set for ever.

use std::future;

use super::endpoint::checked;
use super::{Discover, DiscoveryError, Endpoint, NextSet};

/// Backends that are known from the start: one set, and then none for ever.
///
/// ```
/// use equipoise_tokio::discovery::{Endpoint, Static};
///
/// let endpoint = Endpoint::new("10.0.0.1:80".parse().unwrap());
/// let error = Static::new(vec![endpoint.clone(), endpoint]).unwrap_err();
/// assert_eq!(error.to_string(), "two backends have the name `10.0.0.1:80`");
/// ```
#[derive(Clone, Debug)]
pub struct Static {
    set: Option<Vec<Endpoint>>,
}

impl Static {
    /// These backends.
    ///
    /// # Errors
    /// Two have the same name, or there are more than [`MAX_ENDPOINTS`](super::MAX_ENDPOINTS).
    pub fn new(set: Vec<Endpoint>) -> Result<Self, DiscoveryError> {
        Ok(Self { set: Some(checked(set)?) })
    }
}

impl Discover for Static {
    fn next(&mut self) -> NextSet<'_> {
        Box::pin(async move {
            match self.set.take() {
                Some(set) => Ok(set),
                None => future::pending().await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_static_set_comes_once() {
        let mut source = Static::new(vec![Endpoint::new("10.0.0.1:80".parse().unwrap())]).unwrap();
        drop(source.next()); // Never polled: nothing is lost.
        assert_eq!(source.next().await.unwrap().len(), 1);
        let again = tokio::time::timeout(Duration::from_secs(86_400), source.next()).await;
        assert!(again.is_err());
    }
}
