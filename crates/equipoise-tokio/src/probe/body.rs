//! What is expected of a body.

use std::fmt;
use std::sync::Arc;

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

use super::{Answer, InvalidProbe, JsonMatch, Part, ProbeError};

/// A condition on the body of an answer.
#[derive(Clone, Debug)]
pub struct BodyMatch(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Contains { text: Arc<str>, finder: Box<Finder<'static>> },
    Regex { text: Arc<str>, regex: Regex },
    Json(JsonMatch),
}

impl BodyMatch {
    /// The most memory of a compiled regular expression, in bytes.
    const REGEX_LIMIT: usize = 256 * 1024;
    /// The most bytes of a text or a regular expression.
    const TEXT_LIMIT: usize = 4096;

    /// The body has this text, byte for byte, anywhere. The rest of it is not read.
    ///
    /// # Errors
    /// [`InvalidProbe::Body`], if the text is empty or longer than 4,096 bytes.
    pub fn contains(text: &str) -> Result<Self, InvalidProbe> {
        if text.is_empty() || text.len() > Self::TEXT_LIMIT {
            return Err(InvalidProbe::Body("a text to look for has 1 to 4096 bytes"));
        }
        let finder = Box::new(Finder::new(text.as_bytes()).into_owned());
        Ok(Self(Kind::Contains { text: text.into(), finder }))
    }

    /// The whole body has a match of this regular expression, in the syntax of the crate `regex`.
    /// It takes linear time, and need not be UTF-8.
    ///
    /// # Errors
    /// [`InvalidProbe::Regex`], if it does not compile, is longer than 4,096 bytes, or takes more than
    /// 256 KiB of memory.
    pub fn regex(text: &str) -> Result<Self, InvalidProbe> {
        if text.is_empty() || text.len() > Self::TEXT_LIMIT {
            return Err(InvalidProbe::Regex("it has 1 to 4096 bytes".to_owned()));
        }
        let regex = RegexBuilder::new(text)
            .size_limit(Self::REGEX_LIMIT)
            .dfa_size_limit(Self::REGEX_LIMIT)
            .build()
            .map_err(|error| InvalidProbe::Regex(error.to_string()))?;
        Ok(Self(Kind::Regex { text: text.into(), regex }))
    }

    /// The whole body is JSON, and this holds for it.
    pub fn json(condition: JsonMatch) -> Self {
        Self(Kind::Json(condition))
    }

    /// The shortest body that can match, in bytes.
    pub(super) fn shortest(&self) -> usize {
        match &self.0 {
            Kind::Contains { text, .. } => text.len(),
            Kind::Regex { .. } | Kind::Json(_) => 0,
        }
    }
}

impl fmt::Display for BodyMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Contains { text, .. } => write!(f, "body has `{text}`"),
            Kind::Regex { text, .. } => write!(f, "body matches `{text}`"),
            Kind::Json(condition) => write!(f, "body has {condition}"),
        }
    }
}

impl BodyMatch {
    /// Whether it looks at a field of a JSON body.
    pub(super) const fn is_json(&self) -> bool {
        matches!(self.0, Kind::Json(_))
    }
}

/// Reads a body as far as it must.
#[derive(Debug)]
pub(super) struct BodyReader<'a> {
    answer: Answer,
    wanted: Option<&'a BodyMatch>,
    limit: usize,
    length: usize,
    /// Kept if there is something to look for.
    seen: Vec<u8>,
    /// The request and the status, if that has decided already: then the body only explains.
    unexpected: Option<(Arc<str>, u16)>,
}

impl<'a> BodyReader<'a> {
    /// Reads for a condition, if any; `answer` follows from one that holds.
    pub(super) fn new(answer: Answer, wanted: Option<&'a BodyMatch>, limit: usize) -> Self {
        Self { answer, wanted, limit, length: 0, seen: Vec::new(), unexpected: None }
    }

    /// Reads only to say why the status was not the expected one.
    pub(super) fn after(self, request: Arc<str>, status: u16) -> Self {
        Self { unexpected: Some((request, status)), ..self }
    }

    /// Takes the next piece; whether that is enough.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<bool, ProbeError> {
        let room = self.limit.saturating_sub(self.length);
        let (taken, beyond) = piece.split_at(room.min(piece.len()));
        self.length = self.length.saturating_add(taken.len());
        if let Some(wanted) = self.wanted {
            let before = self.seen.len();
            self.seen.extend_from_slice(taken);
            if let Kind::Contains { text, finder } = &wanted.0 {
                // A match may begin in the piece before. All in all each byte is looked at once, and a
                // text's length more for each piece.
                let from = before.saturating_sub(text.len() - 1);
                if self.seen.get(from..).is_some_and(|tail| finder.find(tail).is_some()) {
                    return Ok(true);
                }
            }
        }
        if beyond.is_empty() {
            Ok(false)
        } else {
            Err(ProbeError::TooLong { part: Part::Body, limit: self.limit })
        }
    }

    /// The answer, when enough was read (`true`) or the body has ended.
    pub(super) fn conclude(mut self, read: Result<bool, ProbeError>) -> Result<Answer, ProbeError> {
        if let Some((request, status)) = self.unexpected.take() {
            let because = match read.and_then(|_| self.finish()) {
                Err(error @ ProbeError::FieldDiffers { .. }) => Some(error.to_string().into()),
                _ => None,
            };
            return Err(ProbeError::Status { request, status, because });
        }
        if read? { Ok(self.answer) } else { self.finish() }
    }

    fn finish(self) -> Result<Answer, ProbeError> {
        match self.wanted.map(|wanted| &wanted.0) {
            None => {}
            Some(Kind::Contains { text, .. }) => {
                return Err(ProbeError::BodyLacks(Arc::clone(text)));
            }
            Some(Kind::Regex { text, regex }) if !regex.is_match(&self.seen) => {
                return Err(ProbeError::BodyUnlike(Arc::clone(text)));
            }
            Some(Kind::Regex { .. }) => {}
            Some(Kind::Json(condition)) => condition.check(&self.seen)?,
        }
        Ok(self.answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wanted: &BodyMatch, limit: usize, pieces: &[&[u8]]) -> Result<Answer, ProbeError> {
        let mut reader = BodyReader::new(Answer::Pass, Some(wanted), limit);
        for piece in pieces {
            if reader.take(piece)? {
                return reader.conclude(Ok(true));
            }
        }
        reader.conclude(Ok(false))
    }

    #[test]
    fn a_text_is_found_across_pieces_and_up_to_the_last_byte_that_is_read() {
        let ready = BodyMatch::contains("ready").unwrap();
        assert_eq!(
            read(&ready, 100, &[b"not ", b"r", b"ea", b"", b"dy, not", b"x"]),
            Ok(Answer::Pass)
        );
        assert_eq!(read(&ready, 8, &[b"...readyxxxxxxxxxxxxxxx"]), Ok(Answer::Pass));
        let long = ProbeError::TooLong { part: Part::Body, limit: 7 };
        assert_eq!(read(&ready, 7, &[b"...readyxxxxxxxxxxxxxxx"]), Err(long));
        assert_eq!(read(&ready, 8, &[b"...read"]), Err(ProbeError::BodyLacks("ready".into())));
    }

    #[test]
    fn a_regex_sees_the_whole_body() {
        let ok = BodyMatch::regex("^ok$").unwrap();
        assert_eq!(read(&ok, 100, &[b"o", b"k"]), Ok(Answer::Pass));
        assert_eq!(read(&ok, 100, &[b"ok", b", no"]), Err(ProbeError::BodyUnlike("^ok$".into())));
        let byte = BodyMatch::regex(r"(?-u)\xff\xfe").unwrap();
        assert_eq!(read(&byte, 100, &[b"\xff\xfe"]), Ok(Answer::Pass));
    }

    #[test]
    fn what_does_not_compile_or_grows_too_large_is_refused() {
        for bad in ["(", "a{1,100}{1,100}{1,100}", r"\w{1000}", "", &"a".repeat(4097)] {
            assert_eq!(BodyMatch::regex(bad).unwrap_err().field(), "regex", "{bad}");
        }
        for bad in ["", &"a".repeat(4097)] {
            assert_eq!(BodyMatch::contains(bad).unwrap_err().field(), "body");
        }
    }
}
