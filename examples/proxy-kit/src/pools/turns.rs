//! When a request looks for a backend.

use equipoise_pool::PickError;
use equipoise_tokio::queue::{Turn, WaitError};

/// A request's turns at looking for a backend.
#[derive(Debug)]
pub struct Turns<'a>(Option<Turn<'a>>);

impl<'a> Turns<'a> {
    /// Without a queue there is one, at once.
    pub(super) const fn new(queued: Option<Turn<'a>>) -> Self {
        Self(queued)
    }

    /// Waits for the next one.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn next(&mut self) -> Result<(), WaitError> {
        match &mut self.0 {
            Some(turn) => turn.next().await,
            None => Ok(()),
        }
    }

    /// Whether there may be another one after this.
    pub const fn may_wait(&self, error: &PickError) -> bool {
        self.0.is_some() && matches!(error, PickError::Exhausted { full: 1.., .. })
    }

    /// It has found one.
    pub fn taken(self) {
        if let Some(turn) = self.0 {
            turn.taken();
        }
    }
}
