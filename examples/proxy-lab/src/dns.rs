//! A name server that says what a test wants.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

/// Answers every question for an A record with these addresses, with a TTL of 0. Its thread ends with the
/// test.
#[derive(Debug)]
pub struct NameServer {
    /// Where it listens.
    pub address: SocketAddr,
    says: Arc<Mutex<Vec<Ipv4Addr>>>,
}

/// The length of a header, in bytes.
const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];

impl NameServer {
    /// Starts one.
    ///
    /// # Panics
    /// If it can't.
    pub fn start(says: &[Ipv4Addr]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("an address");
        let says = Arc::new(Mutex::new(says.to_vec()));
        let said = Arc::clone(&says);
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if let Some(answer) = answer(&buffer[..length], &said.lock()) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, says }
    }

    /// From now on it says this.
    pub fn says(&self, addresses: &[Ipv4Addr]) {
        *self.says.lock() = addresses.to_vec();
    }
}

/// RFC 1035, section 4: the header, the question, and records whose name is a pointer to it. Whatever else
/// the question had, such as EDNS, is not repeated.
fn answer(query: &[u8], addresses: &[Ipv4Addr]) -> Option<Vec<u8>> {
    let name = query.get(HEADER..)?.iter().scan(0_usize, |left, &byte| {
        // Labels: a length, and so many bytes; the length 0 ends the name.
        let is_end = *left == 0 && byte == 0;
        *left = if *left == 0 { byte.into() } else { *left - 1 };
        Some(is_end)
    });
    let end = HEADER + name.take_while(|is_end| !is_end).count() + 1;
    let question = query.get(HEADER..end + 4)?;
    let is_a = query.get(end..end + 2)? == TYPE_A;
    let addresses = if is_a { addresses } else { &[] };
    let count = u16::try_from(addresses.len()).ok()?.to_be_bytes();
    let mut answer = query.get(..2)?.to_vec();
    // A response that is authoritative, to one question.
    answer.extend([0x84, 0, 0, 1, count[0], count[1], 0, 0, 0, 0]);
    answer.extend(question);
    for address in addresses {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
