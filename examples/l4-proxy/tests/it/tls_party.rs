//! Who takes part in TLS: an authority, its files, a client and a backend.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use proxy_lab::backend::Backend;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};

use crate::SCRATCH;

pub(crate) type Talk = StreamOwned<ClientConnection, TcpStream>;

/// Whose certificates the clients trust.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pub(crate) pem: String,
}

/// A certificate and its key.
pub(crate) struct Issued {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    pem: String,
}

/// A certificate and its key on the disk; removed when dropped.
pub(crate) struct PairFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (pem, certificate) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), certificate, pem }
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { pem: certificate.pem(), certificate: certificate.der().clone(), key }
    }

    /// A client that offers these protocols.
    pub(crate) fn client(&self, alpn: &[&str]) -> ClientConfig {
        self.client_of(alpn, rustls::DEFAULT_VERSIONS)
    }

    pub(crate) fn client_of(
        &self,
        alpn: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        config
    }

    /// A backend that speaks TLS under these names, and answers every request with its own.
    pub(crate) fn backend(&self, name: &'static str, names: &[&str], alpn: &[&str]) -> Backend {
        let issued = self.issue(names);
        let key = PrivatePkcs8KeyDer::from(issued.key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![issued.certificate], key.into())
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        let config = Arc::new(config);
        Backend::new(move |connection| {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let socket = connection.reader.get_ref().try_clone().unwrap();
            let mut stream = StreamOwned::new(session, socket);
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut byte) {
                    Ok(1) => request.push(byte[0]),
                    _ => return,
                }
            }
            let length = name.len();
            let reply = format!(
                "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{name}"
            );
            let _ = stream.write_all(reply.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        })
    }
}

impl Issued {
    pub(crate) fn write(&self, files: &PairFiles) {
        fs::write(&files.key, self.key.serialize_pem()).unwrap();
        fs::write(&files.certificate, &self.pem).unwrap();
    }

    pub(crate) fn files(&self) -> PairFiles {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let (process, made) = (std::process::id(), MADE.fetch_add(1, Relaxed));
        let path = |end: &str| PathBuf::from(SCRATCH).join(format!("{process}-{made}-{end}.pem"));
        let files = PairFiles { certificate: path("chain"), key: path("key") };
        self.write(&files);
        files
    }

    /// What no log may have: lines of the key.
    pub(crate) fn key_lines(&self) -> Vec<String> {
        let pem = self.key.serialize_pem();
        pem.lines().filter(|line| !line.starts_with("---")).map(str::to_owned).collect()
    }

    pub(crate) fn is_shown_by(&self, talk: &Talk) -> bool {
        talk.conn.peer_certificates().unwrap().first() == Some(&self.certificate)
    }
}

impl PairFiles {
    /// As a configuration names them.
    pub(crate) fn toml(&self) -> String {
        pair(&self.certificate, &self.key)
    }
}

/// Two files, as a configuration names them.
pub(crate) fn pair(certificate: &Path, key: &Path) -> String {
    format!("{{ certificate = {certificate:?}, key = {key:?} }}")
}

impl Drop for PairFiles {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.certificate);
        let _ = fs::remove_file(&self.key);
    }
}

/// Connects, and completes the handshake.
pub(crate) fn connect(config: ClientConfig, address: SocketAddr, name: &str) -> io::Result<Talk> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = socket;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(session, socket))
}

/// The body of the answer to a request.
pub(crate) fn get(talk: &mut Talk) -> String {
    talk.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut reply = Vec::new();
    let mut byte = [0];
    while !reply.ends_with(b"\r\n\r\n") {
        talk.read_exact(&mut byte).unwrap();
        reply.push(byte[0]);
    }
    let head = String::from_utf8(reply).unwrap().to_ascii_lowercase();
    let (_, length) = head.split_once("content-length: ").unwrap();
    let mut body = vec![0; length.lines().next().unwrap().parse().unwrap()];
    talk.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}
