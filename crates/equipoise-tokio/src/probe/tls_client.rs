//! Whom to trust.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::meter::{Meter, Metered};
use super::target::bare_name;
use super::wire::connect;
use super::{InvalidProbe, ProbeError, Target};
use crate::excerpt::excerpt;
use crate::socket::Socket;

/// How to speak TLS to a backend: which certificates to trust, and for which name.
///
/// TLS 1.2 and 1.3. Sessions are not resumed: each probe sees the whole handshake and the
/// certificate as it is now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl TlsClient {
    /// What a backend may send for the handshake; rustls takes certificates of 64 KiB in all.
    pub(super) const HANDSHAKE_LIMIT: usize = 128 * 1024;

    /// Trusts the root certificates of the operating system, as they are now.
    ///
    /// The system's, and not a list that is compiled in: backends often have certificates of a
    /// company's own authority, which its machines know. It reads files.
    ///
    /// # Errors
    /// [`InvalidProbe::Ca`], if the system has no root certificate that can be read.
    pub fn system() -> Result<Self, InvalidProbe> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (good, _) = roots.add_parsable_certificates(found.certs);
        if good == 0 {
            let why = found.errors.first().map_or_else(
                || "the system has no root certificates".to_owned(),
                |error| format!("the system's root certificates: {error}"),
            );
            return Err(InvalidProbe::Ca(why));
        }
        Self::with_roots(roots)
    }

    /// Trusts the certificates of a PEM file, and no others.
    ///
    /// # Errors
    /// [`InvalidProbe::Ca`], if there is no certificate in it, or one that can't be read.
    pub fn with_ca(pem: &[u8]) -> Result<Self, InvalidProbe> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| InvalidProbe::Ca(e.to_string()))?;
            roots.add(certificate).map_err(|e| InvalidProbe::Ca(e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(InvalidProbe::Ca("no certificate in it".to_owned()));
        }
        Self::with_roots(roots)
    }

    /// Trusts these certificates.
    ///
    /// # Errors
    /// [`InvalidProbe::Tls`], if rustls refuses its settings.
    pub fn with_roots(roots: RootCertStore) -> Result<Self, InvalidProbe> {
        Self::build(|builder| builder.with_root_certificates(roots).with_no_client_auth())
    }

    /// Trusts everybody: the handshake must succeed, whatever the certificate says.
    ///
    /// Whoever is in between can answer in the backend's name.
    ///
    /// # Errors
    /// [`InvalidProbe::Tls`], if rustls refuses its settings.
    pub fn insecure() -> Result<Self, InvalidProbe> {
        Self::build(|builder| {
            let provider = Arc::clone(builder.crypto_provider());
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
                .with_no_client_auth()
        })
    }

    /// Sets the name that is asked for (SNI) and that the certificate must have; without one it is
    /// the target's host. No name is asked for, where it is an address.
    ///
    /// # Errors
    /// [`InvalidProbe::ServerName`], if no certificate can have it.
    pub fn with_server_name(mut self, name: &str) -> Result<Self, InvalidProbe> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| InvalidProbe::ServerName(name.to_owned()))?;
        self.server_name = Some(name);
        Ok(self)
    }

    fn build(
        finish: impl FnOnce(rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>) -> ClientConfig,
    ) -> Result<Self, InvalidProbe> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| InvalidProbe::Tls(error.to_string()))?;
        let mut config = finish(builder);
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), server_name: None })
    }

    /// Offers this protocol (ALPN).
    #[cfg(any(feature = "http", feature = "grpc"))]
    pub(super) fn with_protocol(mut self, protocol: &[u8]) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![protocol.to_vec()];
        self
    }

    /// Connects and completes the handshake; `limit` bytes may follow it.
    pub(super) async fn open(
        &self,
        target: &Target,
        limit: usize,
    ) -> Result<(TlsStream<Metered<Socket>>, Arc<Meter>), ProbeError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(bare_name(target.host()).to_owned()).map_err(|_| {
                ProbeError::Tls(format!("no certificate can be for `{}`", target.host()).into())
            })?,
        };
        let stream = connect(target).await?;
        let (stream, meter) = Metered::new(stream, limit.saturating_add(Self::HANDSHAKE_LIMIT));
        let connector = TlsConnector::from(Arc::clone(&self.config));
        match connector.connect(name, stream).await {
            Ok(stream) => Ok((stream, meter)),
            Err(_) if meter.excess().is_some() => Err(meter.excess().unwrap_or(ProbeError::Reset)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(ProbeError::Tls("closed before the handshake was complete".into()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The error of TLS in an error of I/O.
pub(super) fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// An error of TLS, in few words.
pub(super) fn words(error: &Error) -> String {
    use CertificateError as Bad;
    match error {
        Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "certificate expired".to_owned()
        }
        Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "certificate not valid yet".to_owned()
        }
        Error::InvalidCertificate(Bad::UnknownIssuer) => {
            "certificate of an unknown issuer".to_owned()
        }
        // The authority has the name of one that is trusted, but another key: it was made anew.
        Error::InvalidCertificate(Bad::BadSignature) => {
            "certificate is not signed by the issuer that it names".to_owned()
        }
        Error::InvalidCertificate(Bad::NotValidForName) => {
            "certificate is for another name".to_owned()
        }
        Error::InvalidCertificate(Bad::NotValidForNameContext { expected, .. }) => {
            format!("certificate is not for `{}`", expected.to_str())
        }
        Error::InvalidCertificate(bad) => excerpt(&format!("invalid certificate: {bad}")),
        Error::InvalidMessage(_) => "answer is not TLS".to_owned(),
        Error::AlertReceived(alert) => excerpt(&format!("backend sent the alert {alert:?}")),
        other => excerpt(&other.to_string()),
    }
}

/// A verifier that takes any certificate, but holds the backend to the key in it.
struct Anybody(Arc<CryptoProvider>);

impl fmt::Debug for Anybody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Anybody")
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
