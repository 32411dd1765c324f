//! `tls = true`, or a table: whom a check trusts.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use equipoise_tokio::probe::{InvalidProbe, TlsClient};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::named;
use crate::StartError;

/// Whether and how a check speaks TLS, as it is written.
#[derive(Clone, Debug)]
pub enum TlsSection {
    /// `false`: in clear.
    Off,
    /// `true`: trusts the system's certificates.
    On,
    /// A table.
    With(TlsTable),
}

/// The table form.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsTable {
    /// A PEM file: trusts its certificates instead of the system's.
    ca: Option<PathBuf>,
    /// The name that is asked for and that the certificate must have.
    server_name: Option<String>,
    /// Trusts everybody.
    #[serde(default)]
    insecure: bool,
}

impl TlsSection {
    /// The longest file of certificates, in bytes.
    const MAX_CA: u64 = 1 << 20;

    /// Whom to trust; `None` is in clear.
    pub(super) fn client(&self, at: &str) -> Result<Option<TlsClient>, StartError> {
        let table = match self {
            Self::Off => return Ok(None),
            Self::On => return self.system(at).map(Some),
            Self::With(table) => table,
        };
        let wrong = |error: InvalidProbe| named(at, error.field(), error.field(), error);
        let client = match (&table.ca, table.insecure) {
            (Some(_), true) => {
                let wrong = "`ca` is given as well; trust its certificates, or everybody";
                return Err(StartError::new(format!("{at}.insecure"), wrong));
            }
            (Some(path), false) => {
                let pem = read(path).map_err(|error| {
                    StartError::new(format!("{at}.ca"), format!("{}: {error}", path.display()))
                })?;
                TlsClient::with_ca(&pem).map_err(wrong)?
            }
            (None, true) => TlsClient::insecure().map_err(wrong)?,
            (None, false) => self.system(at)?,
        };
        Ok(Some(match &table.server_name {
            Some(name) => client.with_server_name(name).map_err(wrong)?,
            None => client,
        }))
    }

    /// Trusts the system's certificates.
    pub(super) fn system(&self, at: &str) -> Result<TlsClient, StartError> {
        TlsClient::system().map_err(|error| StartError::new(at, error))
    }
}

/// The whole file, if it is one and not too long. A pipe or a device might have no end.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > TlsSection::MAX_CA {
        let wrong = format!("not a file of at most {} bytes", TlsSection::MAX_CA);
        return Err(io::Error::new(io::ErrorKind::InvalidData, wrong));
    }
    let mut pem = Vec::new();
    File::open(path)?.take(TlsSection::MAX_CA).read_to_end(&mut pem)?;
    Ok(pem)
}

impl<'de> Deserialize<'de> for TlsSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchOrTable)
    }
}

/// An untagged enum would say only that nothing matched; this says what is wrong.
struct SwitchOrTable;

impl<'de> Visitor<'de> for SwitchOrTable {
    type Value = TlsSection;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or a table with ca, server_name, insecure")
    }

    fn visit_bool<E: Error>(self, is_on: bool) -> Result<TlsSection, E> {
        Ok(if is_on { TlsSection::On } else { TlsSection::Off })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TlsSection, A::Error> {
        serde::Deserialize::deserialize(MapAccessDeserializer::new(map)).map(TlsSection::With)
    }
}
