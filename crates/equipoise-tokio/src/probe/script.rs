//! Does it answer these bytes by those?

use std::fmt;
use std::time::Duration;

use super::pattern::Pattern;
use super::script_run::Run;
use super::talk::{Line, wire_limit};
use super::{Answer, Asking, InvalidProbe, Probe, ProbeError, Target};

/// Sends bytes and expects bytes, step by step: for any protocol that has no probe of its own.
///
/// ```
/// use equipoise_tokio::probe::{Probe, Script};
///
/// let redis = Script::builder().send("PING\r\n").expect_prefix("+PONG\r\n").build()?;
/// assert_eq!(redis.describe(), r"send 6 bytes, expect_prefix `+PONG\r\n`");
///
/// // The greeting has `220 ` or, with more lines to follow, `220-`.
/// let smtp = Script::builder()
///     .expect_regex("^220[ -]")
///     .send("QUIT\r\n")
///     .expect("221 ")
///     .build()?;
///
/// // SSLRequest (PostgreSQL's documentation, 54.2.10): the answer is one byte.
/// let postgresql = Script::builder()
///     .send(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
///     .expect_regex("^[SN]")
///     .within(1)
///     .build()?;
///
/// // A packet's head of four bytes, the last of which is 0, then the version of the protocol, 10. A
/// // server that refuses the host says 255 there.
/// let mysql = Script::builder().expect_regex(r"(?s-u)^.{3}\x00\x0a").within(5).build()?;
///
/// assert_eq!(Script::builder().send("QUIT\r\n").build().unwrap_err().field(), "script");
/// # Ok::<(), equipoise_tokio::probe::InvalidProbe>(())
/// ```
///
/// # Steps
/// What comes is one stream: each step that expects something begins where the one before has found
/// what it wants, whether or not that was before the last `send`.
///
/// * [`expect`](ScriptBuilder::expect): these bytes, anywhere.
/// * [`expect_prefix`](ScriptBuilder::expect_prefix): these bytes, at once. The first other one fails.
/// * [`expect_regex`](ScriptBuilder::expect_regex): a match, anywhere. It is looked for whenever more has
///   come, so that the pieces in which an answer comes decide what `$` and `\b` see at the end: better
///   end an expression with what the protocol ends an answer with.
///
/// # Bounds
/// It reads at most 16 KiB, and each step sees at most [`within`](ScriptBuilder::within) of them. Over
/// TLS the records may take eight times as much and 64 KiB, and the handshake 128 KiB. An expression is
/// matched in linear time, at worst once for each byte that comes: 16 KiB of single bytes are 128 MiB to
/// look at.
///
/// A failure names the step, what is expected, and the beginning of what came. What is sent is never
/// shown, not by `Debug` either: it may be a password.
#[derive(Clone)]
pub struct Script {
    steps: Vec<Step>,
    deadline: Option<Duration>,
    #[cfg(feature = "tls")]
    tls: Option<super::TlsClient>,
}

/// One step.
#[derive(Clone)]
pub(super) enum Step {
    Send(Box<[u8]>),
    Expect {
        pattern: Pattern,
        /// In how many bytes.
        within: usize,
    },
}

impl Script {
    /// The most bytes that a script reads.
    pub const MAX_READ: usize = 16 * 1024;
    /// In how many bytes a step finds what it expects, unless it is told.
    pub const DEFAULT_WITHIN: usize = 1024;
    const MAX_STEPS: usize = 32;
    const MAX_SEND: usize = 4096;

    /// Begins with a script of no steps.
    pub fn builder() -> ScriptBuilder {
        ScriptBuilder {
            steps: Vec::new(),
            wrong: None,
            deadline: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    async fn open(&self, target: &Target) -> Result<Line, ProbeError> {
        let limit = wire_limit(Self::MAX_READ);
        #[cfg(feature = "tls")]
        if let Some(client) = &self.tls {
            return Line::open_tls(target, client, limit, false).await;
        }
        Line::open(target, limit).await
    }

    async fn ask(&self, target: &Target) -> Result<Answer, ProbeError> {
        let mut run = Run::new(&self.steps);
        let Some(deadline) = self.deadline else { return run.all(self.open(target)).await };
        match tokio::time::timeout(deadline, run.all(self.open(target))).await {
            Ok(answer) => answer,
            // What has come is in `run`, not in the future that is dropped.
            Err(_) => Err(run.out_of_time()),
        }
    }
}

impl Probe for Script {
    fn probe<'a>(&'a self, target: &'a Target) -> Asking<'a> {
        Box::pin(self.ask(target))
    }

    fn describe(&self) -> String {
        let steps: Vec<_> = self.steps.iter().map(Step::to_string).collect();
        steps.join(", ")
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Script");
        debug.field("steps", &self.describe()).field("deadline", &self.deadline);
        debug.finish_non_exhaustive()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(bytes) => write!(f, "send {} bytes", bytes.len()),
            Self::Expect { pattern, .. } => pattern.fmt(f),
        }
    }
}

/// Puts a [`Script`] together.
#[derive(Clone)]
pub struct ScriptBuilder {
    steps: Vec<Step>,
    /// The first thing that is wrong.
    wrong: Option<InvalidProbe>,
    deadline: Option<Duration>,
    #[cfg(feature = "tls")]
    tls: Option<super::TlsClient>,
}

impl ScriptBuilder {
    /// Sends these bytes: 1 to 4,096.
    #[must_use]
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let max = Script::MAX_SEND;
        let step = if (1..=max).contains(&bytes.len()) {
            Ok(Step::Send(bytes.into()))
        } else {
            Err(format!("it sends 1 to {max} bytes, not {}", bytes.len()))
        };
        self.push(step)
    }

    /// Expects these bytes, 1 to 4,096, anywhere.
    #[must_use]
    pub fn expect(self, bytes: impl AsRef<[u8]>) -> Self {
        self.push_pattern(Pattern::contains(bytes.as_ref()))
    }

    /// Expects these bytes, 1 to 4,096, and nothing before them.
    #[must_use]
    pub fn expect_prefix(self, bytes: impl AsRef<[u8]>) -> Self {
        self.push_pattern(Pattern::prefix(bytes.as_ref()))
    }

    /// Expects a match of this regular expression, in the syntax of the crate `regex`: 1 to 4,096 bytes,
    /// and at most 256 KiB of memory. What it matches need not be UTF-8: `(?s-u).` is any byte.
    #[must_use]
    pub fn expect_regex(self, text: &str) -> Self {
        self.push_pattern(Pattern::regex(text))
    }

    /// Within how many bytes the last step must find what it expects: 1 to 16,384, 1,024 unless it is set.
    #[must_use]
    pub fn within(mut self, limit: usize) -> Self {
        let why = match self.steps.last_mut() {
            _ if !(1..=Script::MAX_READ).contains(&limit) => {
                format!("within {limit} is not in 1..={} bytes", Script::MAX_READ)
            }
            Some(Step::Expect { pattern, .. }) if pattern.shortest() > limit => {
                format!("what is expected is longer than {limit} bytes")
            }
            Some(Step::Expect { within, .. }) => {
                *within = limit;
                return self;
            }
            _ => "only a step that expects something has a limit".to_owned(),
        };
        let step = self.steps.len();
        self.wrong.get_or_insert(InvalidProbe::Script { step, why });
        self
    }

    /// Fails after so long by itself, with what has come until then.
    ///
    /// The caller's time-out says only that there was no answer; set this a little shorter, so that
    /// a backend that says something else and then waits is told from one that says nothing.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Asks over TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, client: super::TlsClient) -> Self {
        Self { tls: Some(client), ..self }
    }

    /// Checks all of it.
    ///
    /// # Errors
    /// [`InvalidProbe::Script`]: a step that can't be, the first of them; more than 32 steps; or none
    /// that expects something, which would be the probe [`Tcp`](super::Tcp).
    pub fn build(self) -> Result<Script, InvalidProbe> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let wrong = |why: &str| Err(InvalidProbe::Script { step: 0, why: why.to_owned() });
        if self.steps.len() > Script::MAX_STEPS {
            return wrong("more than 32 steps");
        }
        if !self.steps.iter().any(|step| matches!(step, Step::Expect { .. })) {
            return wrong("no step expects something");
        }
        Ok(Script {
            steps: self.steps,
            deadline: self.deadline,
            #[cfg(feature = "tls")]
            tls: self.tls,
        })
    }

    fn push_pattern(self, pattern: Result<Pattern, String>) -> Self {
        self.push(pattern.map(|pattern| {
            let within = Script::DEFAULT_WITHIN.max(pattern.shortest());
            Step::Expect { pattern, within }
        }))
    }

    fn push(mut self, step: Result<Step, String>) -> Self {
        match step {
            // One that is too many is kept, to be refused; a thousand need no memory.
            Ok(step) if self.steps.len() <= Script::MAX_STEPS => self.steps.push(step),
            Ok(_) => {}
            Err(why) => {
                let step = self.steps.len() + 1;
                self.wrong.get_or_insert(InvalidProbe::Script { step, why });
            }
        }
        self
    }
}

impl fmt::Debug for ScriptBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<_> = self.steps.iter().map(Step::to_string).collect();
        f.debug_struct("ScriptBuilder").field("steps", &steps).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: ScriptBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_refused_with_the_number_of_the_step() {
        let ping = || Script::builder().send("PING\r\n").expect("+PONG");
        assert_eq!(refused(Script::builder()), "script: no step expects something");
        assert_eq!(refused(Script::builder().send("a")), "script: no step expects something");
        assert_eq!(refused(ping().send("")), "script: step 3: it sends 1 to 4096 bytes, not 0");
        assert_eq!(refused(ping().expect("")), "script: step 3: it has 1 to 4096 bytes, not 0");
        assert!(refused(ping().expect_regex("(")).starts_with("script: step 3: regex parse error"));
        assert_eq!(
            refused(ping().within(4)),
            "script: step 2: what is expected is longer than 4 bytes"
        );
        for limit in [0, Script::MAX_READ + 1] {
            assert!(refused(ping().within(limit)).starts_with("script: step 2: within "));
        }
        assert!(refused(Script::builder().send("a").within(5)).starts_with("script: step 1: only"));
        let many = |count| (0..count).fold(Script::builder(), |script, _| script.expect("a"));
        assert!(many(32).build().is_ok());
        assert_eq!(refused(many(1000)), "script: more than 32 steps");
    }

    #[test]
    fn what_is_sent_is_not_shown() {
        let builder = Script::builder().send("AUTH hunter2\r\n").expect_prefix("+OK");
        assert!(!format!("{builder:?}").contains("hunter2"));
        let script = builder.build().unwrap();
        assert!(!format!("{script:?}").contains("hunter2"));
        assert_eq!(script.describe(), "send 14 bytes, expect_prefix `+OK`");
    }
}
