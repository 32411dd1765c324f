//! Who writes to the log waits for nobody: threads of their own do, and what they can't write in time is
//! left out and counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
};
use std::thread;
use std::time::Duration;

use parking_lot::RwLock;

use super::Stream;

/// Lines that wait for a reader who is slow, of each stream. More are left out.
const WAITING: usize = 16 * 1024;

/// What is written at once, in bytes, or a line more.
const PIECE: usize = 64 * 1024;

/// How long the end waits for a reader.
const LAST: Duration = Duration::from_secs(1);

static WRITERS: RwLock<Option<[Writer; 2]>> = RwLock::new(None);

#[derive(Debug)]
struct Writer {
    lines: SyncSender<String>,
    left_out: &'static AtomicU64,
}

/// As long as this lives, the log is written in the background. Dropped, it waits a second for what is left.
#[derive(Debug)]
#[must_use]
pub struct Background {
    /// Hear of the threads' ends.
    ended: Vec<Receiver<()>>,
}

/// Lets threads of their own write the log: a reader that has stopped reading stops nobody else.
///
/// Where no thread can be had, whoever has something to say writes it.
pub fn in_background() -> Background {
    let Some(output) = Writer::start(Stream::Output) else {
        return Background { ended: Vec::new() };
    };
    let Some(error) = Writer::start(Stream::Error) else { return Background { ended: Vec::new() } };
    *WRITERS.write() = Some([output.0, error.0]);
    Background { ended: vec![output.1, error.1] }
}

/// Takes a line, or gives it back if nobody writes in the background.
pub(super) fn take(stream: Stream, line: String) -> Result<(), String> {
    let writers = WRITERS.read();
    let Some(writers) = &*writers else { return Err(line) };
    let writer = &writers[stream as usize];
    match writer.lines.try_send(line) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(_)) => {
            writer.left_out.fetch_add(1, Relaxed);
            Ok(())
        }
        Err(TrySendError::Disconnected(line)) => Err(line),
    }
}

impl Writer {
    fn start(stream: Stream) -> Option<(Self, Receiver<()>)> {
        static LEFT_OUT: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
        let left_out = &LEFT_OUT[stream as usize];
        let (lines, waiting) = sync_channel(WAITING);
        let (end, ended): (Sender<()>, _) = channel();
        let write = move || {
            write_all(stream, &waiting, left_out);
            drop(end);
        };
        thread::Builder::new().name("log".into()).spawn(write).ok()?;
        Some((Self { lines, left_out }, ended))
    }
}

fn write_all(stream: Stream, waiting: &Receiver<String>, left_out: &AtomicU64) {
    while let Ok(mut piece) = waiting.recv() {
        while piece.len() < PIECE
            && let Ok(line) = waiting.try_recv()
        {
            piece += &line;
        }
        let missing = left_out.swap(0, Relaxed);
        if missing > 0 {
            piece += &format!("log: {missing} lines left out: nobody read them in time\n");
        }
        stream.write(piece.as_bytes());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // From here on everybody writes again.
        drop(WRITERS.write().take());
        for ended in &self.ended {
            // A reader who does not read is not waited for any longer.
            if ended.recv_timeout(LAST) == Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
    }
}
