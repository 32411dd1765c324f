//! The talk in HTTP/2.
//!
//! By `h2` itself and not through hyper, whose HTTP/2 client spawns tasks: these would outlive a
//! probe that the caller drops.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use ::http::uri::PathAndQuery;
use ::http::{Response, Uri};
use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};

use super::meter::Meter;
use super::talk::{HEADERS_LIMIT, INTERIM_LIMIT, Wire};
use super::{Part, ProbeError};

#[cfg(feature = "http2")]
pub(super) async fn ask(
    probe: &super::Http,
    line: super::talk::Line,
    request: ::http::Request<()>,
) -> Result<super::Answer, ProbeError> {
    let super::talk::Line { wire, meter, .. } = line;
    let (sender, connection) = handshake(wire, &meter).await?;
    let exchange = async {
        let mut sender = sender.ready().await.map_err(|error| reason(&error, &meter, false))?;
        let (response, _) =
            sender.send_request(request, true).map_err(|error| reason(&error, &meter, false))?;
        let response = head(response, &meter).await?;
        let mut reader = probe.judge(response.status().as_u16())?;
        let mut body = response.into_body();
        let read = async {
            while let Some(piece) = piece(&mut body, &meter).await? {
                if reader.take(&piece)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let read = read.await;
        reader.conclude(read)
    };
    super::talk::talk(run(connection), exchange).await
}

/// Where to send a request.
pub(super) fn uri(secure: bool, host: &str, path: PathAndQuery) -> Result<Uri, ProbeError> {
    Uri::builder()
        .scheme(if secure { "https" } else { "http" })
        .authority(host)
        .path_and_query(path)
        .build()
        .map_err(|_| ProbeError::other("the host is not a host"))
}

/// Begins to speak HTTP/2. The windows are the smallest default: 64 KiB.
pub(super) async fn handshake(
    wire: Box<dyn Wire>,
    meter: &Meter,
) -> Result<(SendRequest<Bytes>, Connection<Box<dyn Wire>, Bytes>), ProbeError> {
    Builder::new()
        .enable_push(false)
        .max_header_list_size(HEADERS_LIMIT as u32)
        .handshake(wire)
        .await
        .map_err(|error| reason(&error, meter, false))
}

/// The connection; its errors reach the exchange, too.
pub(super) async fn run(connection: Connection<Box<dyn Wire>, Bytes>) {
    let _ = connection.await;
}

/// The head of the answer.
pub(super) async fn head(
    mut response: ResponseFuture,
    meter: &Meter,
) -> Result<Response<RecvStream>, ProbeError> {
    let mut interim = 0;
    poll_fn(|context| {
        while let Poll::Ready(Some(Ok(_))) = response.poll_informational(context) {
            interim += 1;
            if interim > INTERIM_LIMIT {
                let limit = INTERIM_LIMIT;
                return Poll::Ready(Err(ProbeError::TooLong { part: Part::Interim, limit }));
            }
        }
        Pin::new(&mut response).poll(context).map_err(|error| reason(&error, meter, false))
    })
    .await
}

/// The next piece of the body.
pub(super) async fn piece(
    body: &mut RecvStream,
    meter: &Meter,
) -> Result<Option<Bytes>, ProbeError> {
    let Some(piece) = body.data().await else { return Ok(None) };
    let piece = piece.map_err(|error| reason(&error, meter, true))?;
    // It fails only if more is given back than was received.
    let _ = body.flow_control().release_capacity(piece.len());
    Ok(Some(piece))
}

/// Why the exchange failed, before or after the head of the answer.
pub(super) fn reason(error: &h2::Error, meter: &Meter, answered: bool) -> ProbeError {
    if let Some(excess) = meter.excess() {
        return excess;
    }
    let cut = if answered { ProbeError::CutShort } else { ProbeError::Closed };
    if let Some(io) = error.get_io() {
        return match io.kind() {
            // h2 tells of a connection that ended within a talk as of a broken pipe.
            std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::UnexpectedEof => cut,
            _ => io.into(),
        };
    }
    let headers = || ProbeError::Http2("headers malformed, or longer than 16 KiB".into());
    match error.reason() {
        Some(Reason::ENHANCE_YOUR_CALM) if error.is_library() => {
            ProbeError::Http2("too many frames for an answer".into())
        }
        // h2 does not tell the one from the other.
        Some(Reason::COMPRESSION_ERROR) if error.is_library() && !answered => headers(),
        Some(_) if error.is_library() && error.is_reset() && !answered => headers(),
        Some(_) if error.is_library() => ProbeError::Not("HTTP/2"),
        Some(Reason::NO_ERROR) => cut,
        Some(reason) => ProbeError::Http2(reason.description().into()),
        None => ProbeError::Http2(crate::excerpt::excerpt(&error.to_string()).into()),
    }
}
