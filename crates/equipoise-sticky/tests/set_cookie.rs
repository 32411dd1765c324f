//! The cookie that a response sets: which settings are refused, and what browsers make of the others.
#![cfg(feature = "affinity")]

use std::time::Duration;

use ::cookie::Cookie;
use ::cookie::time::Duration as Seconds;
use equipoise_core::BackendId;
use equipoise_sticky::affinity::cookie;
use equipoise_sticky::affinity::set_cookie::{
    CookieBuilder, CookieError, CookieSettings, MaxAge, SameSite,
};
use equipoise_sticky::affinity::token::{SealedToken, Token, Tokens};

const NOW: u64 = 1_800_000_000;

fn tokens() -> Tokens {
    Tokens::new("web", &[7; 16], Duration::from_secs(1800)).unwrap()
}

fn issue() -> (SealedToken, Token) {
    tokens().issue(BackendId::new(7), NOW, None)
}

fn error(builder: CookieBuilder) -> CookieError {
    builder.build().unwrap_err()
}

fn srv() -> CookieBuilder {
    CookieSettings::builder("srv")
}

#[test]
fn a_cookie_is_safe_unless_it_is_told_otherwise() {
    let (text, token) = issue();
    let settings = srv().build().unwrap();
    assert_eq!(settings.name(), "srv");
    let expected = format!("srv={}; Path=/; Max-Age=1800; SameSite=Lax; HttpOnly", text.as_str());
    assert_eq!(settings.value(&text, &token), expected);
}

#[test]
fn a_cookie_lives_as_long_as_its_token() {
    let tokens = tokens().with_lifetime(Duration::from_secs(3600)).unwrap();
    let settings = srv().build().unwrap();
    let max_age = |now, before: Option<&Token>| {
        let (text, token) = tokens.issue(BackendId::new(7), now, before);
        let value = settings.value(&text, &token);
        let max_age = Cookie::parse(value).unwrap().max_age().unwrap();
        (u64::try_from(max_age.whole_seconds()).unwrap(), token)
    };
    let (seconds, first) = max_age(NOW, None);
    assert_eq!(seconds, first.expires - NOW);
    // The session is over before an idle one would be.
    let (seconds, late) = max_age(NOW + 3000, Some(&first));
    assert_eq!((seconds, late.expires), (600, NOW + 3600));
    // It is over already: a `Max-Age` of 0 would say that the client is to drop it.
    assert_eq!(max_age(NOW + 4000, Some(&first)).0, 1);
}

#[test]
fn names_paths_and_domains_are_checked() {
    let long = "a".repeat(65);
    for name in ["", " ", "a b", "a=b", "a;b", "a,b", "a\"b", "a(b", "ä", "a\r\nb", "a\0", &long] {
        assert_eq!(error(CookieSettings::builder(name)), CookieError::Name, "{name:?}");
    }
    let long = format!("/{}", "a".repeat(1024));
    for path in ["", "a", "a/", "/a;b", "/a b", "/a\r\nX: y", "/ä", "/\x7f", &long] {
        assert_eq!(error(srv().path(path)), CookieError::Path, "{path:?}");
    }
    let (label, long) = (format!("{}.de", "a".repeat(64)), ["a"; 128].join("."));
    for domain in [
        "", ".", ".a.de", "a.de.", "a..de", "-a.de", "a-.de", "a_b.de", "ä.de", "a.de;x", "a de",
        "a.de:80", "a.de/", "*.de", &label, &long,
    ] {
        assert_eq!(error(srv().domain(domain)), CookieError::Domain, "{domain:?}");
    }
    let (name, path) = ("a".repeat(64), format!("/{}", "a".repeat(1023)));
    let domain = ["a"; 127].join(".");
    let builder = CookieSettings::builder(&name).path(&path).domain(&domain);
    let (text, token) = issue();
    let value = builder.build().unwrap().value(&text, &token);
    assert!(value.contains(&path) && value.contains(&domain));
}

#[test]
fn errors_begin_with_the_setting_that_is_wrong() {
    let named = CookieSettings::builder;
    for (builder, expected) in [
        (
            srv().same_site(SameSite::None),
            "secure: off; `same_site = none` is allowed only with it",
        ),
        (srv().partitioned(true), "secure: off; `partitioned` is allowed only with it"),
        (named("__Secure-a"), "secure: off; `__Secure-` is allowed only with it"),
        (named("__host-a"), "secure: off; `__Host-` is allowed only with it"),
        (
            named("__Host-a").secure(true).domain("a.de"),
            "domain: given; a name with `__Host-` is allowed only without it",
        ),
        (
            named("__Host-Http-a").secure(true).path("/a"),
            "path: not `/`; a name with `__Host-Http-` is allowed only with that",
        ),
        (
            named("__Http-a").secure(true).http_only(false),
            "http_only: off; a name with `__Http-` is allowed only with it",
        ),
    ] {
        assert_eq!(error(builder).to_string(), expected);
    }
    for (builder, name) in
        [(named("a b"), "name: "), (srv().path("a"), "path: "), (srv().domain(""), "domain: ")]
    {
        assert!(error(builder).to_string().starts_with(name));
    }
}

/// What a browser does with a cookie that has these attributes: MDN, `Set-Cookie`.
fn browser_takes(cookie: &Cookie<'_>) -> bool {
    let name = cookie.name();
    let is_secure = cookie.secure() == Some(true);
    let is_host = is_secure && cookie.path() == Some("/") && cookie.domain().is_none();
    let is_http = is_secure && cookie.http_only() == Some(true);
    let asks = |prefix: &str, is_met: bool| !name.starts_with(prefix) || is_met;
    let is_for_all = cookie.same_site() == Some(::cookie::SameSite::None);
    (is_secure || !is_for_all && cookie.partitioned() != Some(true))
        && asks("__Secure-", is_secure)
        && asks("__Host-", is_host)
        && asks("__Http-", is_http)
        && asks("__Host-Http-", is_host && is_http)
}

const NAMES: [&str; 6] =
    ["srv", "__Secure-srv", "__Host-srv", "__Http-srv", "__Host-Http-srv", "__Hostsrv"];
const SAME_SITE: [(SameSite, ::cookie::SameSite); 3] = [
    (SameSite::Strict, ::cookie::SameSite::Strict),
    (SameSite::Lax, ::cookie::SameSite::Lax),
    (SameSite::None, ::cookie::SameSite::None),
];

/// All settings in all combinations, and the cookie that a browser should make of them.
fn combinations() -> impl Iterator<Item = (CookieBuilder, Cookie<'static>)> {
    (0..6 * 3 * 64).map(|case| {
        let [secure, http_only, partitioned, is_at_root, has_domain, is_kept] =
            [1, 2, 4, 8, 16, 32].map(|bit| case & bit != 0);
        let (name, (same_site, theirs)) = (NAMES[case / 64 % 6], SAME_SITE[case / 384]);
        let path = if is_at_root { "/" } else { "/shop" };
        let mut cookie = Cookie::build((name, "")).path(path).same_site(theirs).build();
        // What is off is not said.
        cookie.set_secure(secure.then_some(true));
        cookie.set_http_only(http_only.then_some(true));
        cookie.set_partitioned(partitioned.then_some(true));
        let mut builder = CookieSettings::builder(name)
            .path(path)
            .same_site(same_site)
            .max_age(if is_kept { MaxAge::Token } else { MaxAge::Session })
            .secure(secure)
            .http_only(http_only)
            .partitioned(partitioned);
        if is_kept {
            cookie.set_max_age(Seconds::seconds(1800));
        }
        if has_domain {
            cookie.set_domain("shop.example");
            builder = builder.domain("shop.example");
        }
        (builder, cookie)
    })
}

#[test]
fn what_browsers_refuse_does_not_build_and_all_else_says_what_it_should() {
    let (text, token) = issue();
    let (mut built, mut refused) = (0, 0);
    for (builder, mut expected) in combinations() {
        expected.set_value(text.as_str().to_owned());
        let Ok(settings) = builder.build() else {
            assert!(!browser_takes(&expected), "{expected:?}");
            refused += 1;
            continue;
        };
        assert!(browser_takes(&expected), "{expected:?}");
        built += 1;
        let value = settings.value(&text, &token);
        assert_eq!(Cookie::parse(value.as_str()).unwrap(), expected);
        // The client sends it back, and it opens.
        let sent = value.split(';').next().unwrap();
        let sent = cookie::values([sent.as_bytes()], settings.name()).next();
        assert_eq!(tokens().open(sent.unwrap(), NOW), Ok(token));
    }
    assert_eq!(built + refused, 6 * 3 * 64);
    assert!(built > 100 && refused > 100, "{built} {refused}");
}

#[cfg(feature = "serde")]
mod written {
    use super::*;

    fn read(text: &str) -> Result<CookieSettings, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_read_and_what_is_left_out_has_its_default() {
        assert_eq!(read(r#"{"name": "srv"}"#), Ok(srv().build().unwrap()));
        let all = r#"{"name": "s", "path": "/a", "domain": "a.de", "max_age": "session",
            "same_site": "none", "secure": true, "http_only": false, "partitioned": true}"#;
        let built = CookieSettings::builder("s")
            .path("/a")
            .domain("a.de")
            .max_age(MaxAge::Session)
            .same_site(SameSite::None)
            .secure(true)
            .http_only(false)
            .partitioned(true)
            .build()
            .unwrap();
        assert_eq!(read(all), Ok(built.clone()));
        for settings in [built, srv().build().unwrap()] {
            assert_eq!(read(&serde_json::to_string(&settings).unwrap()), Ok(settings));
        }
    }

    #[test]
    fn settings_that_do_not_build_are_not_read() {
        for (text, expected) in [
            (r#"{}"#, "missing field `name`"),
            (r#"{"name": "s", "same_sight": "lax"}"#, "unknown field `same_sight`"),
            (r#"{"name": "s", "same_site": "Lax"}"#, "unknown variant `Lax`"),
            (r#"{"name": "s", "max_age": "0"}"#, "unknown variant `0`"),
            (r#"{"name": "s", "same_site": "none"}"#, "secure: off; `same_site = none`"),
            (r#"{"name": "s", "path": ""}"#, "path: not one of a cookie"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
