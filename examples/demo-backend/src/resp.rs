//! A command to Redis and its reply, in [RESP2](https://redis.io/docs/latest/develop/reference/protocol-spec/).
//!
//! A few commands on a connection of their own don't need a client library: the usual one would bring thirty crates.

use std::fmt::Debug;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, ToSocketAddrs};

use crate::down::Down;

/// Longest line and longest string that is read: what answers may not be Redis.
const MAX_LINE: u64 = 1024;
const MAX_BULK: usize = 64 * 1024;
const MAX_ARRAY: usize = 16;

/// A reply that is no error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Simple(String),
    Integer(i64),
    /// `None` is null: there is no such key.
    Bulk(Option<Vec<u8>>),
    /// Of values that are no arrays.
    Array(Vec<Value>),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client<S = TcpStream>(BufReader<S>);

impl Client {
    pub(crate) async fn connect(address: impl ToSocketAddrs) -> Result<Self, Down> {
        let stream = TcpStream::connect(address).await.map_err(Down::new)?;
        stream.set_nodelay(true).map_err(Down::new)?;
        Ok(Self::new(stream))
    }
}

impl<S: AsyncReadExt + AsyncWriteExt + Unpin> Client<S> {
    fn new(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Sends a command and reads its reply.
    ///
    /// # Errors
    /// The server's error too. The connection must not be used after that.
    pub(crate) async fn call(&mut self, command: &[&[u8]]) -> Result<Value, Down> {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            bytes.extend(format!("${}\r\n", part.len()).into_bytes());
            bytes.extend_from_slice(part);
            bytes.extend(b"\r\n");
        }
        self.0.write_all(&bytes).await.map_err(Down::new)?;
        let line = self.line().await?;
        let Some(length) = line.strip_prefix('*') else { return self.value(&line).await };
        let mut values = Vec::new();
        for _ in 0..size(length, MAX_ARRAY)? {
            let line = self.line().await?;
            values.push(self.value(&line).await?);
        }
        Ok(Value::Array(values))
    }

    /// A value that is no array, from its first line on.
    async fn value(&mut self, line: &str) -> Result<Value, Down> {
        let wrong = || Down::new(format_args!("not Redis: {line:?}"));
        let (kind, rest) = line.split_at_checked(1).ok_or_else(wrong)?;
        match kind {
            "+" => Ok(Value::Simple(rest.to_owned())),
            "-" => Err(Down::new(rest)),
            ":" => rest.parse().map(Value::Integer).map_err(|_| wrong()),
            "$" if rest == "-1" => Ok(Value::Bulk(None)),
            "$" => {
                let mut bytes = vec![0; size(rest, MAX_BULK)? + 2];
                self.0.read_exact(&mut bytes).await.map_err(Down::new)?;
                bytes.truncate(bytes.len() - 2);
                Ok(Value::Bulk(Some(bytes)))
            }
            _ => Err(wrong()),
        }
    }

    async fn line(&mut self) -> Result<String, Down> {
        let mut line = Vec::new();
        (&mut self.0).take(MAX_LINE).read_until(b'\n', &mut line).await.map_err(Down::new)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None if line.len() as u64 == MAX_LINE => Err(Down::new("not Redis: no end of line")),
            None => Err(Down::new("the connection ended before a reply")),
        }
    }
}

/// A reply of the wrong kind.
pub(crate) fn unexpected<T>(value: &impl Debug) -> Result<T, Down> {
    Err(Down::new(format_args!("unexpected reply {value:?}")))
}

fn size(text: &str, max: usize) -> Result<usize, Down> {
    text.parse()
        .ok()
        .filter(|size| *size <= max)
        .ok_or_else(|| Down::new(format_args!("not Redis: length {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::{Client, Value};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// What a reply is taken for, and what was sent for it.
    #[tokio::main(flavor = "current_thread")]
    async fn call(reply: &[u8]) -> Result<Value, String> {
        let (ours, mut theirs) = duplex(1 << 20);
        theirs.write_all(reply).await.unwrap();
        let value = Client::new(ours).call(&[b"SET", b"k", b"a b\r\n"]).await;
        let mut sent = Vec::new();
        theirs.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na b\r\n\r\n");
        value.map_err(|down| down.to_string())
    }

    #[test]
    fn replies_are_read() {
        let bulk = |text: &str| Value::Bulk(Some(text.into()));
        assert_eq!(call(b"+OK\r\n"), Ok(Value::Simple("OK".to_owned())));
        assert_eq!(call(b":-12\r\n"), Ok(Value::Integer(-12)));
        assert_eq!(call(b"$-1\r\n"), Ok(Value::Bulk(None)));
        assert_eq!(call(b"$4\r\na\r\nb\r\n"), Ok(bulk("a\r\nb")));
        assert_eq!(
            call(b"*2\r\n:1\r\n$1\r\na\r\n"),
            Ok(Value::Array(vec![Value::Integer(1), bulk("a")]))
        );
        assert_eq!(call(b"-READONLY replica\r\n"), Err("READONLY replica".to_owned()));
        assert_eq!(call(b"*1\r\n-ERR no\r\n"), Err("ERR no".to_owned()));
    }

    #[test]
    fn what_is_not_redis_is_an_error() {
        for (reply, named) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "not Redis: \"HTTP/1.1"),
            (b"\r\n", "not Redis: \"\""),
            (b"+", "the connection ended"),
            (b"", "the connection ended"),
            (b":x\r\n", "not Redis: \":x\""),
            (b"$65537\r\n", "not Redis: length \"65537\""),
            (b"$-2\r\n", "not Redis: length"),
            (b"*17\r\n", "not Redis: length \"17\""),
            (b"*1\r\n*1\r\n:1\r\n", "not Redis: \"*1\""),
            (b"$5\r\nab", "early eof"),
            (&[b'+'; 5000], "not Redis: no end of line"),
            ("é\r\n".as_bytes(), "not Redis: \"é\""),
        ] {
            let reply = [reply, b"" as &[u8]].concat();
            let error = call_closed(&reply).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    /// The other side says this and closes.
    #[tokio::main(flavor = "current_thread")]
    async fn call_closed(reply: &[u8]) -> Result<Value, String> {
        let (ours, mut theirs) = duplex(1 << 20);
        theirs.write_all(reply).await.unwrap();
        theirs.shutdown().await.unwrap();
        Client::new(ours).call(&[b"PING"]).await.map_err(|down| down.to_string())
    }
}
