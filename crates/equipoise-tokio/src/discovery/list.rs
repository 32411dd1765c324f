//! A list of backends, as it is written.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use equipoise_core::Weight;

use super::{Endpoint, MAX_ENDPOINTS};

/// The longest list, in bytes: 1 MiB.
pub const MAX_LIST_BYTES: usize = 1 << 20;

/// Why some bytes are no list of backends: the first line that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ListError {
    /// More than [`MAX_LIST_BYTES`].
    TooLong,
    /// More than [`MAX_ENDPOINTS`] backends.
    TooMany {
        /// The first line too many.
        line: usize,
    },
    /// A line is not UTF-8.
    NotText {
        /// Which line, from 1.
        line: usize,
    },
    /// The last line has no end: the file may be half written, and a `10.0.0.1:80` the beginning of
    /// `10.0.0.1:8080`.
    Unfinished {
        /// Which line, from 1.
        line: usize,
    },
    /// The address is no IP address with a port over 0.
    Address {
        /// Which line, from 1.
        line: usize,
        /// What was given, or the beginning of it.
        given: String,
    },
    /// A setting is unknown, is given twice, or has a value out of range.
    Setting {
        /// Which line, from 1.
        line: usize,
        /// What was given, or the beginning of it.
        given: String,
    },
    /// A backend is listed twice.
    Duplicate {
        /// The line of the second, from 1.
        line: usize,
        /// Its name.
        name: String,
    },
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {MAX_LIST_BYTES} bytes"),
            Self::TooMany { line } => write!(f, "line {line}: more than {MAX_ENDPOINTS} backends"),
            Self::NotText { line } => write!(f, "line {line}: not UTF-8"),
            Self::Unfinished { line } => {
                write!(f, "line {line}: does not end; is the file half written?")
            }
            Self::Address { line, given } => {
                write!(f, "line {line}: `{given}` is not an IP address with a port, 1 to 65535")
            }
            Self::Setting { line, given } => write!(
                f,
                "line {line}: `{given}` is not allowed; allowed are weight=0 to 65535, tier=0 to 255 \
                 and drain, each once"
            ),
            Self::Duplicate { line, name } => write!(f, "line {line}: `{name}` is listed twice"),
        }
    }
}

impl std::error::Error for ListError {}

/// Reads a list of backends: one a line, `address:port[,weight=N][,tier=N][,drain]`.
///
/// Addresses are IPv4 or, in brackets, IPv6. What follows a `#` is a comment; blank lines and white
/// space around the parts mean nothing. **Each line ends with a newline, the last one too**, as
/// POSIX defines a line: a list that was cut off in the middle of a line is refused.
///
/// The set comes in the order of its addresses. An empty list is an empty set.
///
/// # Errors
/// The first line that is wrong, by number. Total over any bytes; O(n log n) time.
///
/// ```
/// use equipoise_tokio::discovery::parse_list;
///
/// let set = parse_list(b"# the first room\n10.0.0.1:80,weight=3\n[fd00::1]:80, tier=1, drain\n")?;
/// assert_eq!((set.len(), set[0].weight.get(), set[1].tier, set[1].drain), (2, 3, 1, true));
///
/// let error = parse_list(b"10.0.0.1:80\n10.0.0.2\n").unwrap_err();
/// assert!(error.to_string().starts_with("line 2: `10.0.0.2` is not an IP address with a port"));
/// # Ok::<(), equipoise_tokio::discovery::ListError>(())
/// ```
pub fn parse_list(bytes: &[u8]) -> Result<Vec<Endpoint>, ListError> {
    if bytes.len() > MAX_LIST_BYTES {
        return Err(ListError::TooLong);
    }
    let mut set = Vec::new();
    let mut addresses = BTreeSet::new();
    for (index, raw) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let line = index + 1;
        let Some(raw) = raw.strip_suffix(b"\n") else {
            return Err(ListError::Unfinished { line });
        };
        let text = std::str::from_utf8(raw).map_err(|_| ListError::NotText { line })?;
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        let endpoint = parse_line(line, text)?;
        if set.len() == MAX_ENDPOINTS {
            return Err(ListError::TooMany { line });
        }
        if !addresses.insert(endpoint.address) {
            return Err(ListError::Duplicate { line, name: endpoint.name });
        }
        set.push(endpoint);
    }
    set.sort_unstable();
    Ok(set)
}

fn parse_line(line: usize, text: &str) -> Result<Endpoint, ListError> {
    let mut parts = text.split(',').map(str::trim);
    let address = parts.next().unwrap_or_default();
    let mut endpoint = match address.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Endpoint::new(address),
        _ => return Err(ListError::Address { line, given: beginning(address) }),
    };
    let (mut weight, mut tier) = (None, None);
    for part in parts {
        let is_right = match part.split_once('=') {
            Some(("weight", value)) => set_once(&mut weight, value),
            Some(("tier", value)) => set_once(&mut tier, value),
            None if part == "drain" => !std::mem::replace(&mut endpoint.drain, true),
            _ => false,
        };
        if !is_right {
            return Err(ListError::Setting { line, given: beginning(part) });
        }
    }
    endpoint.weight = weight.map_or(Weight::ONE, Weight::new);
    endpoint.tier = tier.unwrap_or_default();
    Ok(endpoint)
}

/// Whether the value is one, and the first.
fn set_once<T: std::str::FromStr>(field: &mut Option<T>, value: &str) -> bool {
    field.is_none() && value.parse().is_ok_and(|value| field.replace(value).is_none())
}

/// Enough of a text to find it by: an error is for a log line, and the text may be long.
fn beginning(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_wrong_line_is_named_by_its_number() {
        let address = |line, given: &str| ListError::Address { line, given: given.into() };
        let setting = |line, given: &str| ListError::Setting { line, given: given.into() };
        for (text, error) in [
            (
                "10.0.0.1:80\n10.0.0.1:80\n",
                ListError::Duplicate { line: 2, name: "10.0.0.1:80".into() },
            ),
            (
                "[::1]:80\n[0:0::1]:80,tier=2\n",
                ListError::Duplicate { line: 2, name: "[::1]:80".into() },
            ),
            ("\n# x\n10.0.0.1:80", ListError::Unfinished { line: 3 }),
            ("db.example:80\n", address(1, "db.example:80")),
            ("10.0.0.1:0\n", address(1, "10.0.0.1:0")),
            ("10.0.0.1:65536\n", address(1, "10.0.0.1:65536")),
            (",drain\n", address(1, "")),
            ("10.0.0.1:80,\n", setting(1, "")),
            ("10.0.0.1:80,weight=65536\n", setting(1, "weight=65536")),
            ("10.0.0.1:80,weight=-1\n", setting(1, "weight=-1")),
            ("10.0.0.1:80,weight=1,weight=1\n", setting(1, "weight=1")),
            ("10.0.0.1:80,tier=256\n", setting(1, "tier=256")),
            ("10.0.0.1:80,drain,drain\n", setting(1, "drain")),
            ("10.0.0.1:80,drain=yes\n", setting(1, "drain=yes")),
            ("10.0.0.1:80,Weight=1\n", setting(1, "Weight=1")),
        ] {
            assert_eq!(parse_list(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(parse_list(b"10.0.0.1:80\n\xff\n"), Err(ListError::NotText { line: 2 }));
    }

    #[test]
    fn the_size_and_the_count_have_their_bounds() {
        let lines = |count: usize| -> String {
            // Short enough that a list of the most backends fits.
            (0..count).map(|n| format!("1.1.{}.{}:1\n", n / 256, n % 256)).collect()
        };
        assert_eq!(parse_list(lines(MAX_ENDPOINTS).as_bytes()).unwrap().len(), MAX_ENDPOINTS);
        let more = lines(MAX_ENDPOINTS) + "2.2.2.2:2\n";
        assert_eq!(
            parse_list(more.as_bytes()),
            Err(ListError::TooMany { line: MAX_ENDPOINTS + 1 })
        );
        assert!(parse_list(&vec![b'\n'; MAX_LIST_BYTES]).unwrap().is_empty());
        assert_eq!(parse_list(&vec![b'\n'; MAX_LIST_BYTES + 1]), Err(ListError::TooLong));
    }

    /// A list as somebody writes one, mostly.
    fn written() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            "[0-9.:\\[\\]]{0,12}",
            Just("10.0.0.1:80".to_string()),
            Just("[::1]:80".to_string()),
            "(weight|tier)=[0-9]{0,6}",
            Just("drain".to_string()),
            Just("#".to_string()),
        ];
        let line = proptest::collection::vec(part, 0..4).prop_map(|parts| parts.join(","));
        proptest::collection::vec(line, 0..6).prop_map(|lines| lines.join("\n") + "\n")
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_list(&bytes);
        }

        #[test]
        fn any_text_is_read_or_refused_by_a_line_that_it_has(text in written()) {
            if let Err(error) = parse_list(text.as_bytes()) {
                let words = error.to_string();
                let number: usize = words["line ".len()..].split(':').next().unwrap().parse().unwrap();
                prop_assert!((1..=text.lines().count()).contains(&number), "{words}");
            }
        }

        #[test]
        fn what_is_written_is_read(
            backends in proptest::collection::btree_map(
                any::<(std::net::IpAddr, u16)>().prop_filter("a port", |(_, port)| *port > 0),
                any::<(u16, u8, bool)>(),
                0..20,
            ),
        ) {
            let mut expected = Vec::new();
            let mut text = String::from("# a comment\n");
            for ((ip, port), (weight, tier, drain)) in backends {
                let address = SocketAddr::new(ip, port);
                let flag = if drain { ",drain" } else { "" };
                text += &format!("{address},weight={weight} , tier={tier}{flag} # {port}\n");
                let weight = Weight::new(weight);
                expected.push(Endpoint { weight, tier, drain, ..Endpoint::new(address) });
            }
            expected.sort();
            prop_assert_eq!(parse_list(text.as_bytes()).unwrap(), expected);
            // Cut anywhere inside the last line, it is refused.
            if !text.ends_with("comment\n") {
                let cut = &text[..text.len() - 1];
                let is_refused = matches!(parse_list(cut.as_bytes()), Err(ListError::Unfinished { .. }));
                prop_assert!(is_refused);
            }
        }
    }
}
