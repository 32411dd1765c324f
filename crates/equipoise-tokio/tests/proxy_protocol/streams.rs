//! Preambles from streams: in pieces, slowly, not at all, and from those who may not send any.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use equipoise_tokio::proxy_protocol::{
    Invalid, MAX_LENGTH, Mode, Preamble, ReadError, Receiver, Source, Trusted,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use crate::wrong::samples;

const LIMIT: Duration = Duration::from_secs(3);
const FRIEND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3));
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));
const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 4321 80\r\n";

fn receiver(mode: Mode) -> Receiver {
    Receiver::new(mode, Trusted::new(["10.0.0.0/8", "2001:db8::/32"]).unwrap(), LIMIT)
}

/// What is made of a client that sends this and closes, with all that comes after it.
async fn read(mode: Mode, from: IpAddr, sent: &[u8]) -> Result<(Preamble, Vec<u8>), ReadError> {
    let mut stream = sent;
    let preamble = receiver(mode).read(&mut stream, from).await?;
    let all = [&preamble.rest, stream].concat();
    Ok((preamble, all))
}

/// A client that sends a byte at a time, and then leaves the connection open.
fn drip(bytes: Vec<u8>, pause: Duration) -> DuplexStream {
    let (mut client, stream) = duplex(1);
    tokio::spawn(async move {
        for byte in bytes {
            if client.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(pause).await;
        }
        std::future::pending::<()>().await;
    });
    stream
}

#[tokio::test(start_paused = true)]
async fn a_preamble_may_come_byte_by_byte_and_nothing_is_lost() {
    for header in samples() {
        let bytes = [header.encode(), b"what follows".to_vec()].concat();
        let mut stream = drip(bytes, Duration::from_millis(1));
        let preamble = receiver(Mode::Required).read(&mut stream, FRIEND).await.unwrap();
        assert_eq!(preamble.header.as_deref(), Some(&header));
        let mut rest = vec![0; b"what follows".len() - preamble.rest.len()];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!([preamble.rest, rest].concat(), b"what follows");
    }
}

#[tokio::test]
async fn what_comes_with_it_is_handed_on() {
    for header in samples() {
        // More than is read at once.
        let payload: Vec<u8> = (0..20_000).map(|index| (index % 251) as u8).collect();
        for mode in [Mode::Optional, Mode::Required] {
            let sent = [header.encode(), payload.clone()].concat();
            let (preamble, all) = read(mode, FRIEND, &sent).await.unwrap();
            assert_eq!(preamble.header.as_deref(), Some(&header));
            assert!(all == payload);
            assert!(preamble.rest.len() <= MAX_LENGTH);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_preamble_is_cut_off_in_time() {
    let start = Instant::now();
    let mut stream = drip(LINE.to_vec(), Duration::from_millis(200));
    let error = receiver(Mode::Required).read(&mut stream, FRIEND).await.unwrap_err();
    assert_eq!(start.elapsed(), LIMIT);
    assert!(matches!(error, ReadError::Timeout { got: 15 | 16 }), "{error}");
    assert_eq!(error.to_string().split(" after").next(), Some("PROXY protocol: timeout"));

    let mut stream = drip(Vec::new(), LIMIT);
    let error = receiver(Mode::Required).read(&mut stream, FRIEND).await.unwrap_err();
    assert!(matches!(error, ReadError::Timeout { got: 0 }), "{error}");
    // Once it is signed, it is nothing else, even if it may be left out.
    let mut stream = drip(b"PROXY ".to_vec(), Duration::ZERO);
    let error = receiver(Mode::Optional).read(&mut stream, FRIEND).await.unwrap_err();
    assert!(matches!(error, ReadError::Timeout { got: 6 }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn who_says_little_or_nothing_may_be_without_one() {
    for said in [&b""[..], b"P", b"PROXY", b"\r\n\r\n"] {
        let start = Instant::now();
        let mut stream = drip(said.to_vec(), Duration::ZERO);
        let preamble = receiver(Mode::Optional).read(&mut stream, FRIEND).await.unwrap();
        assert_eq!(preamble, Preamble { header: None, rest: said.to_vec() });
        assert_eq!(start.elapsed(), LIMIT);
        for from in [FRIEND, STRANGER] {
            let (preamble, _) = read(Mode::Optional, from, said).await.unwrap();
            assert_eq!(preamble, Preamble { header: None, rest: said.to_vec() });
        }
    }
}

/// What is missing may still come, and would name somebody to the backend.
#[tokio::test(start_paused = true)]
async fn a_stranger_who_dawdles_names_nobody_either() {
    for said in [&b""[..], b"P", b"PROXY", b"\r\n\r\n"] {
        let mut stream = drip(said.to_vec(), Duration::ZERO);
        let error = receiver(Mode::Optional).read(&mut stream, STRANGER).await.unwrap_err();
        assert!(matches!(error, ReadError::Timeout { got } if got == said.len()), "{error}");
    }
}

#[tokio::test]
async fn something_else_is_handed_on_or_refused() {
    let request = b"GET / HTTP/1.1\r\n\r\n";
    for from in [FRIEND, STRANGER] {
        let (preamble, all) = read(Mode::Optional, from, request).await.unwrap();
        assert_eq!((preamble.header, &all[..]), (None, &request[..]));
    }
    let error = read(Mode::Required, FRIEND, request).await.unwrap_err();
    assert!(matches!(error, ReadError::Missing), "{error}");
    assert!(error.to_string().contains("required"));
}

#[tokio::test]
async fn a_stranger_names_nobody() {
    for header in samples() {
        for mode in [Mode::Optional, Mode::Required] {
            let error = read(mode, STRANGER, &header.encode()).await.unwrap_err();
            assert!(
                matches!(error, ReadError::Untrusted { from: Source::Ip(STRANGER) }),
                "{error}"
            );
        }
    }
    // Nor with a wrong one, or a part of one.
    for sent in [&b"PROXY WRONG\r\n"[..], b"PROXY TCP4 1"] {
        let error = read(Mode::Optional, STRANGER, sent).await.unwrap_err();
        assert_eq!(error.to_string(), "PROXY protocol: 192.0.2.9 is not trusted with it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_not_waited_for_once_it_is_signed() {
    let start = Instant::now();
    let mut stream = drip(b"PROXY ".to_vec(), Duration::ZERO);
    let error = receiver(Mode::Optional).read(&mut stream, STRANGER).await.unwrap_err();
    assert!(matches!(error, ReadError::Untrusted { .. }), "{error}");
    let mut stream = drip(Vec::new(), Duration::ZERO);
    let error = receiver(Mode::Required).read(&mut stream, STRANGER).await.unwrap_err();
    assert!(matches!(error, ReadError::Untrusted { .. }), "{error}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn every_end_before_its_end_is_named() {
    for header in samples() {
        let bytes = header.encode();
        for length in 0..bytes.len() {
            let error = read(Mode::Required, FRIEND, &bytes[..length]).await.unwrap_err();
            assert!(matches!(error, ReadError::Truncated { got } if got == length), "{error}");
        }
    }
    let error = read(Mode::Optional, FRIEND, &LINE[..30]).await.unwrap_err();
    assert!(matches!(error, ReadError::Truncated { got: 30 }), "{error}");
}

#[tokio::test]
async fn a_mistake_is_named_and_no_more_is_read() {
    let mut endless = &[&b"PROXY "[..], &[b'x'; 1 << 20]].concat()[..];
    let error = receiver(Mode::Required).read(&mut endless, FRIEND).await.unwrap_err();
    assert!(matches!(error, ReadError::Invalid(Invalid::TooLong { limit: 107 })), "{error}");
    assert!(endless.len() >= (1 << 20) - MAX_LENGTH);
    let error = read(Mode::Optional, FRIEND, b"PROXY TCP4 x y 1 2\r\n").await.unwrap_err();
    assert_eq!(error.to_string(), "PROXY protocol: its line has a bad source address");
}

#[tokio::test]
async fn a_broken_stream_is_an_error() {
    let broken = || tokio_test_stream(io::ErrorKind::ConnectionReset);
    for mode in [Mode::Optional, Mode::Required] {
        let error = receiver(mode).read(&mut broken(), FRIEND).await.unwrap_err();
        assert!(matches!(error, ReadError::Io(_)), "{error}");
    }
}

/// A stream that fails at once.
fn tokio_test_stream(kind: io::ErrorKind) -> impl tokio::io::AsyncRead + Unpin {
    struct Broken(io::ErrorKind);
    impl tokio::io::AsyncRead for Broken {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Err(self.0.into()))
        }
    }
    Broken(kind)
}

#[test]
fn networks_and_addresses_are_trusted() {
    let trusted = Trusted::new(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"]).unwrap();
    for (address, expected) in [
        ("10.255.0.1", true),
        ("11.0.0.1", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("::ffff:10.0.0.1", true),
        ("2001:db8:1::1", true),
        ("2001:db9::1", false),
        ("::1", true),
        ("::2", false),
    ] {
        assert_eq!(trusted.contains(address.parse::<IpAddr>().unwrap()), expected, "{address}");
    }
    for text in ["", "10.0.0.0/33", "10.0.0.1/8", "10.0.0/8", "example.com", "2001:db8::1/32", "/8"]
    {
        let error = Trusted::new(["10.0.0.0/8", text]).unwrap_err();
        assert!(error.to_string().starts_with(&format!("`{text}` is neither")), "{error}");
    }
    assert!(!Trusted::default().contains(FRIEND) && Trusted::default().is_empty());
    assert!(!trusted.contains(Source::Unix));
    let trusted = Trusted::new(["unix"]).unwrap();
    assert!(trusted.contains(Source::Unix) && !trusted.contains(FRIEND) && !trusted.is_empty());
}
