use std::fs;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};

use super::certificates::Table;
use super::pair::Pair;
use super::settings::PairSection;

/// Files in a directory of their own; removed when dropped.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("proxy-kit-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    /// A new certificate for these names, in place of the one before.
    fn issue(&self, names: &[&str]) -> KeyPair {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        fs::write(self.0.join("chain.pem"), certificate.pem()).unwrap();
        fs::write(self.0.join("key.pem"), key.serialize_pem()).unwrap();
        key
    }

    fn section(&self) -> PairSection {
        PairSection { certificate: self.0.join("chain.pem"), key: self.0.join("key.pem") }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_certificate_is_found_by_its_names_and_the_first_is_for_all_others() {
    let (a, b) = (Files::new("a"), Files::new("b"));
    a.issue(&["first.example", "both.example"]);
    b.issue(&["Shop.Example", "*.shop.example", "both.example"]);
    let pairs = [&a, &b].map(|files| Pair::read(&files.section()).unwrap());
    let table = Table::new(&pairs);
    let of = |name: Option<&str>| {
        let found = table.of(name).iter();
        found
            .map(|found| pairs.iter().position(|pair| pair.certified.cert == found.cert).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(Some("first.example")), [0]);
    assert_eq!(of(Some("shop.example")), [1]);
    assert_eq!(of(Some("a.shop.example")), [1]);
    assert_eq!(of(Some("both.example")), [0, 1], "in the order of the settings");
    for other in [None, Some("a.b.shop.example"), Some("example"), Some("."), Some("other.test")] {
        assert_eq!(of(other), [0, 1], "{other:?}");
    }
}

#[test]
fn files_are_read_anew_only_if_they_have_changed() {
    let files = Files::new("changed");
    files.issue(&["a.example"]);
    let section = files.section();
    let pair = Pair::read(&section).unwrap();
    assert!(pair.read_if_changed(&section).unwrap().is_none());
    files.issue(&["b.example"]);
    assert_eq!(pair.read_if_changed(&section).unwrap().unwrap().names, ["b.example"]);
}

#[test]
fn no_error_and_no_debug_output_has_a_piece_of_the_key() {
    let files = Files::new("secret");
    let key = files.issue(&["a.example"]).serialize_pem();
    let section = files.section();
    let lines: Vec<_> = key.lines().filter(|line| !line.starts_with("---")).collect();
    assert!(!lines.is_empty());
    let mut said = vec![format!("{:?}", Pair::read(&section).unwrap())];
    // Cut anywhere, of another kind, in the place of the certificate.
    for end in (0..key.len()).step_by(7) {
        fs::write(&section.key, &key[..end]).unwrap();
        said.extend(Pair::read(&section).err());
    }
    fs::write(&section.key, key.replace("PRIVATE", "EC PRIVATE")).unwrap();
    said.push(Pair::read(&section).unwrap_err());
    fs::write(&section.certificate, &key).unwrap();
    said.push(Pair::read(&section).unwrap_err());
    for said in said {
        assert!(lines.iter().all(|line| !said.contains(&line[..16])), "{said}");
    }
}
