//! Lines on the standard output.

use std::fmt;
use std::io::{self, Write};

/// Writes a line. Unlike `println!`, it survives a reader that has gone: a proxy goes on without
/// its log.
pub fn line(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// The same on the standard error: for what an operator should look at.
pub fn warn(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
