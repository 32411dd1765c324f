//! The forms that people write. An untagged enum would say only that nothing matched; this says
//! what is wrong.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::part::{Part, in_range};
use super::{KeyError, KeyKind, KeyPart, KeySpec};

impl<'de> Deserialize<'de> for KeySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore)
    }
}

impl<'de> Deserialize<'de> for KeyPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(One)
    }
}

impl Serialize for KeySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.parts() {
            [one] => one.serialize(serializer),
            parts => serializer.collect_seq(parts),
        }
    }
}

impl Serialize for KeyPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if matches!(self.0, Part::Sni | Part::Connection) || *self == Self::client() {
            return serializer.serialize_str(self.kind().name());
        }
        let mut table = serializer.serialize_map(Some(1))?;
        table.serialize_key(self.kind().name())?;
        match &self.0 {
            Part::Client { v4, v6 } => table.serialize_value(&Network { v4: *v4, v6: *v6 })?,
            Part::Header(name) | Part::Cookie(name) | Part::Query(name) => {
                table.serialize_value(name)?;
            }
            Part::Path { depth } => table.serialize_value(depth)?,
            Part::Sni | Part::Connection => table.serialize_value(&())?,
        }
        table.end()
    }
}

#[derive(serde::Serialize)]
struct Network {
    v4: u8,
    v6: u8,
}

/// `client = { v4 = .., v6 = .. }`, as it is written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNetwork {
    v4: Option<u64>,
    v6: Option<u64>,
}

struct OneOrMore;

impl<'de> Visitor<'de> for OneOrMore {
    type Value = KeySpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        One.expecting(f)?;
        f.write_str(", or a list of these")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<KeySpec, E> {
        One.visit_str(name).map(KeySpec::from)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeySpec, A::Error> {
        One.visit_map(map).map(KeySpec::from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<KeySpec, A::Error> {
        let mut parts: Vec<KeyPart> = Vec::new();
        while let Some(part) = list.next_element()? {
            if parts.len() == KeySpec::MAX_PARTS {
                return Err(A::Error::custom(KeyError::TooManyParts));
            }
            parts.push(part);
        }
        KeySpec::new(parts).map_err(A::Error::custom)
    }
}

struct One;

impl<'de> Visitor<'de> for One {
    type Value = KeyPart;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "key: \"client\", \"sni\", \"connection\", a table with one of header, cookie, query, \
             path, client",
        )
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<KeyPart, E> {
        match name.parse().map_err(E::custom)? {
            KeyKind::Client => Ok(KeyPart::client()),
            KeyKind::Sni => Ok(KeyPart::sni()),
            KeyKind::Connection => Ok(KeyPart::connection()),
            part @ (KeyKind::Header | KeyKind::Cookie | KeyKind::Query | KeyKind::Path) => {
                Err(E::custom(KeyError::NoSetting { part }))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<KeyPart, A::Error> {
        let Some(name) = table.next_key::<String>()? else {
            return Err(A::Error::custom(KeyError::NotOnePart));
        };
        let part = table.next_value_seed(Setting(name.parse().map_err(A::Error::custom)?))?;
        match table.next_key::<String>()? {
            None => Ok(part),
            Some(_) => Err(A::Error::custom(KeyError::NotOnePart)),
        }
    }
}

/// What a table says about a part of this kind.
struct Setting(KeyKind);

impl<'de> DeserializeSeed<'de> for Setting {
    type Value = KeyPart;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<KeyPart, D::Error> {
        let kind = self.0;
        let wrong = |error: D::Error| D::Error::custom(format!("key.{kind}: {error}"));
        let part = match kind {
            KeyKind::Header => KeyPart::header(&text(deserializer).map_err(wrong)?),
            KeyKind::Cookie => KeyPart::cookie(&text(deserializer).map_err(wrong)?),
            KeyKind::Query => KeyPart::query(&text(deserializer).map_err(wrong)?),
            KeyKind::Path => {
                let depth = u64::deserialize(deserializer).map_err(wrong)?;
                in_range("path", depth, u8::MAX).and_then(KeyPart::path)
            }
            KeyKind::Client => network(&WrittenNetwork::deserialize(deserializer).map_err(wrong)?),
            KeyKind::Sni | KeyKind::Connection => {
                let wrong = format!("key.{kind}: has no settings; give \"{kind}\"");
                return Err(D::Error::custom(wrong));
            }
        };
        part.map_err(D::Error::custom)
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer)
}

fn network(written: &WrittenNetwork) -> Result<KeyPart, KeyError> {
    let v4 = in_range("client.v4", written.v4.unwrap_or(32), 32)?;
    let v6 = in_range("client.v6", written.v6.unwrap_or(128), 128)?;
    KeyPart::network(v4, v6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn read(json: &str) -> Result<KeySpec, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_is_read() {
        for (json, parts) in [
            (r#""client""#, Vec::from([KeyPart::client()])),
            (r#""sni""#, Vec::from([KeyPart::sni()])),
            (r#""connection""#, Vec::from([KeyPart::connection()])),
            (r#"{"header": "X-User"}"#, Vec::from([KeyPart::header("x-user").unwrap()])),
            (r#"{"cookie": "session"}"#, Vec::from([KeyPart::cookie("session").unwrap()])),
            (r#"{"query": "id"}"#, Vec::from([KeyPart::query("id").unwrap()])),
            (r#"{"path": 2}"#, Vec::from([KeyPart::path(2).unwrap()])),
            (r#"{"client": {}}"#, Vec::from([KeyPart::client()])),
            (r#"{"client": {"v4": 24}}"#, Vec::from([KeyPart::network(24, 128).unwrap()])),
            (r#"{"client": {"v4": 24, "v6": 56}}"#, Vec::from([KeyPart::network(24, 56).unwrap()])),
            (
                r#"["client", {"header": "host"}]"#,
                Vec::from([KeyPart::client(), KeyPart::header("host").unwrap()]),
            ),
        ] {
            assert_eq!(read(json), Ok(KeySpec::new(parts).unwrap()), "{json}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let nine = format!("[{}, \"user\"]", ["\"client\""; 9].join(","));
        let long = format!("{{\"header\": \"a{}\"}}", "ä".repeat(10_000));
        for (json, named) in [
            ("7", "expected key: \"client\", \"sni\", \"connection\", a table with one of"),
            (
                r#""user""#,
                "key: unknown part `user`; allowed are client, header, cookie, query, path, sni, \
                 connection",
            ),
            (r#"{"user": 1}"#, "key: unknown part `user`"),
            (r#""header""#, r#"key: `header` alone says too little; give { header = "NAME" }"#),
            (r#""path""#, "give { path = DEPTH }"),
            ("{}", "key: a table has one part"),
            (r#"{"header": "a", "cookie": "b"}"#, "put several into a list of tables"),
            (r#"{"header": "a b"}"#, "key.header: `a b` is no name of a header"),
            (r#"{"header": ""}"#, "key.header: `` is no name"),
            (r#"{"header": 1}"#, "key.header: invalid type: integer `1`, expected a string"),
            (r#"{"cookie": "a=b"}"#, "key.cookie: `a=b`"),
            (r#"{"query": ""}"#, "key.query: `` is no name of a query parameter"),
            (r#"{"path": 0}"#, "key.path: 0 is out of range; allowed are 1 to 255"),
            (r#"{"path": 256}"#, "key.path: 256 is out of range"),
            (r#"{"path": -1}"#, "key.path: "),
            (r#"{"path": "/a"}"#, "key.path: "),
            (r#"{"client": {"v4": 0}}"#, "key.client.v4: 0 is out of range; allowed are 1 to 32"),
            (
                r#"{"client": {"v6": 129}}"#,
                "key.client.v6: 129 is out of range; allowed are 1 to 128",
            ),
            (r#"{"client": {"v5": 1}}"#, "key.client: unknown field `v5`, expected `v4` or `v6`"),
            (r#"{"client": 24}"#, "key.client: "),
            (r#"{"sni": true}"#, "key.sni: has no settings; give \"sni\""),
            ("[]", "key: no parts"),
            (r#"["client", "user"]"#, "key: unknown part `user`"),
            (r#"[["client"]]"#, "expected key: \"client\""),
            (&nine, "key: too many parts; at most 8 are allowed"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(named), "{json}: {error}");
        }
        assert!(read(&long).unwrap_err().len() < 200, "an error quotes a piece");
    }

    fn part() -> impl Strategy<Value = KeyPart> {
        prop_oneof![
            Just(KeyPart::sni()),
            Just(KeyPart::connection()),
            (1_u8..=32, 1_u8..=128).prop_map(|(v4, v6)| KeyPart::network(v4, v6).unwrap()),
            "[a-z!#-]{1,9}".prop_map(|name| KeyPart::header(&name).unwrap()),
            "[a-z\\[\\]]{1,9}".prop_map(|name| KeyPart::cookie(&name).unwrap()),
            ".{1,9}".prop_map(|name| KeyPart::query(&name).unwrap()),
            (1_u8..).prop_map(|depth| KeyPart::path(depth).unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(parts in prop::collection::vec(part(), 1..=8)) {
            let spec = KeySpec::new(parts).unwrap();
            let json = serde_json::to_string(&spec).unwrap();
            prop_assert_eq!(read(&json), Ok(spec), "{}", json);
        }
    }
}
