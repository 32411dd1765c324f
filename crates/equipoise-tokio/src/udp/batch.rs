//! Several datagrams by one system call, into a buffer that a thread's sockets share.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

#[cfg(target_os = "linux")]
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams that are read at a time.
pub(super) const BATCH: usize = 32;
/// The largest has 65,507 bytes (65,527 on IPv6). The system maps the pages that are written to, so that
/// small datagrams take little.
const LARGEST: usize = 1 << 16;
/// From one to the next. Were it a power of two, all would share the same few lines of the cache.
const ROOM: usize = LARGEST + 320;

/// How many to expect of a socket at least.
const FEW: usize = 4;
/// Who sends so many at a time may as well have them joined.
#[cfg(target_os = "linux")]
const MANY: usize = 8;

/// How one socket is read: it makes ready for as many as the last time, and some more.
#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(super) struct Reader {
    expected: usize,
    told: Told,
}

/// What the system is to tell of each datagram besides its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    /// Nothing, on a socket of IPv4.
    V4,
    /// Nothing, on one of IPv6.
    V6,
    /// Whether it is several that came as a piece, and to which address it was sent. It costs some more.
    More,
}

impl Reader {
    /// Of a socket that nobody else has: what comes is joined as soon as it pays.
    pub(super) fn of_own(socket: &UdpSocket) -> Self {
        let is_v4 = socket.local_addr().is_ok_and(|local| local.is_ipv4());
        Self { expected: FEW, told: if is_v4 { Told::V4 } else { Told::V6 } }
    }

    /// Of a listener's. Another process may have it, too, for a moment; so that neither takes a piece for
    /// a datagram, both have it joined from the start.
    pub(super) fn of_listener(socket: &UdpSocket) -> Self {
        #[cfg(target_os = "linux")]
        system::join(socket);
        #[cfg(not(target_os = "linux"))]
        let _ = socket;
        Self { expected: FEW, told: Told::More }
    }

    #[cfg(target_os = "linux")]
    fn has_read(&mut self, count: usize, socket: &UdpSocket) {
        let is_full = count == self.expected;
        self.expected = if is_full { BATCH } else { (2 * count).clamp(FEW, BATCH) };
        if count >= MANY && self.told != Told::More {
            system::join(socket);
            self.told = Told::More;
        }
    }
}

/// What one reading gave: a datagram, or several of one size that came as a piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    len: usize,
    /// The size of each of several; 0 of one.
    each: usize,
    /// Who sent it.
    pub(super) from: SocketAddr,
    /// To which of the socket's addresses, if it was asked for.
    pub(super) to: Option<IpAddr>,
}

/// What was read.
pub(super) struct Batch {
    buffer: Vec<u8>,
    read: [Read; BATCH],
    #[cfg(target_os = "linux")]
    headers: system::Headers,
}

thread_local! {
    static SHARED: RefCell<Batch> = RefCell::new(Batch::new());
}

/// Lends the thread's buffer. Not to be called from `work`.
pub(super) fn with<T>(work: impl FnOnce(&mut Batch) -> T) -> T {
    SHARED.with_borrow_mut(work)
}

impl Batch {
    fn new() -> Self {
        let from = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            buffer: vec![0; BATCH * ROOM],
            read: [Read { len: 0, each: 0, from, to: None }; BATCH],
            #[cfg(target_os = "linux")]
            headers: system::Headers::new(),
        }
    }

    /// Reads what is there: how many pieces, and whether there may be more.
    ///
    /// When fewer come than could, the socket is empty. Then tokio is told so at once, which saves the
    /// call that would find out. (What comes in between counts: readiness that is newer is not cleared.)
    #[cfg(target_os = "linux")]
    pub(super) fn read(
        &mut self,
        socket: &UdpSocket,
        reader: &mut Reader,
    ) -> io::Result<(usize, bool)> {
        let (mut count, most) = (0, reader.expected);
        let headers = &mut self.headers;
        let done = socket.try_io(Interest::READABLE, || {
            count = headers.read(socket, reader, &mut self.buffer, &mut self.read)?;
            if count < most { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        reader.has_read(count, socket);
        match done {
            Ok(()) => Ok((count, true)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok((count, false)),
            Err(error) => Err(error),
        }
    }

    /// The same where one system call reads one datagram.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn read(&mut self, socket: &UdpSocket, _: &mut Reader) -> io::Result<(usize, bool)> {
        let rooms = self.buffer.chunks_exact_mut(ROOM).zip(&mut self.read);
        for (count, (room, read)) in rooms.enumerate() {
            match socket.try_recv_from(room) {
                Ok((len, from)) => *read = Read { len, each: 0, from, to: None },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok((count, false));
                }
                // It is over for the socket only if nothing was read.
                Err(error) if count == 0 => return Err(error),
                Err(_) => return Ok((count, true)),
            }
        }
        Ok((BATCH, true))
    }

    /// What is known of the first pieces that were read.
    pub(super) fn known(&self, count: usize) -> &[Read] {
        &self.read[..count]
    }

    /// The datagrams of some pieces.
    pub(super) fn datagrams(&self, pieces: Range<usize>) -> Vec<IoSlice<'_>> {
        let mut datagrams = Vec::with_capacity(pieces.len());
        for index in pieces {
            let Read { len, each, .. } = self.read[index];
            let piece = &self.buffer[index * ROOM..][..len];
            if each == 0 || each >= len {
                datagrams.push(IoSlice::new(piece));
            } else {
                datagrams.extend(piece.chunks(each).map(IoSlice::new));
            }
        }
        datagrams
    }
}

/// What a listener asks the system to keep of what it has not read yet, in bytes: bursts of many clients.
#[cfg(target_os = "linux")]
const UNREAD: usize = 4 << 20;

/// From now on the system keeps more of what comes in a burst, as far as it allows
/// (`net.core.rmem_max`).
pub(super) fn widen(socket: &UdpSocket) {
    #[cfg(target_os = "linux")]
    system::widen(socket);
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

#[cfg(target_os = "linux")]
mod system {
    use std::io::{self, IoSliceMut};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, getsockopt, recvmmsg,
        setsockopt, sockopt,
    };
    use tokio::net::UdpSocket;

    use super::{BATCH, LARGEST, ROOM, Read, Reader, Told, UNREAD};

    /// From now on the system may pass datagrams of one sender and one size as a piece, if it can.
    pub(super) fn join(socket: &UdpSocket) {
        // Systems before Linux 5.0 can't: then each comes by itself.
        let _ = setsockopt(socket, sockopt::UdpGroSegment, &true);
    }

    pub(super) fn widen(socket: &UdpSocket) {
        // Somebody may have given it more already.
        if getsockopt(socket, sockopt::RcvBuf).is_ok_and(|now| now < UNREAD) {
            let _ = setsockopt(socket, sockopt::RcvBuf, &UNREAD);
        }
    }

    /// The system leaves in a header how long the names were, and takes that as the room for the next
    /// ones. So each family has its own, and those for more are made anew.
    pub(super) struct Headers {
        v4: MultiHeaders<SockaddrStorage>,
        v6: MultiHeaders<SockaddrStorage>,
        more: MultiHeaders<SockaddrStorage>,
    }

    impl Headers {
        pub(super) fn new() -> Self {
            let new = |count| MultiHeaders::preallocate(count, None);
            Self { v4: new(BATCH), v6: new(BATCH), more: new(0) }
        }

        pub(super) fn read(
            &mut self,
            socket: &UdpSocket,
            reader: &Reader,
            buffer: &mut [u8],
            read: &mut [Read; BATCH],
        ) -> io::Result<usize> {
            let mut rooms = buffer.chunks_exact_mut(ROOM);
            let mut room = || rooms.next().map_or(&mut [][..], |room| &mut room[..LARGEST]);
            let mut slices: [_; BATCH] = std::array::from_fn(|_| [IoSliceMut::new(room())]);
            let slices = &mut slices[..reader.expected];
            let headers = match reader.told {
                Told::V4 => &mut self.v4,
                Told::V6 => &mut self.v6,
                Told::More => {
                    // With room to spare: a socket that was inherited may say more, as when it came.
                    let space = nix::cmsg_space!(i32, nix::libc::in6_pktinfo, [u8; 64]);
                    self.more = MultiHeaders::preallocate(reader.expected, Some(space));
                    &mut self.more
                }
            };
            let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            let mut count = 0;
            for (message, read) in recvmmsg(fd, headers, slices, flags, None)?.zip(read) {
                (read.len, read.each, read.to) = (message.bytes, 0, None);
                if let Some(from) = message.address.as_ref().and_then(address) {
                    read.from = from;
                }
                if reader.told == Told::More {
                    for about in message.cmsgs()? {
                        read.hear(&about);
                    }
                }
                count += 1;
            }
            Ok(count)
        }
    }

    impl Read {
        fn hear(&mut self, about: &ControlMessageOwned) {
            match about {
                ControlMessageOwned::UdpGroSegments(each) => {
                    self.each = usize::try_from(*each).unwrap_or(0);
                }
                // Of a broadcast, too, this is the machine's own.
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    let to = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
                    self.to = Some(to.into());
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    self.to = of_one(Ipv6Addr::from(info.ipi6_addr.s6_addr));
                }
                _ => {}
            }
        }
    }

    fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = from.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4).into());
        v4.or_else(|| from.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
    }

    /// The address, if an answer can come from it.
    fn of_one(to: Ipv6Addr) -> Option<IpAddr> {
        let of_many = match to.to_ipv4_mapped() {
            Some(v4) => v4.is_multicast() || v4.is_broadcast(),
            None => to.is_multicast(),
        };
        (!of_many).then_some(to.into())
    }
}
