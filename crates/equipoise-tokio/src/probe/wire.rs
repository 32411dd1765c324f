//! Opening a connection, and closing it.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::AsyncWrite;
use tokio::net::{TcpSocket, TcpStream};

use super::{ProbeError, Target};
use crate::socket::{Socket, StreamAddr};

/// What the kernel may hold of an answer that nobody has read yet. Larger answers than a probe takes
/// need no larger window.
const RECEIVE_BUFFER: u32 = 64 * 1024;

/// Connects.
pub(super) async fn connect(target: &Target) -> Result<Socket, ProbeError> {
    match target.address() {
        StreamAddr::Ip(address) => connect_tcp(*address).await.map(Socket::Tcp),
        StreamAddr::Unix(path) => Ok(Socket::connect_unix(path).await?),
    }
}

async fn connect_tcp(address: SocketAddr) -> Result<TcpStream, ProbeError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Both only make a difference in degree, so that a system that refuses them is no reason to fail.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = socket.set_nodelay(true);
    let stream = socket.connect(address).await?;
    // Where nobody listens at a local port, the system may give this very port to the one who
    // connects: TCP then connects the socket to itself, and every backend that is down would be well
    // once in a while.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(ProbeError::Refused);
    }
    Ok(stream)
}

/// Ends the sending side if that can be done at once.
///
/// It does not wait: the answer is known, and a backend that does not read is no reason to have none.
pub(super) async fn close(mut stream: impl AsyncWrite + Unpin) {
    poll_fn(|context| {
        let _ = Pin::new(&mut stream).poll_shutdown(context);
        Poll::Ready(())
    })
    .await;
}
