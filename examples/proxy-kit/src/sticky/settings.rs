//! `[pools.NAME.sticky]`, checked.

mod flag;
mod section;

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use equipoise_core::Persistence;
use equipoise_hash::key::{KeyKind, KeyPart, KeySpec};
use equipoise_sticky::TableConfig;
use equipoise_sticky::affinity::cookie;
use equipoise_sticky::affinity::set_cookie::CookieSettings;
use equipoise_sticky::surplus::SurplusConfig;
use equipoise_tokio::sessions::{SharedConfig, WriteMode};
use hyper::header::{COOKIE, HeaderName};
use serde::Deserialize;

pub use self::flag::StickyFlag;
pub use self::section::{ModeKind, StickySection, SurplusSection};

use self::section::Unread;

use crate::StartError;
use crate::backend::BackendSpec;
use crate::keys::{Secret, Sight};

/// How a pool's sessions are kept together, checked.
#[derive(Clone, Debug)]
pub struct StickySettings {
    pub(super) mode: Mode,
    pub(super) on_lost: Persistence,
    pub(super) surplus: Option<SurplusConfig>,
    /// A name that a header can have.
    pub(super) report: Option<HeaderName>,
}

/// How a session is told, with all that it takes.
#[derive(Clone, Debug)]
pub(super) enum Mode {
    Token(TokenSettings),
    Route {
        name: String,
        routes: BTreeMap<String, String>,
    },
    Table {
        by: By,
        table: TableConfig,
        /// A good one.
        secret: Option<Secret>,
        redis: Option<RedisSettings>,
    },
}

#[derive(Clone, Debug)]
pub(super) struct TokenSettings {
    pub(super) cookie: CookieSettings,
    /// It stands in front of the application's cookie of this name.
    pub(super) is_prefix: bool,
    /// These are good ones.
    pub(super) secret: Option<Secret>,
    pub(super) old_secrets: Vec<Secret>,
    pub(super) idle: Duration,
    pub(super) lifetime: Option<Duration>,
    pub(super) epoch: u32,
}

/// What tells sessions apart that are in a table.
#[derive(Clone, Debug)]
pub enum By {
    /// The application's cookie of this name.
    Cookie(String),
    /// A header.
    Header(HeaderName),
    /// The client's address.
    Client(KeySpec),
}

/// Redis, and how it is used.
#[derive(Clone)]
pub(super) struct RedisSettings {
    pub(super) url: String,
    pub(super) prefix: String,
    pub(super) shared: SharedConfig,
}

impl fmt::Debug for RedisSettings {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// `[pools.NAME.sticky.redis]`, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedisSection {
    /// Where it is; it may hold a password. Any value at first: an error of the reader would quote it.
    url: toml::Value,
    /// What its keys begin with.
    prefix: Option<String>,
    /// When it hears of a pin.
    write: Option<Write>,
    /// How long a request waits for it.
    time_limit_ms: Option<u64>,
    /// For how long its last answer is believed.
    trust_ms: Option<u64>,
    /// How many pins wait to be written.
    queue: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Write {
    Through,
    Behind,
}

/// Checks a section, and says where it is wrong.
struct Checker<'a> {
    /// Where the section is.
    at: &'a str,
    mode: ModeKind,
}

impl StickySettings {
    /// The name of our cookie, unless another one is given.
    pub const COOKIE: &str = "srv";

    /// Checks a section that is written at `at`: `pools.web.sticky`. `backends` are those of the pool.
    ///
    /// # Errors
    /// The first setting that is out of range, that is missing, or that is not for the mode.
    pub fn new(
        at: &str,
        section: &StickySection,
        sight: Sight,
        backends: &[BackendSpec],
    ) -> Result<Self, StartError> {
        let check = Checker { at, mode: section.mode };
        check.is_seen(sight)?;
        check.refuse_what_is_for_others(section, sight)?;
        let mode = match section.mode {
            ModeKind::Cookie | ModeKind::Prefix => Mode::Token(check.tokens(section)?),
            ModeKind::Route => check.routes(section, backends)?,
            ModeKind::Learn => check.table(By::Cookie(check.cookie_name(section)?), section)?,
            ModeKind::Header => check.table(By::Header(check.header_name(section)?), section)?,
            ModeKind::Client => check.table(By::Client(check.network(section)?), section)?,
        };
        let report = section.report.as_deref().map(|name| check.report(name));
        Ok(Self {
            mode,
            on_lost: section.on_lost,
            surplus: check.surplus(section)?,
            report: report.transpose()?,
        })
    }
}

impl Checker<'_> {
    const PREFIX_LIFETIME: Duration = Duration::from_secs(24 * 3600);

    fn wrong<T>(&self, name: &str, wrong: impl Display) -> Result<T, StartError> {
        Err(StartError::new(format!("{}.{name}", self.at), wrong))
    }

    fn is_seen(&self, sight: Sight) -> Result<(), StartError> {
        if sight.kinds.contains(&self.mode.looks_at()) {
            return Ok(());
        }
        let mode = self.mode.name();
        self.wrong("mode", format!("`{mode}` can't be: {}; allowed is client", sight.why))
    }

    /// A setting that is not looked at would be one that somebody relies on.
    fn refuse_what_is_for_others(
        &self,
        section: &StickySection,
        sight: Sight,
    ) -> Result<(), StartError> {
        let kind = self.mode;
        let (token, table) = (kind.has_token(), kind.has_table());
        let client = kind == ModeKind::Client;
        let answers = sight.kinds.contains(&KeyKind::Header);
        for (name, is_given, is_allowed) in [
            ("name", section.name.is_some(), !client),
            ("v4", section.v4.is_some(), client),
            ("v6", section.v6.is_some(), client),
            ("routes", section.routes.is_some(), kind == ModeKind::Route),
            ("idle_ms", section.idle_ms.is_some(), kind == ModeKind::Cookie || table),
            ("lifetime_ms", section.lifetime_ms.is_some(), token || table),
            ("max_sessions", section.max_sessions.is_some(), table),
            ("secret", section.secret.is_some(), token || table),
            ("old_secrets", section.old_secrets.is_some(), token),
            ("epoch", section.epoch.is_some(), token),
            ("attributes", section.attributes.is_some(), kind == ModeKind::Cookie),
            ("surplus", section.surplus.is_some(), kind == ModeKind::Cookie || table),
            ("redis", section.redis.is_some(), table),
            ("report", section.report.is_some(), answers),
        ] {
            if is_given && !is_allowed {
                return self.wrong(name, format!("means nothing with mode `{}`", kind.name()));
            }
        }
        Ok(())
    }

    fn name<'a>(&self, section: &'a StickySection) -> Result<&'a str, StartError> {
        section.name.as_deref().map_or_else(
            || self.wrong("name", format!("missing: mode `{}` needs one", self.mode.name())),
            Ok,
        )
    }

    fn cookie_name(&self, section: &StickySection) -> Result<String, StartError> {
        let name = self.name(section)?;
        if cookie::is_name(name) {
            return Ok(name.to_owned());
        }
        self.wrong("name", format!("{name:?} is not the name of a cookie"))
    }

    /// None that is the same for all clients, or that ends here.
    fn header_name(&self, section: &StickySection) -> Result<HeaderName, StartError> {
        let name = self.header("name", self.name(section)?)?;
        let others = [
            "host",
            "content-length",
            "content-type",
            "user-agent",
            "expect",
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ];
        if others.contains(&name.as_str()) || name.as_str().starts_with("accept") {
            return self.wrong("name", format!("{name:?} does not tell clients apart"));
        }
        if name == COOKIE {
            return self.wrong("name", "for a cookie there is mode `learn`");
        }
        Ok(name)
    }

    fn header(&self, field: &str, name: &str) -> Result<HeaderName, StartError> {
        HeaderName::try_from(name)
            .or_else(|_| self.wrong(field, format!("{name:?} is not the name of a header")))
    }

    /// No header that means something else: it would be overwritten.
    fn report(&self, name: &str) -> Result<HeaderName, StartError> {
        let name = self.header("report", name)?;
        if !name.as_str().starts_with("x-") {
            return self.wrong("report", format!("{name:?} does not begin with `x-`"));
        }
        Ok(name)
    }

    fn network(&self, section: &StickySection) -> Result<KeySpec, StartError> {
        let (v4, v6) = (section.v4.unwrap_or(32), section.v6.unwrap_or(128));
        let part = KeyPart::network(v4, v6);
        part.map(KeySpec::from)
            .or_else(|error| self.wrong(if v4 == 0 || v4 > 32 { "v4" } else { "v6" }, error))
    }

    fn secret(&self, field: &str, secret: Secret) -> Result<Secret, StartError> {
        if secret.bytes().is_none() {
            return self.wrong(field, Secret::WANTED);
        }
        Ok(secret)
    }

    fn old_secrets(&self, Unread(written): &Unread) -> Result<Vec<Secret>, StartError> {
        let Some(list) = written.as_array() else {
            return self.wrong("old_secrets", "not a list of secrets");
        };
        let secret = |value: &toml::Value| {
            self.secret("old_secrets", Secret::from(value.as_str().unwrap_or_default()))
        };
        list.iter().map(secret).collect()
    }

    /// Its attributes are those that `CookieSettings` reads, and the name beside them.
    fn cookie(
        &self,
        name: &str,
        given: Option<&toml::Table>,
    ) -> Result<CookieSettings, StartError> {
        let mut attributes = given.cloned().unwrap_or_default();
        if attributes.insert("name".to_owned(), name.into()).is_some() {
            return self.wrong("attributes.name", "it stands in `name`, beside the mode");
        }
        let read: Result<CookieSettings, _> = toml::Value::Table(attributes).try_into();
        read.or_else(|error| {
            self.wrong("attributes", error.to_string().trim_end().replace('\n', " "))
        })
    }

    fn tokens(&self, section: &StickySection) -> Result<TokenSettings, StartError> {
        let is_prefix = self.mode == ModeKind::Prefix;
        let name = match (&section.name, is_prefix) {
            (None, false) => StickySettings::COOKIE.to_owned(),
            _ => self.cookie_name(section)?,
        };
        // The application's own may have any name; its attributes are not ours.
        let secure = toml::Table::from_iter([("secure".to_owned(), true.into())]);
        let attributes = if is_prefix { Some(&secure) } else { section.attributes.as_ref() };
        let cookie = self.cookie(&name, attributes)?;
        let secret = section.secret.map(|secret| self.secret("secret", secret)).transpose()?;
        let old_secrets = section.old_secrets.as_ref().map(|old| self.old_secrets(old));
        let old_secrets = old_secrets.transpose()?.unwrap_or_default();
        if secret.is_none() && !old_secrets.is_empty() {
            return self.wrong("old_secrets", "there is no `secret` that came after them");
        }
        let lifetime = section.lifetime_ms.map(Duration::from_millis);
        // The application's cookie can't be renewed: only the application knows its attributes.
        let (idle, lifetime) = match is_prefix {
            true => (lifetime.unwrap_or(Self::PREFIX_LIFETIME), None),
            false => (Duration::from_millis(section.idle_ms.unwrap_or(30 * 60_000)), lifetime),
        };
        let settings = TokenSettings {
            cookie,
            is_prefix,
            secret,
            old_secrets,
            idle,
            lifetime,
            epoch: section.epoch.unwrap_or(0),
        };
        match settings.tokens("check", [0; 16], None) {
            Ok(_) => Ok(settings),
            Err(error) => self.named(error),
        }
    }

    fn routes(
        &self,
        section: &StickySection,
        backends: &[BackendSpec],
    ) -> Result<Mode, StartError> {
        let name = self.cookie_name(section)?;
        let Some(routes) = section.routes.clone().filter(|routes| !routes.is_empty()) else {
            return self.wrong(
                "routes",
                "missing: say what each backend is called, as in \
                                         { \"127.0.0.1:8081\" = \"node1\" }",
            );
        };
        let mut seen = BTreeMap::new();
        for (backend, route) in &routes {
            let known = |spec: &BackendSpec| spec.address.as_str() == backend;
            if !backends.is_empty() && !backends.iter().any(known) {
                return self.wrong("routes", format!("no backend `{backend}` in the pool"));
            }
            if route.is_empty() || route.len() > 64 || !route.bytes().all(|b| b.is_ascii_graphic())
            {
                return self
                    .wrong("routes", format!("{route:?} is no name: 1 to 64 visible characters"));
            }
            if let Some(other) = seen.insert(route, backend) {
                return self.wrong("routes", format!("`{route}` is both {other} and {backend}"));
            }
        }
        Ok(Mode::Route { name, routes })
    }

    fn table(&self, by: By, section: &StickySection) -> Result<Mode, StartError> {
        let mut table = TableConfig::builder();
        if let Some(ms) = section.idle_ms {
            table = table.idle(Duration::from_millis(ms));
        }
        if let Some(ms) = section.lifetime_ms {
            table = table.lifetime(Duration::from_millis(ms));
        }
        if let Some(max) = section.max_sessions {
            table = table.max_sessions(max.get());
        }
        let table = table.build().or_else(|error| self.named(error))?;
        let secret = section.secret.map(|secret| self.secret("secret", secret)).transpose()?;
        let redis = section.redis.clone().map(|redis| self.redis(redis)).transpose()?;
        if redis.is_some() && secret.is_none() {
            return self
                .wrong("secret", "missing: balancers that share sessions have the same one");
        }
        Ok(Mode::Table { by, table, secret, redis })
    }

    fn redis(&self, Unread(section): Unread) -> Result<RedisSettings, StartError> {
        if !section.is_table() {
            return self.wrong("redis", "not a table of `url` and other settings");
        }
        let section: RedisSection = match section.try_into() {
            Ok(section) => section,
            // Without the value, which may be a password.
            Err(error) => return self.wrong("redis", error.message()),
        };
        let Some(url) = section.url.as_str() else {
            return self.wrong("redis.url", "not a text");
        };
        let ms = Duration::from_millis;
        let mut shared = SharedConfig::builder();
        if let Some(Write::Behind) = section.write {
            shared = shared.mode(WriteMode::Behind);
        }
        if let Some(limit) = section.time_limit_ms {
            shared = shared.time_limit(ms(limit));
        }
        if let Some(trust) = section.trust_ms {
            shared = shared.trust(ms(trust));
        }
        if let Some(queue) = section.queue {
            shared = shared.queue(queue);
        }
        let in_redis = |error| self.wrong("redis", error);
        let settings = RedisSettings {
            url: url.to_owned(),
            prefix: section.prefix.unwrap_or_else(|| "equipoise".to_owned()),
            shared: shared.build().or_else(in_redis)?,
        };
        settings.store("check").or_else(|error| self.wrong("redis", error))?;
        Ok(settings)
    }

    fn surplus(&self, section: &StickySection) -> Result<Option<SurplusConfig>, StartError> {
        let Some(surplus) = section.surplus else { return Ok(None) };
        if section.on_lost != Persistence::Repin {
            return self.wrong("surplus", "sessions move, and `on_lost` says that they don't");
        }
        let default = SurplusConfig::default();
        let time = |given: Option<u64>, default| given.map_or(default, Duration::from_millis);
        let config = SurplusConfig::new(
            surplus.cap.unwrap_or(default.cap()),
            time(surplus.interval_ms, default.interval()),
            time(surplus.idle_ms, default.idle()),
        );
        let config = config.or_else(|error| self.wrong("surplus", error))?;
        let idle = Duration::from_millis(section.idle_ms.unwrap_or(30 * 60_000));
        // A token says no more than that; a session of a table is over then.
        let seen = if self.mode.has_token() { idle / 2 } else { idle };
        if config.idle() >= seen {
            let wrong = format!(
                "{} ms: no session is ever seen to be idle for so long; allowed is less than {} ms{}",
                config.idle().as_millis(),
                seen.as_millis(),
                if self.mode.has_token() { ", half of `idle_ms`" } else { ", its `idle_ms`" },
            );
            return self.wrong("surplus.idle_ms", wrong);
        }
        Ok(Some(config))
    }

    /// An error that begins with the name of a setting.
    fn named<T>(&self, error: impl Display) -> Result<T, StartError> {
        let text = error.to_string();
        match text.split_once(": ") {
            Some(("idle", wrong)) if self.mode == ModeKind::Prefix => {
                self.wrong("lifetime_ms", wrong)
            }
            Some((name @ ("idle" | "lifetime"), wrong)) => self.wrong(&format!("{name}_ms"), wrong),
            Some((name, wrong)) => self.wrong(name, wrong),
            None => Err(StartError::new(self.at, text)),
        }
    }
}

#[cfg(test)]
mod tests;
