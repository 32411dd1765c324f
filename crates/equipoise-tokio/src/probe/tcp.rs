//! Does anybody listen?

use super::wire::{close, connect};
use super::{Answer, Asking, Probe, Target};

/// Connects, and closes the connection.
///
/// It shows that the machine is up and the port open, not that the application works: a process
/// that is stuck still has the kernel accept connections for it. Ask the application where you can.
///
/// The connection is closed in order (FIN). HAProxy resets it, which spares itself the wait in
/// `TIME_WAIT`; but a reset is an error in the logs of most servers, once per check, and the state
/// that waits here is small.
///
/// It reads nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tcp;

impl Probe for Tcp {
    fn probe<'a>(&'a self, target: &'a Target) -> Asking<'a> {
        Box::pin(async {
            close(connect(target).await?).await;
            Ok(Answer::Pass)
        })
    }

    fn describe(&self) -> String {
        "TCP connect".to_owned()
    }
}
