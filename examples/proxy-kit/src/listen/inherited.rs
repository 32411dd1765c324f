//! Sockets that were there before this process: systemd's, or those of the process that it replaces.

use std::net::SocketAddr;

use listenfd::ListenFd;
use tokio::net::TcpListener;

use crate::{StartError, log};

/// Listening sockets that this process was started with, as `LISTEN_FDS` says (`sd_listen_fds(3)`).
#[derive(Debug, Default)]
pub struct Inherited(Vec<(SocketAddr, std::net::TcpListener)>);

impl Inherited {
    /// Those of the environment.
    ///
    /// # Errors
    /// One of them is no TCP socket that listens.
    pub fn from_env() -> Result<Self, StartError> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let field = format!("LISTEN_FDS: socket {index}");
            let wrong = |error| StartError::new(&field, error);
            if let Some(listener) = passed.take_tcp_listener(index).map_err(wrong)? {
                let address = listener.local_addr().map_err(wrong)?;
                sockets.push((address, listener));
            }
        }
        Ok(Self(sockets))
    }

    /// The one that listens on this address, if there is one; of port 0 any of that address.
    pub(crate) fn take(&mut self, address: SocketAddr) -> Result<Option<TcpListener>, StartError> {
        let is_it = |there: &SocketAddr| {
            *there == address || (address.port() == 0 && there.ip() == address.ip())
        };
        let Some(at) = self.0.iter().position(|(there, _)| is_it(there)) else { return Ok(None) };
        let (address, listener) = self.0.remove(at);
        let wrong = |error| StartError::new(format!("LISTEN_FDS: {address}"), error);
        listener.set_nonblocking(true).map_err(wrong)?;
        TcpListener::from_std(listener).map(Some).map_err(wrong)
    }

    /// Closes those that nobody has taken, and says so.
    pub fn close(self, program: &str) {
        for (address, _) in self.0 {
            log::warn(format_args!(
                "{program}: LISTEN_FDS: nothing is to listen on {address}; closed"
            ));
        }
    }
}
