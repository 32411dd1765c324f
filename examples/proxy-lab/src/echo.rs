//! The echo backend as a process, which can be killed, hung, and made to reset its connections.
//!
//! On a connection it says first who it is: its name, its process, a newline. Then it does as one line says,
//! ends its direction, and waits for the client's end:
//!
//! | line | what it does |
//! |---|---|
//! | `echo` | gives back what comes |
//! | `make SEED LENGTH` | sends so many bytes of the [`Pattern`] |
//! | `take SEED` | reads to the client's end, and says `right LENGTH`, or `wrong LENGTH` if it is not the pattern |
//!
//! A datagram it answers with who it is, a newline, and the datagram.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use equipoise_core::Rng;

use crate::demo::{beside, own_address};
use crate::process::{Lines, collect, signal};
use crate::wait;

/// A running `echo-backend`. Killed when dropped.
#[derive(Debug)]
pub struct Echo {
    program: PathBuf,
    process: Option<Process>,
    /// What it calls itself.
    pub name: String,
    /// `127.x.y.z:port`, of TCP and of UDP, the same over every restart.
    pub address: String,
}

#[derive(Debug)]
struct Process {
    child: Child,
    output: Lines,
}

impl Echo {
    /// Starts one. `proxy` is the path of the proxy under test, beside which it is built.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(proxy: &str, name: &str) -> Self {
        let (program, address) = (beside(proxy, "proxy-lab", "echo-backend"), own_address());
        let mut echo = Self { program, process: None, name: name.to_owned(), address };
        echo.restart();
        echo
    }

    /// Kills it with SIGKILL, also while it hangs.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, at its address.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.process = None;
        let mut child = Command::new(&self.program)
            .args([&self.address, &self.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the echo backend starts");
        let output = collect(child.stdout.take());
        let process = Process { child, output };
        wait::until("the echo backend to listen", || !process.output.lock().is_empty());
        self.process = Some(process);
    }

    /// Its process.
    ///
    /// # Panics
    /// If it does not run.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").child.id()
    }

    /// Sends a signal by its name: `STOP` makes it hang, `CONT` lets it go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Has it reset its connections, and waits until it has.
    ///
    /// # Panics
    /// If it does not.
    pub fn reset(&mut self) {
        let process = self.process.as_mut().expect("it runs");
        let before = process.output.lock().len();
        let input = process.child.stdin.as_mut().expect("a pipe");
        input.write_all(b"reset\n").expect("it reads");
        wait::until("the echo backend to reset", || process.output.lock().len() > before);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes that follow from a seed, and of which no part is like another: what is lost, doubled or changed shows.
#[derive(Clone, Debug)]
pub struct Pattern {
    random: Rng,
    at: u64,
    /// The eight bytes around `at`.
    word: u64,
}

impl Pattern {
    /// From its beginning.
    pub fn new(seed: u64) -> Self {
        Self { random: Rng::seeded(seed), at: 0, word: 0 }
    }

    /// How many bytes have been taken.
    pub fn length(&self) -> u64 {
        self.at
    }

    /// The next bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next();
        }
    }

    /// Whether these are the next bytes.
    pub fn matches(&mut self, bytes: &[u8]) -> bool {
        // All of them are taken, whatever they are.
        bytes.iter().fold(true, |right, byte| right & (self.next() == *byte))
    }

    fn next(&mut self) -> u8 {
        if self.at.is_multiple_of(8) {
            self.word = self.random.next_u64();
        }
        let byte = self.word.to_le_bytes()[(self.at % 8) as usize];
        self.at += 1;
        byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_or_changed_shows() {
        let mut bytes = [0; 1000];
        Pattern::new(7).fill(&mut bytes);
        assert!(Pattern::new(7).matches(&bytes));
        assert!(!Pattern::new(8).matches(&bytes));
        for at in [0, 1, 7, 8, 500, 999] {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert!(!Pattern::new(7).matches(&changed), "{at}");
            let without = [&bytes[..at], &bytes[at + 1..]].concat();
            assert_eq!(Pattern::new(7).matches(&without), at == 999, "{at}");
        }
    }
}
