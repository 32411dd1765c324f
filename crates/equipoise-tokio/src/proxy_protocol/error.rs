//! What can be wrong with a preamble, and with getting one.

use std::{fmt, io};

use super::Source;

/// A preamble with a mistake. Whoever sent it is to be disconnected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Invalid {
    /// The line of version 1 is not one; this part of it is wrong.
    Line(&'static str),
    /// The signature is that of version 2, and the version is another one.
    Version(u8),
    /// Neither LOCAL (0) nor PROXY (1).
    Command(u8),
    /// Not a family of addresses: 0 to 3 are.
    Family(u8),
    /// Not a transport: 0 to 2 are.
    Transport(u8),
    /// Its length does not cover its addresses.
    Length {
        /// What it says, in bytes after the first 16.
        said: u16,
        /// What its addresses take.
        needed: u16,
    },
    /// It is longer than it may be.
    TooLong {
        /// How long it may be, in bytes.
        limit: usize,
    },
    /// A TLV does not end where the preamble does.
    Tlv {
        /// Where it begins, in bytes from the start of the preamble.
        at: usize,
    },
    /// A checksum that has not four bytes, or a second one.
    ChecksumTlv {
        /// Where it begins, in bytes from the start of the preamble.
        at: usize,
    },
    /// Something in it was changed on the way.
    Checksum {
        /// What it says.
        said: u32,
        /// What it is.
        is: u32,
    },
}

/// Why a stream has no preamble that can be used. What was read of it is lost: disconnect.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// It has a mistake.
    Invalid(Invalid),
    /// The source may not send one: it sent one, or needs one to be served.
    Untrusted {
        /// The source.
        from: Source,
    },
    /// The client says something else, and a preamble is required.
    Missing,
    /// The stream ended before it.
    Truncated {
        /// Bytes that came.
        got: usize,
    },
    /// It took too long.
    Timeout {
        /// Bytes that came.
        got: usize,
    },
    /// The stream is broken.
    Io(io::Error),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(part) => write!(f, "its line has a bad {part}"),
            Self::Version(version) => write!(f, "its version is {version}, not 2"),
            Self::Command(command) => {
                write!(f, "its command is {command}, neither 0 (LOCAL) nor 1 (PROXY)")
            }
            Self::Family(family) => write!(f, "its address family is {family}; 0 to 3 are known"),
            Self::Transport(transport) => {
                write!(f, "its transport is {transport}; 0 to 2 are known")
            }
            Self::Length { said, needed } => {
                write!(f, "its length is {said} bytes, and its addresses take {needed}")
            }
            Self::TooLong { limit } => write!(f, "it is longer than {limit} bytes"),
            Self::Tlv { at } => write!(f, "its TLV at byte {at} does not end within it"),
            Self::ChecksumTlv { at } => {
                write!(f, "its checksum at byte {at} has not 4 bytes, or is the second one")
            }
            Self::Checksum { said, is } => {
                write!(f, "its checksum is {said:08x} and should be {is:08x}")
            }
        }
    }
}

impl std::error::Error for Invalid {}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PROXY protocol: ")?;
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Untrusted { from } => write!(f, "{from} is not trusted with it"),
            Self::Missing => f.write_str("it is required, and the client says something else"),
            Self::Truncated { got } => write!(f, "the connection ended after {got} bytes of it"),
            Self::Timeout { got } => write!(f, "timeout after {got} bytes of it"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Invalid> for ReadError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
