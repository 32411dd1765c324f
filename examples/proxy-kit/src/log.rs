//! Lines on the standard output.

mod background;

use std::fmt;
use std::io::{self, Write};

use serde::Deserialize;

pub use self::background::{Background, in_background};

/// Writes a line. Unlike `println!`, it survives a reader that has gone: a proxy goes on without
/// its log.
pub fn line(text: fmt::Arguments<'_>) {
    Stream::Output.say(text);
}

/// The same on the standard error: for what an operator should look at.
pub fn warn(text: fmt::Arguments<'_>) {
    Stream::Error.say(text);
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stream {
    Output,
    Error,
}

impl Stream {
    fn say(self, text: fmt::Arguments<'_>) {
        let line = format!("{text}\n");
        if let Err(line) = background::take(self, line) {
            self.write(line.as_bytes());
        }
    }

    /// In one piece: another process may write to the same place.
    fn write(self, lines: &[u8]) {
        let _ = match self {
            Self::Output => {
                let mut output = io::stdout().lock();
                output.write_all(lines).and_then(|()| output.flush())
            }
            Self::Error => io::stderr().lock().write_all(lines),
        };
    }
}

/// `log.connections = "..."`: which connections have a line in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Logged {
    /// Each.
    #[default]
    All,
    /// Those that something went wrong with.
    Failed,
    /// None.
    Off,
}

/// `[log]`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// Which connections have a line.
    pub connections: Logged,
}
