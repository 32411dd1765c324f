//! How the load and the backends open their sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use mio::net::{TcpListener, TcpStream, UdpSocket};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

/// Clients come from so many addresses in turn, as they do in the world: keys and sticky sessions see them, and
/// ports don't run out.
pub const SOURCES: usize = 256;

/// What a datagram's socket can hold: a window of every flow.
const DATAGRAM_BUFFER: usize = 4 << 20;

fn socket(kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if kind == Type::DGRAM {
        // As much as the system allows.
        let _ = (
            socket.set_recv_buffer_size(DATAGRAM_BUFFER),
            socket.set_send_buffer_size(DATAGRAM_BUFFER),
        );
    }
    Ok(socket)
}

/// All addresses of the loopback device, and no other device.
fn bind_loopback(socket: &Socket, port: u16) -> io::Result<()> {
    socket.bind_device(Some(b"lo"))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())
}

/// The `nth` client's own address; the system picks the port when it connects.
fn bind_client(socket: &Socket, nth: usize) -> io::Result<()> {
    setsockopt(&socket.as_fd(), sockopt::IpBindAddressNoPort, &true)?;
    let address = Ipv4Addr::new(127, 1, 0, (nth % SOURCES) as u8);
    socket.bind(&SocketAddr::from((address, 0)).into())
}

/// Listens on the port of every loopback address.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = socket(Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    bind_loopback(&socket, port)?;
    socket.listen(4096)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Takes datagrams on the port of every loopback address.
pub fn receive(port: u16) -> io::Result<UdpSocket> {
    let socket = socket(Type::DGRAM, Protocol::UDP)?;
    bind_loopback(&socket, port)?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// Begins the `nth` connection.
pub fn connect(target: SocketAddr, nth: usize) -> io::Result<TcpStream> {
    let socket = socket(Type::STREAM, Protocol::TCP)?;
    socket.set_tcp_nodelay(true)?;
    bind_client(&socket, nth)?;
    match socket.connect(&target.into()) {
        Err(error)
            if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            Err(error)
        }
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// The `nth` flow of datagrams.
pub fn flow(target: SocketAddr, nth: usize) -> io::Result<UdpSocket> {
    let socket = socket(Type::DGRAM, Protocol::UDP)?;
    bind_client(&socket, nth)?;
    socket.connect(&target.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}
