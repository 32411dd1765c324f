//! A certificate and its key, from two PEM files.

use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use siphasher::sip::SipHasher13;
use webpki::EndEntityCert;

use super::settings::PairSection;

/// The longest file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A certificate that can be shown, and the names that are in it.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    /// In lower case; with `*.` before a name that stands for those below it.
    pub(super) names: Vec<String>,
    /// Of both files, to see whether they have changed. The key itself is not kept beside the signer.
    digest: u64,
}

/// The two files, and a digest of both.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    digest: u64,
}

impl Pair {
    /// Reads and checks both files.
    ///
    /// # Errors
    /// The file and what is wrong with it.
    pub(super) fn read(section: &PairSection) -> Result<Self, String> {
        Self::parse(section, &Files::read(section)?)
    }

    /// The same, if a file has changed since.
    pub(super) fn read_if_changed(&self, section: &PairSection) -> Result<Option<Self>, String> {
        let files = Files::read(section)?;
        if files.digest == self.digest {
            return Ok(None);
        }
        Self::parse(section, &files).map(Some)
    }

    fn parse(section: &PairSection, files: &Files) -> Result<Self, String> {
        let of_certificate = |wrong: String| format!("{}: {wrong}", section.certificate.display());
        let of_key = |wrong: String| format!("{}: {wrong}", section.key.display());
        let chain = CertificateDer::pem_slice_iter(&files.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| of_certificate(pem_words(&error, "certificate")))?;
        let Some(leaf) = chain.first() else {
            return Err(of_certificate("no certificate in it".to_owned()));
        };
        let names = EndEntityCert::try_from(leaf)
            .map_err(|error| of_certificate(format!("its first certificate: {error}")))?
            .valid_dns_names()
            .map(str::to_ascii_lowercase)
            .collect();
        // Nothing of the file is in the error.
        let key = PrivateKeyDer::from_pem_slice(&files.key)
            .map_err(|error| of_key(pem_words(&error, "private key")))?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
        let certified = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                of_key(format!("not the key of {}", section.certificate.display()))
            }
            _ => of_key("not a private key that can be used: RSA, ECDSA or Ed25519".to_owned()),
        })?;
        Ok(Self { certified: Arc::new(certified), names, digest: files.digest })
    }
}

impl Files {
    fn read(section: &PairSection) -> Result<Self, String> {
        let read = |path: &Path| read(path).map_err(|error| format!("{}: {error}", path.display()));
        let (certificate, key) = (read(&section.certificate)?, read(&section.key)?);
        // A sum, not a secret: it tells files apart that nobody has made to be alike.
        let mut hasher = SipHasher13::new();
        hasher.write_usize(certificate.len());
        hasher.write(&certificate);
        hasher.write(&key);
        Ok(Self { certificate, key, digest: hasher.finish() })
    }
}

/// The whole file, if it is one and not too long. A pipe or a device might have no end.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        let wrong = format!("not a file of at most {MAX_FILE} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, wrong));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is wrong with a PEM file, without a word of what is in it.
fn pem_words(error: &PemError, wanted: &str) -> String {
    match error {
        PemError::NoItemsFound => format!("no {wanted} in it"),
        _ => format!("not PEM with a {wanted}"),
    }
}
