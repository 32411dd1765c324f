//! `tls = { ... }` of a listener.

use std::path::PathBuf;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde::Deserialize;

use crate::StartError;

/// The versions that there are, the newest first.
const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// How a listener ends TLS, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSection {
    certificates: Vec<PairSection>,
    #[serde(default)]
    alpn: Vec<String>,
    min_version: Option<String>,
}

/// A certificate with those that vouch for it, and its key: two PEM files.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PairSection {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// How a listener ends TLS, checked; no file has been read yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerSettings {
    /// What errors call it.
    pub(super) at: String,
    pub(super) pairs: Vec<PairSection>,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
}

impl ServerSettings {
    /// Checks what is written; errors call it `at`.
    ///
    /// # Errors
    /// No certificate, a protocol of ALPN that is empty, longer than 255 bytes or given twice, or a
    /// version other than 1.2 and 1.3.
    pub fn new(at: &str, section: &ServerSection) -> Result<Self, StartError> {
        let wrong =
            |field: &str, wrong: String| Err(StartError::new(format!("{at}.{field}"), wrong));
        if section.certificates.is_empty() {
            return wrong("certificates", "no certificate".to_owned());
        }
        for (index, protocol) in section.alpn.iter().enumerate() {
            let field = format!("alpn[{index}]");
            // RFC 7301, 3.1.
            if !(1..=255).contains(&protocol.len()) {
                return wrong(&field, "a protocol has 1 to 255 bytes".to_owned());
            }
            if section.alpn[..index].contains(protocol) {
                return wrong(&field, format!("duplicate protocol `{protocol}`"));
            }
        }
        let versions = match section.min_version.as_deref() {
            None | Some("1.2") => BOTH,
            Some("1.3") => &BOTH[..1],
            Some(other) => {
                return wrong("min_version", format!("`{other}`: allowed are \"1.2\" and \"1.3\""));
            }
        };
        Ok(Self {
            at: at.to_owned(),
            pairs: section.certificates.clone(),
            alpn: section.alpn.iter().map(|protocol| protocol.clone().into_bytes()).collect(),
            versions,
        })
    }
}
