//! `[health.check]`: what to ask the backends, and when.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use equipoise_health::{CheckConfig, CheckConfigError, InitialHealth};
use equipoise_tokio::probe::{
    BodyMatch, Grpc, Http, HttpVersion, InvalidProbe, JsonMatch, Probe, StatusSet, Tcp, Tls,
};
use serde::Deserialize;

use super::named;
use super::script::{StepSection, script};
use super::tls::TlsSection;
use crate::StartError;

/// What a check asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Does anybody listen?
    Tcp,
    /// Does it complete a handshake?
    Tls,
    /// Does the application answer as it should?
    Http,
    /// Does the gRPC health service say that it serves?
    Grpc,
    /// Does it answer these bytes by those?
    Script,
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Script => "script",
        })
    }
}

/// `[health.check]`, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckSection {
    #[serde(rename = "type")]
    kind: CheckKind,
    path: Option<String>,
    method: Option<String>,
    host: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    expect: Option<String>,
    drain: Option<String>,
    body: Option<String>,
    regex: Option<String>,
    json: Option<String>,
    body_limit: Option<usize>,
    version: Option<u8>,
    service: Option<String>,
    script: Option<Vec<StepSection>>,
    tls: Option<TlsSection>,
    port: Option<u16>,
    rise: Option<u16>,
    fall: Option<u16>,
    interval_ms: Option<u64>,
    fast_interval_ms: Option<u64>,
    down_interval_ms: Option<u64>,
    idle_interval_ms: Option<u64>,
    timeout_ms: Option<u64>,
    jitter: Option<f64>,
    initial: Option<InitialHealth>,
    concurrent: Option<usize>,
}

/// What to ask the backends of a pool, and when.
#[derive(Clone, Debug)]
pub struct CheckSettings {
    /// When, and how many answers decide.
    pub config: CheckConfig,
    /// What.
    pub probe: Arc<dyn Probe>,
    /// The port to ask, instead of a backend's own. A backend's own `check` goes before it.
    pub port: Option<u16>,
    /// How many probes may be under way at once; at least 1.
    pub concurrent: usize,
}

impl CheckSection {
    /// How many probes are under way at once, unless it is set.
    const CONCURRENT: usize = 100;
    const MAX_CONCURRENT: usize = 10_000;

    pub(super) fn check(&self, at: &str) -> Result<CheckSettings, StartError> {
        self.refuse_settings_of_others(at)?;
        if self.port == Some(0) {
            let wrong = "0 is out of range; allowed are 1 to 65535";
            return Err(StartError::new(format!("{at}.port"), wrong));
        }
        let concurrent = self.concurrent.unwrap_or(Self::CONCURRENT);
        if !(1..=Self::MAX_CONCURRENT).contains(&concurrent) {
            let max = Self::MAX_CONCURRENT;
            let wrong = format!("{concurrent} is out of range; allowed are 1 to {max}");
            return Err(StartError::new(format!("{at}.concurrent"), wrong));
        }
        let config = self.schedule(at)?;
        let probe = self.probe(at, config.timeout())?;
        Ok(CheckSettings { config, probe, port: self.port, concurrent })
    }

    /// A setting that the type does not have would be silently without effect.
    fn refuse_settings_of_others(&self, at: &str) -> Result<(), StartError> {
        use CheckKind::{Grpc, Http, Script, Tls};
        let settings: [(&str, bool, &[CheckKind]); 14] = [
            ("path", self.path.is_some(), &[Http]),
            ("method", self.method.is_some(), &[Http]),
            ("host", self.host.is_some(), &[Http]),
            ("headers", self.headers.is_some(), &[Http]),
            ("expect", self.expect.is_some(), &[Http]),
            ("drain", self.drain.is_some(), &[Http]),
            ("body", self.body.is_some(), &[Http]),
            ("regex", self.regex.is_some(), &[Http]),
            ("json", self.json.is_some(), &[Http]),
            ("body_limit", self.body_limit.is_some(), &[Http]),
            ("version", self.version.is_some(), &[Http]),
            ("service", self.service.is_some(), &[Grpc]),
            ("script", self.script.is_some(), &[Script]),
            ("tls", self.tls.is_some(), &[Http, Grpc, Script, Tls]),
        ];
        for (name, is_given, kinds) in settings {
            if is_given && !kinds.contains(&self.kind) {
                let kinds: Vec<_> = kinds.iter().map(|kind| format!("\"{kind}\"")).collect();
                let wrong =
                    format!("not with type = \"{}\"; it goes with {}", self.kind, kinds.join(", "));
                return Err(StartError::new(format!("{at}.{name}"), wrong));
            }
        }
        Ok(())
    }

    /// What is not given follows from what is, so that each interval can be set alone.
    fn schedule(&self, at: &str) -> Result<CheckConfig, StartError> {
        let default = CheckConfig::default();
        let given = |ms: Option<u64>| ms.map(Duration::from_millis);
        let up = given(self.interval_ms).unwrap_or(default.up());
        let down = given(self.down_interval_ms).unwrap_or(up);
        let idle = given(self.idle_interval_ms);
        // As short as by default, as long as the time-out asks, and never longer than the interval.
        let fast = given(self.fast_interval_ms).unwrap_or_else(|| {
            default.going_down().max(given(self.timeout_ms).unwrap_or_default()).min(up)
        });
        let timeout = given(self.timeout_ms).unwrap_or_else(|| {
            default.timeout().min(up).min(fast).min(down).min(idle.unwrap_or(up))
        });
        CheckConfig::builder()
            .rise(self.rise.unwrap_or(default.rise()))
            .fall(self.fall.unwrap_or(default.fall()))
            .up(up)
            .going_down(fast)
            .down(down)
            .no_traffic(idle)
            .timeout(timeout)
            .jitter(self.jitter.unwrap_or(default.jitter()))
            .initial(self.initial.unwrap_or_default())
            .build()
            .map_err(|error| schedule_error(at, error))
    }

    fn probe(&self, at: &str, timeout: Duration) -> Result<Arc<dyn Probe>, StartError> {
        let wrong = |error| probe_error(at, &error);
        let tls = self.tls.as_ref().map(|tls| tls.client(&format!("{at}.tls"))).transpose()?;
        let tls = tls.flatten();
        Ok(match self.kind {
            CheckKind::Tcp => Arc::new(Tcp),
            CheckKind::Tls => Arc::new(Tls::new(match tls {
                Some(client) => client,
                None if self.tls.is_none() => TlsSection::On.system(&format!("{at}.tls"))?,
                None => {
                    let wrong = "false, but type = \"tls\"; for a check in clear, say \"tcp\"";
                    return Err(StartError::new(format!("{at}.tls"), wrong));
                }
            })),
            CheckKind::Grpc => {
                let probe = Grpc::new(self.service.as_deref().unwrap_or("")).map_err(wrong)?;
                Arc::new(match tls {
                    Some(client) => probe.with_tls(client),
                    None => probe,
                })
            }
            CheckKind::Script => {
                let Some(steps) = &self.script else {
                    let missing = "missing: give the steps, such as [{ send = 'PING\\r\\n' }, \
                                   { expect_prefix = \"+PONG\" }]";
                    return Err(StartError::new(format!("{at}.script"), missing));
                };
                Arc::new(script(at, steps, tls, timeout)?)
            }
            CheckKind::Http => {
                let Some(path) = &self.path else {
                    let missing = "missing: give the path by which the application says whether it \
                                   is well, such as \"/health\"";
                    return Err(StartError::new(format!("{at}.path"), missing));
                };
                let mut probe = Http::get(path).version(self.version(at)?);
                if let Some(method) = &self.method {
                    probe = probe.method(method);
                }
                if let Some(host) = &self.host {
                    probe = probe.host(host);
                }
                for (name, value) in self.headers.iter().flatten() {
                    probe = probe.header(name, value);
                }
                if let Some(expect) = &self.expect {
                    probe = probe.expect(statuses(at, "expect", expect)?);
                }
                if let Some(drain) = &self.drain {
                    probe = probe.drain(statuses(at, "drain", drain)?);
                }
                if let Some(body) = self.body(at)? {
                    probe = probe.body(body);
                }
                if let Some(limit) = self.body_limit {
                    probe = probe.body_limit(limit);
                }
                if let Some(client) = tls {
                    probe = probe.tls(client);
                }
                Arc::new(probe.build().map_err(wrong)?)
            }
        })
    }

    fn version(&self, at: &str) -> Result<HttpVersion, StartError> {
        match self.version {
            None | Some(1) => Ok(HttpVersion::Http1),
            Some(2) => Ok(HttpVersion::Http2),
            Some(other) => {
                let wrong = format!("{other} is out of range; allowed are 1 and 2");
                Err(StartError::new(format!("{at}.version"), wrong))
            }
        }
    }

    fn body(&self, at: &str) -> Result<Option<BodyMatch>, StartError> {
        let wrong = |error| probe_error(at, &error);
        let given = [("body", &self.body), ("regex", &self.regex), ("json", &self.json)];
        let mut given = given.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let Some((name, text)) = given.next() else { return Ok(None) };
        if let Some((other, _)) = given.next() {
            let wrong = format!("`{name}` is given as well; a check looks for one of them");
            return Err(StartError::new(format!("{at}.{other}"), wrong));
        }
        let found = match name {
            "body" => BodyMatch::contains(text),
            "regex" => BodyMatch::regex(text),
            _ => text.parse::<JsonMatch>().map(BodyMatch::json),
        };
        found.map(Some).map_err(wrong)
    }
}

fn statuses(at: &str, name: &str, text: &str) -> Result<StatusSet, StartError> {
    text.parse().map_err(|error: InvalidProbe| named(at, name, error.field(), error))
}

fn probe_error(at: &str, error: &InvalidProbe) -> StartError {
    named(at, error.field(), error.field(), error)
}

/// The name that an interval of a [`CheckConfig`] has in the file.
fn written(field: &str) -> &str {
    match field {
        "up" => "interval_ms",
        "going_down" => "fast_interval_ms",
        "down" => "down_interval_ms",
        "no_traffic" => "idle_interval_ms",
        "timeout" => "timeout_ms",
        "first_n" => "initial",
        other => other,
    }
}

fn schedule_error(at: &str, error: CheckConfigError) -> StartError {
    match error {
        CheckConfigError::Zero { field } | CheckConfigError::Duration { field, .. } => {
            named(at, written(field), field, error)
        }
        CheckConfigError::Timeout { timeout, field, interval } => {
            let wrong = format!(
                "{timeout:?} is longer than {}, {interval:?}: a check must end before the next one \
                 is due",
                written(field)
            );
            StartError::new(format!("{at}.timeout_ms"), wrong)
        }
        CheckConfigError::NoTraffic { no_traffic, up } => {
            let wrong = format!("{no_traffic:?} is shorter than interval_ms, {up:?}");
            StartError::new(format!("{at}.idle_interval_ms"), wrong)
        }
        CheckConfigError::Jitter { .. } => named(at, "jitter", "jitter", error),
        other => StartError::new(at, other),
    }
}
