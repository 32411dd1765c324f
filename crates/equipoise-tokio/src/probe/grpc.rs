//! Does the gRPC health service say that it serves?

use std::sync::Arc;

use ::http::header::{self, HeaderMap, HeaderValue};
use ::http::uri::PathAndQuery;
use ::http::{Method, Request};

use super::grpc_wire::{self, code_name, serving_name};
use super::http2;
use super::talk::{Line, talk, wire_limit};
use super::{Answer, Asking, InvalidProbe, Part, Probe, ProbeError, Target};

/// Calls `grpc.health.v1.Health/Check` ([the protocol]) over HTTP/2.
///
/// `SERVING` passes; anything else fails, by its name. In clear it takes HTTP/2 for granted, over TLS the
/// backend must choose it by ALPN.
///
/// [the protocol]: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
///
/// # Bounds
/// It takes 16 KiB of headers, 8 interim answers, an answer of 4 KiB, and in all 96 KiB on the wire (and 128
/// KiB for the handshake of TLS).
///
/// ```
/// use equipoise_tokio::probe::{Grpc, Probe};
///
/// assert_eq!(Grpc::new("")?.describe(), "gRPC health");
/// assert_eq!(Grpc::new("shop.Cart")?.describe(), "gRPC health of shop.Cart");
/// # Ok::<(), equipoise_tokio::probe::InvalidProbe>(())
/// ```
#[derive(Clone, Debug)]
pub struct Grpc {
    service: Arc<str>,
    #[cfg(feature = "tls")]
    tls: Option<super::TlsClient>,
}

/// What is asked, for an error.
const REQUEST: &str = "POST /grpc.health.v1.Health/Check";
const PATH: &str = "/grpc.health.v1.Health/Check";

impl Grpc {
    /// Asks for the health of this service; of the server as a whole if it is empty.
    ///
    /// # Errors
    /// [`InvalidProbe::Service`], if the name is longer than 1,024 bytes.
    pub fn new(service: &str) -> Result<Self, InvalidProbe> {
        if service.len() > 1024 {
            return Err(InvalidProbe::Service(service.len()));
        }
        Ok(Self {
            service: service.into(),
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    /// Asks over TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, client: super::TlsClient) -> Self {
        self.tls = Some(client.with_protocol(b"h2"));
        self
    }

    async fn open(&self, target: &Target) -> Result<(Line, bool), ProbeError> {
        let limit = wire_limit(grpc_wire::LIMIT);
        #[cfg(feature = "tls")]
        if let Some(client) = &self.tls {
            return Ok((Line::open_tls(target, client, limit, true).await?, true));
        }
        Ok((Line::open(target, limit).await?, false))
    }

    async fn ask(&self, target: &Target) -> Result<Answer, ProbeError> {
        let (Line { wire, meter, .. }, secure) = self.open(target).await?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = http2::uri(secure, target.host(), PathAndQuery::from_static(PATH))?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("equipoise-probe"));
        let (sender, connection) = http2::handshake(wire, &meter).await?;
        let exchange = async {
            let refused = |error| http2::reason(&error, &meter, false);
            let mut sender = sender.ready().await.map_err(refused)?;
            let (response, mut stream) = sender.send_request(request, false).map_err(refused)?;
            stream.send_data(grpc_wire::request(&self.service), true).map_err(refused)?;
            let response = http2::head(response, &meter).await?;
            if response.status() != 200 {
                let status = response.status().as_u16();
                return Err(ProbeError::Status { request: REQUEST.into(), status, because: None });
            }
            let kind = response.headers().get(header::CONTENT_TYPE);
            if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
                return Err(ProbeError::Not("gRPC"));
            }
            // A call that fails at once has its status here, and nothing else.
            if let Some(code) = code(response.headers()) {
                ok(code)?;
            }
            let mut body = response.into_body();
            let mut message = Vec::new();
            while let Some(piece) = http2::piece(&mut body, &meter).await? {
                if message.len() + piece.len() > grpc_wire::LIMIT {
                    return Err(ProbeError::TooLong { part: Part::Body, limit: grpc_wire::LIMIT });
                }
                message.extend_from_slice(&piece);
            }
            let trailers =
                body.trailers().await.map_err(|error| http2::reason(&error, &meter, true))?;
            // Without a status the call did not end well, whatever the message said.
            ok(trailers.as_ref().and_then(code).ok_or(ProbeError::Not("gRPC"))?)?;
            match grpc_wire::status(&message)? {
                1 => Ok(Answer::Pass),
                other => Err(ProbeError::NotServing(serving_name(other))),
            }
        };
        talk(http2::run(connection), exchange).await
    }
}

/// The status of the call; 2 (UNKNOWN) if it is no number, as the protocol has it.
fn code(headers: &HeaderMap) -> Option<u16> {
    let value = headers.get("grpc-status")?;
    Some(value.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(2))
}

fn ok(code: u16) -> Result<(), ProbeError> {
    if code == 0 { Ok(()) } else { Err(ProbeError::GrpcStatus { code, name: code_name(code) }) }
}

impl Probe for Grpc {
    fn probe<'a>(&'a self, target: &'a Target) -> Asking<'a> {
        Box::pin(self.ask(target))
    }

    fn describe(&self) -> String {
        if self.service.is_empty() {
            "gRPC health".to_owned()
        } else {
            format!("gRPC health of {}", self.service)
        }
    }
}
