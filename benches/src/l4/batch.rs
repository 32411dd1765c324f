//! Several datagrams by one system call, so that load and backends cost less than what they measure.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

/// So many at a time.
pub const BATCH: usize = 64;
/// The largest that there is room for.
const ROOM: usize = 2048;

/// Room for a batch.
pub struct Batch {
    // Each call leaves its addresses in them, so they are not shared.
    reading: MultiHeaders<SockaddrIn>,
    sending: MultiHeaders<SockaddrIn>,
    buffer: Vec<u8>,
    lengths: Vec<usize>,
    addresses: Vec<Option<SockaddrIn>>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("lengths", &self.lengths).finish_non_exhaustive()
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            reading: MultiHeaders::preallocate(BATCH, None),
            sending: MultiHeaders::preallocate(BATCH, None),
            buffer: vec![0; BATCH * ROOM],
            lengths: Vec::with_capacity(BATCH),
            addresses: Vec::with_capacity(BATCH),
        }
    }
}

impl Batch {
    /// Reads what is there, at most [`BATCH`].
    pub fn read(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        self.lengths.clear();
        self.addresses.clear();
        let mut rooms: Vec<_> =
            self.buffer.chunks_exact_mut(ROOM).map(|room| [IoSliceMut::new(room)]).collect();
        let read = recvmmsg(
            socket.as_raw_fd(),
            &mut self.reading,
            rooms.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        for one in read {
            self.lengths.push(one.bytes);
            self.addresses.push(one.address);
        }
        Ok(self.lengths.len())
    }

    /// Those that were read.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.buffer.chunks_exact(ROOM).zip(&self.lengths).map(|(room, &length)| &room[..length])
    }

    /// Sends those that were read back to where they came from: how many went.
    pub fn send_back(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        let rooms = self.buffer.chunks_exact(ROOM).zip(&self.lengths);
        let slices: Vec<_> = rooms.map(|(room, &length)| [IoSlice::new(&room[..length])]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let (fd, headers) = (socket.as_raw_fd(), &mut self.sending);
        Ok(sendmmsg(fd, headers, slices.iter(), &self.addresses, [], flags)?.count())
    }

    /// Sends so many copies on a connected socket, at most [`BATCH`]: how many went.
    pub fn send(
        &mut self,
        socket: &impl AsRawFd,
        datagram: &[u8],
        count: usize,
    ) -> io::Result<usize> {
        let slices = vec![[IoSlice::new(datagram)]; count.min(BATCH)];
        let addresses = vec![None; slices.len()];
        let flags = MsgFlags::MSG_DONTWAIT;
        let (fd, headers) = (socket.as_raw_fd(), &mut self.sending);
        Ok(sendmmsg(fd, headers, slices.iter(), addresses, [], flags)?.count())
    }
}
