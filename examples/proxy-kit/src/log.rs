//! Lines on the standard output.

use std::fmt;
use std::io::{self, Write};

use serde::Deserialize;

/// Writes a line. Unlike `println!`, it survives a reader that has gone: a proxy goes on without
/// its log.
pub fn line(text: fmt::Arguments<'_>) {
    write(io::stdout().lock(), text);
}

/// The same on the standard error: for what an operator should look at.
pub fn warn(text: fmt::Arguments<'_>) {
    write(io::stderr().lock(), text);
}

/// In one piece: another process may write to the same place, and each piece is looked through for the
/// end of a line.
fn write(mut to: impl Write, text: fmt::Arguments<'_>) {
    let _ = to.write_all(format!("{text}\n").as_bytes());
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
