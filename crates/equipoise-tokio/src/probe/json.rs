//! A field of a JSON body.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;
use serde_json_path::JsonPath;

use super::{InvalidProbe, ProbeError};
use crate::excerpt::excerpt;

/// A condition on a JSON body: `$.db == "ok"`.
///
/// To the left of `==` a JSONPath (RFC 9535, without functions), to the right a JSON value. It holds
/// if the path selects at least one value, and each one is equal: `$.checks[*].up == true` asks that
/// all checks be up. Numbers are compared by value: 1 is 1.0.
///
/// ```
/// use equipoise_tokio::probe::JsonMatch;
///
/// let ready: JsonMatch = r#"$.db == "ok""#.parse()?;
/// assert!(ready.check(br#"{"db": "ok", "uptime": 7}"#).is_ok());
/// let error = ready.check(br#"{"db": "down"}"#).unwrap_err();
/// assert_eq!(error.to_string(), r#"body field $.db is "down", not "ok""#);
/// # Ok::<(), equipoise_tokio::probe::InvalidProbe>(())
/// ```
#[derive(Clone, Debug)]
pub struct JsonMatch {
    path: JsonPath,
    field: Arc<str>,
    value: Value,
    wanted: Arc<str>,
}

impl JsonMatch {
    /// The most bytes of a condition.
    const LIMIT: usize = 1024;
    /// The most brackets within one another.
    const DEPTH_LIMIT: usize = 8;

    /// Whether the condition holds for the body.
    ///
    /// A body that is nested more than 128 deep is not read.
    ///
    /// # Errors
    /// [`ProbeError::NotJson`], [`ProbeError::FieldMissing`] or [`ProbeError::FieldDiffers`].
    pub fn check(&self, body: &[u8]) -> Result<(), ProbeError> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| ProbeError::NotJson(excerpt(&error.to_string()).into()))?;
        let found = self.path.query(&body);
        if found.is_empty() {
            return Err(ProbeError::FieldMissing { field: Arc::clone(&self.field) });
        }
        match found.iter().find(|found| !same(found, &self.value)) {
            None => Ok(()),
            Some(found) => Err(ProbeError::FieldDiffers {
                field: Arc::clone(&self.field),
                found: excerpt(&found.to_string()).into(),
                wanted: Arc::clone(&self.wanted),
            }),
        }
    }
}

/// Equality, of numbers by value.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() != b.is_f64() => {
            a.as_f64() == b.as_f64()
        }
        _ => a == b,
    }
}

impl FromStr for JsonMatch {
    type Err = InvalidProbe;

    fn from_str(text: &str) -> Result<Self, InvalidProbe> {
        let bad = |why: &str| InvalidProbe::Json(format!("{:?}: {why}", excerpt(text)));
        if text.len() > Self::LIMIT {
            return Err(bad("longer than 1024 bytes"));
        }
        // The parser of the path calls itself for each bracket within another, without a bound of its
        // own, and its time doubles with each.
        if depth(text) > Self::DEPTH_LIMIT {
            return Err(bad("more than 8 brackets within one another"));
        }
        // Both sides may have `==` in them: in a filter, or in a string. It is the first one that has a
        // path before it and a value behind it.
        let mut why = "has no `==`".to_owned();
        for (at, sign) in text.match_indices("==") {
            let (field, wanted) = (text[..at].trim(), text[at + sign.len()..].trim());
            match (JsonPath::parse(field), serde_json::from_str(wanted)) {
                (Ok(path), Ok(value)) => {
                    let (field, wanted) = (field.into(), wanted.into());
                    return Ok(Self { path, field, value, wanted });
                }
                (Err(error), _) => why = format!("{field:?} is not a JSONPath: {error}"),
                (_, Err(error)) => why = format!("{wanted:?} is not JSON: {error}"),
            }
        }
        Err(bad(&why))
    }
}

/// How many brackets are within one another, those in strings included.
fn depth(text: &str) -> usize {
    let mut depth: usize = 0;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'[' | b'(' => depth += 1,
            b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

impl fmt::Display for JsonMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} == {}", self.field, self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(condition: &str, body: &str) -> String {
        let condition: JsonMatch = condition.parse().unwrap();
        condition
            .check(body.as_bytes())
            .map_or_else(|error| error.to_string(), |()| "ok".to_owned())
    }

    #[test]
    fn a_field_is_compared_with_any_json_value() {
        let body = r#"{"a": {"b": [1, "x", null, true, 2.0]}, "o": {"k": 1}}"#;
        for condition in [
            "$.a.b[0] == 1",
            "$.a.b[0] == 1.0",
            "$.a.b[-1]==2",
            r#"$['a']["b"][1] == "x""#,
            "$.a.b[2] == null",
            "$.a.b[3] == true",
            r#"$.o == {"k": 1}"#,
        ] {
            assert_eq!(check(condition, body), "ok", "{condition}");
        }
        assert_eq!(check("$.a.b[0] == 2", body), "body field $.a.b[0] is 1, not 2");
        assert_eq!(check("$.a.c == 2", body), "body has no field $.a.c");
    }

    #[test]
    fn each_of_several_fields_must_be_equal() {
        assert_eq!(check("$[*].up == true", r#"[{"up": true}, {"up": true}]"#), "ok");
        let mixed = check("$[*].up == true", r#"[{"up": true}, {"up": false}]"#);
        assert_eq!(mixed, "body field $[*].up is false, not true");
        assert_eq!(check("$[*].up == true", "[]"), "body has no field $[*].up");
    }

    #[test]
    fn equal_signs_in_filters_and_strings_do_not_mislead() {
        let body = r#"{"checks": [{"n": "db", "s": "a == b"}, {"n": "mq", "s": "x"}]}"#;
        assert_eq!(check(r#"$.checks[?@.n == "db"].s == "a == b""#, body), "ok");
        assert_eq!(check(r#"$["a==b"] == 1"#, r#"{"a==b": 1}"#), "ok");
    }

    #[test]
    fn what_is_no_condition_is_refused_with_the_reason() {
        let long = format!("$.a == \"{}\"", "x".repeat(1024));
        for text in
            ["", "$.db", "db == 1", "$.db == ok", "$.db = 1", "$. == 1", "$.a ==", "$[ == 1", &long]
        {
            let error = text.parse::<JsonMatch>().unwrap_err();
            assert_eq!(error.field(), "json", "{text}");
            assert!(error.to_string().starts_with("json: \""), "{error}");
        }
        for open in ["[?@", "[?(", "[?!(", "["] {
            let deep = format!("${}.a == 1", open.repeat(200));
            let error = deep.parse::<JsonMatch>().unwrap_err().to_string();
            assert!(error.ends_with("more than 8 brackets within one another"), "{error}");
        }
        let inside = format!("${}.a{} == 1", "[?@".repeat(8), "]".repeat(8));
        assert!(inside.parse::<JsonMatch>().is_ok());
    }

    #[test]
    fn what_is_no_json_and_what_is_nested_too_deep_is_an_error() {
        let not = "body is not JSON: ";
        for body in
            ["", "<html>", "{\"db\": \"ok\"} x", &"[".repeat(100_000), &"{\"db\":".repeat(100_000)]
        {
            assert!(check("$.db == \"ok\"", body).starts_with(not));
        }
        let condition: JsonMatch = "$.db == 1".parse().unwrap();
        assert!(condition.check(b"{\"db\": \"\xff\"}").unwrap_err().to_string().starts_with(not));
    }

    #[test]
    fn what_the_backend_wrote_is_escaped_and_shortened() {
        let body = format!(r#"{{"db": "\u001b[31m\u202e{}"}}"#, "x".repeat(1000));
        let error = check("$.db == 1", &body);
        assert!(error.chars().all(|c| c.is_ascii_graphic() || c == ' ' || c == '…'), "{error}");
        assert!(error.len() < 150, "{error}");
    }
}
