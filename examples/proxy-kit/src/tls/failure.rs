//! Why a handshake failed, in words for the log.

use std::fmt;
use std::io;
use std::time::Duration;

use rustls::Error;

/// Why there is no TLS with a client.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It took too long.
    TimedOut(Duration),
    /// The client closed before it had said a byte: a port scan, a health check by TCP.
    Silent,
    /// It closed in the middle.
    Closed,
    /// It speaks HTTP in clear.
    PlainHttp,
    /// It speaks something else that is not TLS.
    NotTls,
    /// It and this proxy could not agree, and why.
    Refused(String),
    /// The connection broke, and how.
    Broken(String),
}

impl HandshakeError {
    /// From the error of the handshake, and the first bytes that the client has sent.
    pub(super) fn new(error: &io::Error, first: &[u8]) -> Self {
        let cause = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
        match cause {
            Some(_) if is_http(first) => Self::PlainHttp,
            // 22 is a handshake, RFC 8446, 5.1; one that is malformed is said to be so by rustls.
            Some(Error::InvalidMessage(_)) if first.first() != Some(&22) => Self::NotTls,
            Some(Error::AlertReceived(alert)) => {
                Self::Refused(format!("the client says {alert:?}"))
            }
            Some(cause) => Self::Refused(cause.to_string()),
            None if error.kind() == io::ErrorKind::UnexpectedEof && first.is_empty() => {
                Self::Silent
            }
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            None => Self::Broken(error.to_string()),
        }
    }
}

/// A request line begins with a method and a space.
fn is_http(first: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] = [
        b"GET ",
        b"HEAD ",
        b"POST ",
        b"PUT ",
        b"DELETE ",
        b"OPTIONS ",
        b"PATCH ",
        b"CONNECT ",
        b"TRACE ",
    ];
    // Eight bytes of it are known.
    METHODS.iter().any(|method| first.starts_with(&method[..method.len().min(8)]))
        || first.starts_with(b"PRI * HT")
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TLS handshake: ")?;
        match self {
            Self::TimedOut(limit) => write!(f, "not complete after {} ms", limit.as_millis()),
            Self::Silent => f.write_str("the client closed without a word"),
            Self::Closed => f.write_str("the client closed in the middle"),
            Self::PlainHttp => f.write_str("the client speaks plain HTTP to a TLS port"),
            Self::NotTls => f.write_str("the client does not speak TLS"),
            // Words of rustls, which may quote the client: one line, and no quotes within quotes.
            Self::Refused(why) | Self::Broken(why) => {
                for c in why.chars().take(200) {
                    match c {
                        '"' => f.write_str("'")?,
                        c if c.is_control() => write!(f, "{}", c.escape_default())?,
                        c => write!(f, "{c}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for HandshakeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_speaks_in_clear_is_told_by_its_first_bytes() {
        let garbage = Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        let error = io::Error::new(io::ErrorKind::InvalidData, garbage);
        let of = |first: &[u8]| HandshakeError::new(&error, first);
        for http in ["GET / HT", "POST /", "OPTIONS ", "CONNECT ", "PRI * HT"] {
            assert_eq!(of(http.as_bytes()), HandshakeError::PlainHttp, "{http}");
        }
        assert_eq!(of(b"SSH-2.0-"), HandshakeError::NotTls);
        assert_eq!(of(b"GETTING "), HandshakeError::NotTls);
        assert!(matches!(of(b"\x16\x03\x01\xff\xff"), HandshakeError::Refused(_)));
    }

    #[test]
    fn words_are_one_line_without_quotes() {
        let error = HandshakeError::Refused("a\n\"b\"\u{1b}".to_owned());
        assert_eq!(error.to_string(), "TLS handshake: a\\n'b'\\u{1b}");
    }
}
