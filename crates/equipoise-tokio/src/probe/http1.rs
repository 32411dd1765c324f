//! The talk in HTTP/1.1.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::http::Request;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;

use super::meter::Meter;
use super::talk::{HEADERS_LIMIT, INTERIM_LIMIT, Line, talk};
use super::{Answer, Http, Part, ProbeError};

pub(super) async fn ask(
    probe: &Http,
    line: Line,
    mut request: Request<Empty<Bytes>>,
) -> Result<Answer, ProbeError> {
    let Line { wire, meter, heard } = line;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADERS_LIMIT)
        .handshake(TokioIo::new(wire))
        .await
        .map_err(|error| reason(&error, &meter, &heard))?;
    let excess = count_interim(&mut request);
    let exchange = async {
        let response = tokio::select! {
            biased;
            () = excess.notified() => {
                return Err(ProbeError::TooLong { part: Part::Interim, limit: INTERIM_LIMIT });
            }
            response = sender.send_request(request) => response,
        };
        let response = response.map_err(|error| reason(&error, &meter, &heard))?;
        let mut reader = probe.judge(response.status().as_u16())?;
        let mut body = response.into_body();
        let read = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| reason(&error, &meter, &heard))?;
                if let Some(piece) = frame.data_ref()
                    && reader.take(piece)?
                {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let read = read.await;
        reader.conclude(read)
    };
    let connection = async {
        // Its errors reach the exchange, too.
        let _ = connection.await;
    };
    talk(connection, exchange).await
}

/// Counts the interim answers, and tells when there are too many.
fn count_interim<B>(request: &mut Request<B>) -> Arc<Notify> {
    let excess = Arc::new(Notify::new());
    let (count, tell) = (AtomicUsize::new(0), Arc::clone(&excess));
    hyper::ext::on_informational(request, move |_| {
        if count.fetch_add(1, Ordering::Relaxed) >= INTERIM_LIMIT {
            tell.notify_one();
        }
    });
    excess
}

/// Why the exchange failed.
fn reason(error: &hyper::Error, meter: &Meter, heard: &Meter) -> ProbeError {
    if let Some(excess) = meter.excess() {
        return excess;
    }
    if error.is_parse_too_large() {
        return ProbeError::TooLong { part: Part::Headers, limit: HEADERS_LIMIT };
    }
    if error.is_parse() {
        return ProbeError::Not("HTTP");
    }
    let cut = if heard.read() == 0 { ProbeError::Closed } else { ProbeError::CutShort };
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return cut;
    }
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(source) if source.kind() == io::ErrorKind::UnexpectedEof => cut,
        // The framing of a body is read as I/O: a size that is no number, a chunk without an end.
        Some(source)
            if matches!(
                source.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            ) && source.get_ref().is_none_or(|inner| !is_tls(inner)) =>
        {
            ProbeError::Not("HTTP")
        }
        Some(source) => source.into(),
        None => cut,
    }
}

#[cfg(feature = "tls")]
fn is_tls(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error.is::<rustls::Error>()
}

#[cfg(not(feature = "tls"))]
fn is_tls(_: &(dyn Error + Send + Sync + 'static)) -> bool {
    false
}
