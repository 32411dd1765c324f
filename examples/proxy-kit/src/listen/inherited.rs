//! Sockets that were there before this process: systemd's, or those of the process that it replaces.

use std::net::SocketAddr;

use listenfd::ListenFd;
use tokio::net::UdpSocket;

use crate::{StartError, log};

/// Sockets that this process was started with, as `LISTEN_FDS` says (`sd_listen_fds(3)`).
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<(SocketAddr, std::net::TcpListener)>,
    udp: Vec<(SocketAddr, std::net::UdpSocket)>,
}

impl Inherited {
    /// Those of the environment.
    ///
    /// # Errors
    /// One of them is neither a TCP socket that listens nor a UDP socket.
    pub fn from_env() -> Result<Self, StartError> {
        let mut passed = ListenFd::from_env();
        let mut this = Self::default();
        for index in 0..passed.len() {
            let field = format!("LISTEN_FDS: socket {index}");
            let wrong = |error| StartError::new(&field, error);
            if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
                this.tcp.push((listener.local_addr().map_err(wrong)?, listener));
            } else if let Some(socket) = passed.take_udp_socket(index).map_err(wrong)? {
                this.udp.push((socket.local_addr().map_err(wrong)?, socket));
            }
        }
        Ok(this)
    }

    /// Those that listen on this address: one, or one for each worker. Of port 0 the first one of that
    /// address says which port it is.
    pub(crate) fn take(
        &mut self,
        mut address: SocketAddr,
    ) -> Result<Vec<std::net::TcpListener>, StartError> {
        let mut listeners = Vec::new();
        while let Some((at, listener)) = take(&mut self.tcp, address) {
            let wrong = |error| StartError::new(format!("LISTEN_FDS: {at}"), error);
            listener.set_nonblocking(true).map_err(wrong)?;
            listeners.push(listener);
            address = at;
        }
        Ok(listeners)
    }

    /// The same of UDP sockets.
    ///
    /// # Errors
    /// The system does not let it be used.
    pub fn take_udp(&mut self, address: SocketAddr) -> Result<Option<UdpSocket>, StartError> {
        let Some((address, socket)) = take(&mut self.udp, address) else { return Ok(None) };
        let wrong = |error| StartError::new(format!("LISTEN_FDS: {address}"), error);
        socket.set_nonblocking(true).map_err(wrong)?;
        UdpSocket::from_std(socket).map(Some).map_err(wrong)
    }

    /// Closes those that nobody has taken, and says so.
    pub fn close(self, program: &str) {
        let udp = self.udp.iter().map(|(address, _)| address);
        for address in self.tcp.iter().map(|(address, _)| address).chain(udp) {
            log::warn(format_args!(
                "{program}: LISTEN_FDS: nothing is to listen on {address}; closed"
            ));
        }
    }
}

fn take<T>(sockets: &mut Vec<(SocketAddr, T)>, address: SocketAddr) -> Option<(SocketAddr, T)> {
    let is_it = |there: &SocketAddr| {
        *there == address || (address.port() == 0 && there.ip() == address.ip())
    };
    let at = sockets.iter().position(|(there, _)| is_it(there))?;
    Some(sockets.remove(at))
}
