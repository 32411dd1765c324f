//! Why a store has not answered.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

/// Why the database, or what keeps the sessions, has not answered.
#[derive(Debug)]
pub(crate) struct Down(String);

impl Down {
    pub(crate) fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Waits for an answer, for so long at most.
pub(crate) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, Down>>,
) -> Result<T, Down> {
    let late = || Down::new(format_args!("no answer within {} ms", limit.as_millis()));
    timeout(limit, answer).await.unwrap_or_else(|_| Err(late()))
}
