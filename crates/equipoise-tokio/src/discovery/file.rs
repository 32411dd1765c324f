//! A list of backends in a file.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::list::{MAX_LIST_BYTES, parse_list};
use super::{Discover, DiscoveryError, Endpoint, ListError, NextSet};

/// The most often a file is read.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// The least often.
const MAX_INTERVAL: Duration = Duration::from_secs(3_600);
/// How long a change must stand before it counts, if the interval is not shorter.
const SETTLE: Duration = Duration::from_millis(100);

/// A list of backends in a file, which is read again and again.
///
/// The form is that of [`parse_list`]. A change counts when two readings in a row agree on it, 100 ms
/// apart, or the interval if that is shorter. A file that is missing, unreadable or no list, twice
/// in a row, is one error; the set stays. To change the list, write another file and rename it: of a
/// file that is written in place, a writer that pauses longer between two lines shows one half.
///
/// It reads the file rather than wait for events of the file system. What it finds is what the path
/// leads to now, over any exchange of directories and links (a Kubernetes ConfigMap is a link to a
/// link), over network file systems, and whether or not the time stamp changed; events know none of
/// that reliably. Reading a hundred lines a second costs less than the events would.
///
/// Reads happen on tokio's pool for blocking work, one at a time, and are bounded to
/// [`MAX_LIST_BYTES`].
///
/// ```no_run
/// use equipoise_tokio::discovery::{Discover, FileWatch};
///
/// # async fn example() -> Result<(), equipoise_tokio::discovery::DiscoveryError> {
/// let mut source = FileWatch::new("/etc/proxy/backends")?;
/// loop {
///     match source.next().await {
///         Ok(set) => println!("{} backends", set.len()),
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    interval: Duration,
    due: Option<Instant>,
    reading: Option<JoinHandle<Reading>>,
    /// What the last reading found, if it has yet to be confirmed by another.
    unconfirmed: Option<Reading>,
    /// What counts.
    confirmed: Option<Reading>,
    /// The last set that was handed out.
    last: Option<Vec<Endpoint>>,
}

type Reading = Result<Vec<Endpoint>, DiscoveryError>;

impl FileWatch {
    /// The list in this file, read once a second. The file need not be there yet.
    ///
    /// # Errors
    /// The path is empty.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, DiscoveryError> {
        let path = path.into();
        if path.as_os_str().is_empty() {
            let (field, allowed) = ("path", "the path of a file");
            return Err(DiscoveryError::Setting { field, given: String::new(), allowed });
        }
        Ok(Self {
            path,
            interval: Duration::from_secs(1),
            due: None,
            reading: None,
            unconfirmed: None,
            confirmed: None,
            last: None,
        })
    }

    /// Sets how often the file is read: every 10 ms to 1 h.
    ///
    /// # Errors
    /// The interval is out of this range.
    pub fn interval(mut self, interval: Duration) -> Result<Self, DiscoveryError> {
        if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
            let (field, allowed) = ("interval", "10 ms to 1 h");
            return Err(DiscoveryError::Setting { field, given: format!("{interval:?}"), allowed });
        }
        self.interval = interval;
        Ok(self)
    }

    /// The next reading. Whatever is under way is kept in `self`, so that a future that is dropped
    /// here starts nothing anew.
    async fn read(&mut self) -> Reading {
        if let Some(due) = self.due {
            sleep_until(due).await;
        }
        let reading = self.reading.get_or_insert_with(|| {
            let path = self.path.clone();
            spawn_blocking(move || read(&path))
        });
        let found = reading.await;
        self.reading = None;
        self.due = Some(Instant::now() + self.interval);
        // A reader does not panic; it is cancelled when the runtime ends, and then nobody waits.
        found.unwrap_or_else(|_| {
            Err(DiscoveryError::Read { path: self.path.clone(), kind: std::io::ErrorKind::Other })
        })
    }

    /// Takes note of a reading; hands out what is new.
    fn note(&mut self, found: Reading) -> Option<Reading> {
        if self.confirmed.as_ref() == Some(&found) {
            self.unconfirmed = None;
            return None;
        }
        if self.unconfirmed.as_ref() != Some(&found) {
            self.unconfirmed = Some(found);
            self.due = Some(Instant::now() + self.interval.min(SETTLE));
            return None;
        }
        self.unconfirmed = None;
        self.confirmed = Some(found.clone());
        match &found {
            Ok(set) if self.last.as_ref() == Some(set) => return None,
            Ok(set) => self.last = Some(set.clone()),
            Err(_) => {}
        }
        Some(found)
    }
}

impl Discover for FileWatch {
    fn next(&mut self) -> NextSet<'_> {
        Box::pin(async move {
            loop {
                let found = self.read().await;
                if let Some(new) = self.note(found) {
                    return new;
                }
            }
        })
    }
}

fn read(path: &Path) -> Reading {
    let failed = |error: &std::io::Error| DiscoveryError::Read {
        path: path.to_path_buf(),
        kind: error.kind(),
    };
    // Opening a named pipe would wait for its writer.
    if !fs::metadata(path).map_err(|error| failed(&error))?.is_file() {
        return Err(DiscoveryError::NotAFile { path: path.to_path_buf() });
    }
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    let limit = MAX_LIST_BYTES as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    let wrong = |error: ListError| DiscoveryError::List { path: path.to_path_buf(), error };
    parse_list(&bytes).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_when_two_readings_agree_on_it() {
        let mut source = FileWatch::new("x").unwrap();
        let reading = |text: &str| Ok(parse_list(text.as_bytes()).unwrap());
        let (one, half, two) = ("1.1.1.1:1\n", "2.2.2.2:2\n", "2.2.2.2:2\n3.3.3.3:3\n");
        assert_eq!(source.note(reading(one)), None);
        assert_eq!(source.note(reading(one)), Some(reading(one)));
        assert_eq!(source.note(reading(one)), None);
        // Written in place: empty, a half, all of it.
        for text in ["", half, two] {
            assert_eq!(source.note(reading(text)), None);
        }
        assert_eq!(source.note(reading(two)), Some(reading(two)));
        // A glimpse of something else, and back.
        assert_eq!(source.note(reading(half)), None);
        assert_eq!(source.note(reading(two)), None);
        assert_eq!(source.note(reading(half)), None);
    }
}
