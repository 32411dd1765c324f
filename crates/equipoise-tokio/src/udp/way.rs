//! The way to one peer, by which its datagrams leave in order.
//!
//! Datagrams of one size leave as a train: one piece, which the system, or the network card, cuts (on
//! Linux `UDP_SEGMENT`, since 4.18). It takes the way through the system once instead of once for each.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::net::UdpSocket;

/// Whom a socket sends to.
#[derive(Debug)]
pub(super) struct Way {
    /// `None` is the peer that the socket is connected to.
    to: Option<SocketAddr>,
    /// The address of this machine that they leave from, where the socket has several.
    from: Option<IpAddr>,
    takes_trains: AtomicBool,
}

/// What came of some datagrams. The first `count + unsent` of them are dealt with.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Sent {
    /// How many are on their way.
    pub(super) count: usize,
    /// Their bytes.
    pub(super) bytes: usize,
    /// How many the system did not take.
    pub(super) unsent: usize,
    /// The connected peer refuses what is left.
    pub(super) refused: bool,
}

impl Way {
    /// To the peer that the socket is connected to.
    pub(super) fn connected(takes_trains: bool) -> Self {
        Self { to: None, from: None, takes_trains: AtomicBool::new(takes_trains) }
    }

    /// To this peer, from this address of a socket that has several.
    pub(super) fn to(peer: SocketAddr, from: Option<IpAddr>, takes_trains: bool) -> Self {
        Self { to: Some(peer), from, takes_trains: AtomicBool::new(takes_trains) }
    }

    /// Sends them in order.
    pub(super) fn send(&self, socket: &UdpSocket, datagrams: &[IoSlice<'_>]) -> Sent {
        let (mut sent, mut left) = (Sent::default(), datagrams);
        while !left.is_empty() {
            let takes_trains = self.takes_trains.load(Relaxed);
            let (train, behind) = left.split_at(if takes_trains { train(left) } else { 1 });
            match self.send_train(socket, train) {
                Ok(()) => {
                    sent.count += train.len();
                    sent.bytes += train.iter().map(|datagram| datagram.len()).sum::<usize>();
                }
                Err(error) if self.to.is_none() && is_refusal(&error) => {
                    return Sent { refused: true, ..sent };
                }
                // Its datagrams may be larger than a packet of this way, or the card does not cut.
                Err(error) if train.len() > 1 && error.kind() != io::ErrorKind::WouldBlock => {
                    self.takes_trains.store(false, Relaxed);
                    continue;
                }
                Err(_) => sent.unsent += train.len(),
            }
            left = behind;
        }
        sent
    }

    fn send_train(&self, socket: &UdpSocket, train: &[IoSlice<'_>]) -> io::Result<()> {
        match (train, self.from, self.to) {
            ([datagram], None, None) => socket.try_send(datagram).map(drop),
            ([datagram], None, Some(peer)) => socket.try_send_to(datagram, peer).map(drop),
            (_, from, to) => system::send(socket, train, from, to),
        }
    }
}

/// Whether the peer, not this machine, is to blame.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable
    )
}

/// The system's limits of a train: datagrams, and bytes of all.
const MOST: usize = 64;
const MOST_BYTES: usize = 65_507;

/// How many of the first ones make a train: all of one size, but for the last, which may be shorter.
fn train(datagrams: &[IoSlice<'_>]) -> usize {
    let size = datagrams[0].len();
    if size == 0 {
        return 1;
    }
    let most = (MOST_BYTES / size).min(MOST);
    let mut count = 1;
    for datagram in datagrams.iter().take(most).skip(1) {
        // An empty one would be lost: nothing is left to cut.
        if datagram.is_empty() || datagram.len() > size {
            break;
        }
        count += 1;
        if datagram.len() < size {
            break;
        }
    }
    count
}

/// Whether the system cuts trains.
pub(super) fn cuts_trains(socket: &UdpSocket) -> bool {
    system::cuts_trains(socket)
}

/// From now on the system says to which of its addresses a datagram came, if the socket has all of the
/// machine's.
pub(super) fn name_addresses(socket: &UdpSocket, local: SocketAddr) -> io::Result<()> {
    if local.ip().is_unspecified() { system::name_addresses(socket, local) } else { Ok(()) }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io::{self, IoSlice};
    use std::net::{IpAddr, SocketAddr};
    use std::os::fd::AsRawFd;

    use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
    use nix::sys::socket::{
        ControlMessage, MsgFlags, SockaddrStorage, getsockopt, sendmsg, setsockopt, sockopt,
    };
    use tokio::io::Interest;
    use tokio::net::UdpSocket;

    pub(super) fn cuts_trains(socket: &UdpSocket) -> bool {
        getsockopt(socket, sockopt::UdpGsoSegment).is_ok()
    }

    pub(super) fn name_addresses(socket: &UdpSocket, local: SocketAddr) -> io::Result<()> {
        if local.is_ipv4() {
            setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        Ok(())
    }

    pub(super) fn send(
        socket: &UdpSocket,
        train: &[IoSlice<'_>],
        from: Option<IpAddr>,
        to: Option<SocketAddr>,
    ) -> io::Result<()> {
        // It has no more than fit into one packet.
        let size = train.first().map_or(0, |first| first.len()) as u16;
        let cut = (train.len() > 1).then_some(ControlMessage::UdpGsoSegments(&size));
        let (v4, v6);
        let from = match from {
            None => None,
            Some(IpAddr::V4(from)) => {
                let any = in_addr { s_addr: 0 };
                let from = in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
                v4 = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: any };
                Some(ControlMessage::Ipv4PacketInfo(&v4))
            }
            Some(IpAddr::V6(from)) => {
                let from = in6_addr { s6_addr: from.octets() };
                v6 = in6_pktinfo { ipi6_addr: from, ipi6_ifindex: 0 };
                Some(ControlMessage::Ipv6PacketInfo(&v6))
            }
        };
        let to = to.map(SockaddrStorage::from);
        let flags = MsgFlags::MSG_DONTWAIT;
        socket.try_io(Interest::WRITABLE, || {
            let sent = match (cut, from) {
                (Some(cut), Some(from)) => {
                    sendmsg(socket.as_raw_fd(), train, &[cut, from], flags, to.as_ref())
                }
                (Some(one), None) | (None, Some(one)) => {
                    sendmsg(socket.as_raw_fd(), train, &[one], flags, to.as_ref())
                }
                (None, None) => sendmsg(socket.as_raw_fd(), train, &[], flags, to.as_ref()),
            };
            Ok(sent.map(drop)?)
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io::{self, IoSlice};
    use std::net::{IpAddr, SocketAddr};

    use tokio::net::UdpSocket;

    pub(super) fn cuts_trains(_: &UdpSocket) -> bool {
        false
    }

    pub(super) fn name_addresses(_: &UdpSocket, _: SocketAddr) -> io::Result<()> {
        Ok(())
    }

    /// There are no trains, and nobody knows where to they were sent.
    pub(super) fn send(
        _: &UdpSocket,
        _: &[IoSlice<'_>],
        _: Option<IpAddr>,
        _: Option<SocketAddr>,
    ) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trains(sizes: &[usize]) -> Vec<usize> {
        let buffer = vec![0; 65_507];
        let datagrams: Vec<_> = sizes.iter().map(|&size| IoSlice::new(&buffer[..size])).collect();
        let (mut left, mut trains) = (&datagrams[..], Vec::new());
        while !left.is_empty() {
            let count = train(left);
            trains.push(count);
            left = &left[count..];
        }
        trains
    }

    #[test]
    fn a_train_is_of_one_size_but_for_its_end() {
        assert_eq!(trains(&[5]), [1]);
        assert_eq!(trains(&[5, 5, 5]), [3]);
        assert_eq!(trains(&[5, 5, 3, 3, 5, 5]), [3, 1, 2]);
        assert_eq!(trains(&[5, 6, 6, 1]), [1, 3]);
        assert_eq!(trains(&[0, 0, 5, 0, 5]), [1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_train_is_no_longer_than_the_system_takes() {
        assert_eq!(trains(&[1; 130]), [64, 64, 2]);
        assert_eq!(trains(&[1_200; 60]), [54, 6]);
        assert_eq!(trains(&[32_753; 3]), [2, 1]);
        assert_eq!(trains(&[32_754; 3]), [1, 1, 1]);
        assert_eq!(trains(&[65_507, 65_507, 1]), [1, 1, 1]);
    }

    #[tokio::test]
    async fn what_the_peer_refuses_is_left_to_the_caller() {
        let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(gone.local_addr().unwrap()).await.unwrap();
        socket.writable().await.unwrap();
        drop(gone);
        let (way, datagram) = (Way::connected(cuts_trains(&socket)), IoSlice::new(&[1; 4]));
        // The first one makes the system find out; each error is reported once.
        assert_eq!(
            way.send(&socket, &[datagram]),
            Sent { count: 1, bytes: 4, unsent: 0, refused: false }
        );
        let refused = Sent { refused: true, ..Sent::default() };
        assert_eq!(way.send(&socket, &[datagram; 3]), refused);
    }

    #[tokio::test]
    async fn what_the_system_does_not_take_is_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.writable().await.unwrap();
        // There is no way from IPv4 to IPv6.
        let way = Way::to("[::1]:9".parse().unwrap(), None, cuts_trains(&socket));
        let datagrams = [IoSlice::new(&[1; 4]); 5];
        assert_eq!(way.send(&socket, &datagrams), Sent { unsent: 5, ..Sent::default() });
    }
}
