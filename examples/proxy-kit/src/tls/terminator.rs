//! The handshake, with certificates that can be read anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use equipoise_tokio::socket::Socket;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::ring;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::certificates::Certificates;
use super::pair::Pair;
use super::stream::Opening;
use super::{HandshakeError, ServerSettings, ServerStream};
use crate::StartError;

/// Ends TLS for the clients of a listener.
#[derive(Debug)]
pub struct Terminator {
    settings: ServerSettings,
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    /// In the order of the settings.
    loaded: Mutex<Vec<Loaded>>,
    complete: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
}

/// What became of a pair of files.
#[derive(Debug)]
struct Loaded {
    pair: Pair,
    /// What is wrong with the files as they are now, and was said.
    wrong: Option<String>,
}

/// What became of the handshakes so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Those that were completed.
    pub complete: u64,
    /// Those that failed, the late ones among them.
    pub failed: u64,
    /// Those that took too long.
    pub late: u64,
}

impl Terminator {
    /// Reads the files.
    ///
    /// # Errors
    /// The first pair that can't be used: the setting, the file, and what is wrong with it.
    pub fn load(settings: ServerSettings) -> Result<Self, StartError> {
        let mut pairs = Vec::new();
        for (index, section) in settings.pairs.iter().enumerate() {
            let at = || format!("{}.certificates[{index}]", settings.at);
            pairs.push(Pair::read(section).map_err(|wrong| StartError::new(at(), wrong))?);
        }
        let certificates = Arc::new(Certificates::new(&pairs));
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(settings.versions)
            .map_err(|error| StartError::new(&settings.at, error))?;
        let resolver = Arc::clone(&certificates);
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols.clone_from(&settings.alpn);
        let loaded = pairs.into_iter().map(|pair| Loaded { pair, wrong: None });
        Ok(Self {
            config: Arc::new(config),
            certificates,
            loaded: Mutex::new(loaded.collect()),
            settings,
            complete: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            late: AtomicU64::new(0),
        })
    }

    /// What it was made of.
    pub const fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// Shakes hands with a client, of which `given` was read already, within `limit`.
    ///
    /// # Errors
    /// Why not; it is counted, too.
    pub async fn accept(
        &self,
        client: Socket,
        given: Vec<u8>,
        limit: Duration,
    ) -> Result<ServerStream, HandshakeError> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        let handshake = acceptor.accept(Opening::new(client, given)).into_fallible();
        let error = match timeout(limit, handshake).await {
            Ok(Ok(stream)) => {
                self.complete.fetch_add(1, Relaxed);
                return Ok(stream);
            }
            Ok(Err((error, stream))) => HandshakeError::new(&error, stream.first()),
            Err(_) => {
                self.late.fetch_add(1, Relaxed);
                HandshakeError::TimedOut(limit)
            }
        };
        self.failed.fetch_add(1, Relaxed);
        Err(error)
    }

    /// What became of the handshakes so far.
    pub fn counts(&self) -> Counts {
        Counts {
            complete: self.complete.load(Relaxed),
            failed: self.failed.load(Relaxed),
            late: self.late.load(Relaxed),
        }
    }

    /// Reads the files again and takes those that have changed. Connections that are open stay as they are.
    ///
    /// Returns a line for each change and for each file that is newly wrong: then the old certificate stays.
    /// It blocks, as files do.
    pub fn refresh(&self) -> Vec<Result<String, String>> {
        let mut said = Vec::new();
        let mut loaded = self.loaded.lock();
        let mut changed = false;
        for (loaded, section) in loaded.iter_mut().zip(&self.settings.pairs) {
            match loaded.pair.read_if_changed(section) {
                Ok(None) => loaded.wrong = None,
                Ok(Some(pair)) => {
                    *loaded = Loaded { pair, wrong: None };
                    changed = true;
                    said.push(Ok(format!("{}: read anew", section.certificate.display())));
                }
                // Once, and not at every look.
                Err(wrong) if loaded.wrong.as_ref() == Some(&wrong) => {}
                Err(wrong) => {
                    said.push(Err(format!("{wrong}; the old certificate stays")));
                    loaded.wrong = Some(wrong);
                }
            }
        }
        if changed {
            let pairs: Vec<_> = loaded.iter().map(|loaded| loaded.pair.clone()).collect();
            self.certificates.set(&pairs);
        }
        said
    }
}
