//! Several datagrams by one system call, into a buffer that a thread's sockets share.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

#[cfg(target_os = "linux")]
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams that are read at a time.
pub(super) const BATCH: usize = 32;
/// Room for each: more than the largest, which is 65,507 bytes (65,527 on IPv6). The system maps the
/// pages that are written to, so that small datagrams take little.
const ROOM: usize = 1 << 16;

/// What was read.
pub(super) struct Batch {
    buffer: Vec<u8>,
    read: [(usize, SocketAddr); BATCH],
    #[cfg(target_os = "linux")]
    headers: linux::Headers,
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
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            buffer: vec![0; BATCH * ROOM],
            read: [(0, nobody); BATCH],
            #[cfg(target_os = "linux")]
            headers: linux::Headers::new(),
        }
    }

    /// Reads what is there: how many datagrams, and whether there may be more.
    ///
    /// When fewer come than could, the socket is empty. Then tokio is told so at once, which saves the
    /// call that would find out. (What comes in between counts: readiness that is newer is not cleared.)
    #[cfg(target_os = "linux")]
    pub(super) fn read(&mut self, socket: &UdpSocket, is_v4: bool) -> io::Result<(usize, bool)> {
        let mut count = 0;
        let done = socket.try_io(Interest::READABLE, || {
            count = self.headers.read(socket, is_v4, &mut self.buffer, &mut self.read)?;
            if count < BATCH { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match done {
            Ok(()) => Ok((count, true)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok((count, false)),
            Err(error) => Err(error),
        }
    }

    /// The same where one system call reads one datagram.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn read(&mut self, socket: &UdpSocket, _: bool) -> io::Result<(usize, bool)> {
        let rooms = self.buffer.chunks_exact_mut(ROOM).zip(&mut self.read);
        for (count, (room, read)) in rooms.enumerate() {
            match socket.try_recv_from(room) {
                Ok(one) => *read = one,
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

    /// A datagram that was read, and who sent it.
    pub(super) fn get(&self, index: usize) -> (&[u8], SocketAddr) {
        let (len, from) = self.read[index];
        (&self.buffer[index * ROOM..][..len], from)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSliceMut};
    use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
    use tokio::net::UdpSocket;

    use super::{BATCH, ROOM};

    /// The system leaves in a header how long the address was, and takes that as the room for the next
    /// one. So each family has its own.
    pub(super) struct Headers([MultiHeaders<SockaddrStorage>; 2]);

    impl Headers {
        pub(super) fn new() -> Self {
            Self([(); 2].map(|()| MultiHeaders::preallocate(BATCH, None)))
        }

        pub(super) fn read(
            &mut self,
            socket: &UdpSocket,
            is_v4: bool,
            buffer: &mut [u8],
            read: &mut [(usize, SocketAddr); BATCH],
        ) -> io::Result<usize> {
            let mut rooms = buffer.chunks_exact_mut(ROOM);
            let mut slices: [_; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(rooms.next().unwrap_or_default())]);
            let headers = &mut self.0[usize::from(is_v4)];
            let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            let mut count = 0;
            for (message, read) in recvmmsg(fd, headers, &mut slices, flags, None)?.zip(read) {
                read.0 = message.bytes;
                if let Some(from) = message.address.as_ref().and_then(address) {
                    read.1 = from;
                }
                count += 1;
            }
            Ok(count)
        }
    }

    fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = from.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4).into());
        v4.or_else(|| from.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
    }
}
