//! Does it complete a handshake?

use super::wire::close;
use super::{Answer, Asking, Probe, Target, TlsClient};

/// Connects, completes a TLS handshake, and closes the connection.
///
/// An expired certificate, one for another name, or one of an unknown issuer is a failure, unless
/// the client [trusts everybody](TlsClient::insecure). It reads at most 128 KiB.
#[derive(Clone, Debug)]
pub struct Tls {
    client: TlsClient,
}

impl Tls {
    /// A probe that shakes hands as this client.
    pub fn new(client: TlsClient) -> Self {
        Self { client }
    }
}

impl Probe for Tls {
    fn probe<'a>(&'a self, target: &'a Target) -> Asking<'a> {
        Box::pin(async {
            let (stream, _) = self.client.open(target, 0).await?;
            close(stream).await;
            Ok(Answer::Pass)
        })
    }

    fn describe(&self) -> String {
        "TLS handshake".to_owned()
    }
}
