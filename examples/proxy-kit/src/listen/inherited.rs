//! Sockets that were there before this process: systemd's, or those of the process that it replaces.

use std::net::SocketAddr;

use equipoise_tokio::socket::StreamAddr;
use listenfd::ListenFd;
use socket2::Socket;
use tokio::net::UdpSocket;

use super::listener::address_of;
use crate::{StartError, log};

/// Sockets that this process was started with, as `LISTEN_FDS` says (`sd_listen_fds(3)`).
#[derive(Debug, Default)]
pub struct Inherited {
    streams: Vec<(StreamAddr, Socket)>,
    udp: Vec<(StreamAddr, std::net::UdpSocket)>,
}

impl Inherited {
    /// Those of the environment.
    ///
    /// # Errors
    /// One of them is neither a TCP or Unix socket that listens nor a UDP socket.
    pub fn from_env() -> Result<Self, StartError> {
        let mut passed = ListenFd::from_env();
        let mut this = Self::default();
        for index in 0..passed.len() {
            let field = format!("LISTEN_FDS: socket {index}");
            let wrong = |error| StartError::new(&field, error);
            let stream = match passed.take_tcp_listener(index) {
                Ok(tcp) => tcp.map(Socket::from),
                Err(_) => passed.take_unix_listener(index).ok().flatten().map(Socket::from),
            };
            if let Some(socket) = stream {
                this.streams.push((address_of(&socket).map_err(wrong)?, socket));
            } else if let Some(socket) = passed.take_udp_socket(index).map_err(wrong)? {
                this.udp.push((socket.local_addr().map_err(wrong)?.into(), socket));
            }
        }
        Ok(this)
    }

    /// Those that listen on this address: one, or one for each worker. Of port 0 the first one of that
    /// address says which port it is.
    pub(crate) fn take(&mut self, address: &StreamAddr) -> Result<Vec<Socket>, StartError> {
        let mut address = address.clone();
        let mut sockets = Vec::new();
        while let Some((at, socket)) = take(&mut self.streams, &address) {
            let wrong = |error| StartError::new(format!("LISTEN_FDS: {at}"), error);
            socket.set_nonblocking(true).map_err(wrong)?;
            sockets.push(socket);
            address = at;
        }
        Ok(sockets)
    }

    /// The same of UDP sockets.
    ///
    /// # Errors
    /// The system does not let it be used.
    pub fn take_udp(&mut self, address: SocketAddr) -> Result<Option<UdpSocket>, StartError> {
        let Some((address, socket)) = take(&mut self.udp, &address.into()) else { return Ok(None) };
        let wrong = |error| StartError::new(format!("LISTEN_FDS: {address}"), error);
        socket.set_nonblocking(true).map_err(wrong)?;
        UdpSocket::from_std(socket).map(Some).map_err(wrong)
    }

    /// Closes those that nobody has taken, and says so.
    pub fn close(self, program: &str) {
        let udp = self.udp.iter().map(|(address, _)| address);
        for address in self.streams.iter().map(|(address, _)| address).chain(udp) {
            log::warn(format_args!(
                "{program}: LISTEN_FDS: nothing is to listen on {address}; closed"
            ));
        }
    }
}

fn take<T>(sockets: &mut Vec<(StreamAddr, T)>, address: &StreamAddr) -> Option<(StreamAddr, T)> {
    let is_it = |there: &StreamAddr| match (there, address) {
        (StreamAddr::Ip(there), StreamAddr::Ip(any)) if any.port() == 0 => there.ip() == any.ip(),
        _ => there == address,
    };
    let at = sockets.iter().position(|(there, _)| is_it(there))?;
    Some(sockets.remove(at))
}
