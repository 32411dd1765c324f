use std::collections::BTreeMap;

use super::*;
use crate::health::HealthSection;
use crate::settings::{PoolSection, PoolSettings};

const HTTP: Sight =
    Sight { kinds: &[KeyKind::Client, KeyKind::Header, KeyKind::Cookie], why: "it is a test" };
const TCP: Sight = Sight { kinds: &[KeyKind::Client], why: "this proxy does not read HTTP" };
const SECRET: &str = "000102030405060708090a0b0c0d0e0f";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    pools: BTreeMap<String, PoolSection>,
}

/// A pool of two backends with this in its section `sticky`, as a proxy that sees so much takes it.
fn checked(sight: Sight, sticky: &str) -> Result<StickySettings, String> {
    let text = format!(
        "[pools.web]\nbackends = [\"127.0.0.1:81\", \"127.0.0.1:82\"]\n[pools.web.sticky]\n{sticky}\n"
    );
    let config: Config = crate::file::parse("test", &text).map_err(|error| error.to_string())?;
    let pools = PoolSettings::all(config.pools, &HealthSection::default(), sight);
    let pools = pools.map_err(|error| error.to_string())?;
    Ok(pools[0].sticky().expect("it was given").clone())
}

/// Expects a refusal that begins with the setting, below `pools.web.sticky`, and has these words.
fn assert_refused(sight: Sight, sticky: &str, setting: &str, words: &[&str]) {
    let Err(error) = checked(sight, sticky) else { panic!("taken: {sticky}") };
    let start = format!("pools.web.sticky.{setting}: ");
    assert!(error.starts_with(&start), "{sticky}\n  {error}");
    assert_eq!(error.matches("web.sticky").count(), 1, "{error}");
    for word in words {
        assert!(error.contains(word), "{sticky}\n  no {word:?} in {error}");
    }
}

/// Sections that are good, but for what a test adds to them.
const GOOD: [(&str, &str); 6] = [
    ("cookie", ""),
    ("prefix", "name = \"id\""),
    ("route", "name = \"id\"\nroutes = { \"127.0.0.1:81\" = \"a\" }"),
    ("learn", "name = \"id\""),
    ("header", "name = \"x-user\""),
    ("client", ""),
];

fn good(mode: &str, more: &str) -> String {
    let (_, needed) = GOOD.into_iter().find(|(name, _)| *name == mode).expect("a mode");
    format!("mode = \"{mode}\"\n{needed}\n{more}")
}

#[test]
fn every_mode_needs_no_more_than_it_must() {
    for (mode, _) in GOOD {
        let settings = checked(HTTP, &good(mode, "")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(settings.on_lost, Persistence::Repin);
        assert!(settings.surplus.is_none() && settings.report.is_none());
    }
    let Mode::Token(token) = checked(HTTP, &good("cookie", "")).unwrap().mode else { panic!() };
    assert_eq!((token.cookie.name(), token.is_prefix), (StickySettings::COOKIE, false));
    assert_eq!((token.idle, token.lifetime), (Duration::from_secs(1800), None));
    let Mode::Table { table, .. } = checked(HTTP, &good("learn", "")).unwrap().mode else {
        panic!()
    };
    assert_eq!(table, TableConfig::default());
}

#[test]
fn every_setting_is_read() {
    let all = format!(
        "name = \"pin\"\non_lost = \"hold\"\nidle_ms = 60000\nlifetime_ms = 120000\n\
         secret = \"{SECRET}\"\nold_secrets = [\"{}\"]\nepoch = 7\nreport = \"X-Session\"\n\
         attributes = {{ secure = true, same_site = \"none\", partitioned = true, path = \"/a\", \
         domain = \"shop.example\", http_only = false, max_age = \"session\" }}",
        SECRET.replace("00", "ff")
    );
    let settings = checked(HTTP, &good("cookie", &all)).unwrap();
    assert_eq!(settings.on_lost, Persistence::Hold);
    assert_eq!(settings.report.unwrap(), "x-session");
    let Mode::Token(token) = settings.mode else { panic!() };
    assert_eq!((token.cookie.name(), token.epoch, token.old_secrets.len()), ("pin", 7, 1));
    let times = (token.idle.as_secs(), token.lifetime.map(|time| time.as_secs()));
    assert_eq!(times, (60, Some(120)));

    let all = format!(
        "v4 = 24\nv6 = 64\nidle_ms = 5\nlifetime_ms = 6\nmax_sessions = 7\nsecret = \"{SECRET}\"\n\
         [pools.web.sticky.surplus]\ncap = 2.0\ninterval_ms = 100\nidle_ms = 0"
    );
    let settings = checked(TCP, &good("client", &all)).unwrap();
    let surplus = settings.surplus.unwrap();
    assert_eq!((surplus.cap(), surplus.idle()), (2.0, Duration::ZERO));
    assert_eq!(surplus.interval(), Duration::from_millis(100));
    let Mode::Table { table, .. } = settings.mode else { panic!() };
    let (idle, lifetime) = (Duration::from_millis(5), Some(Duration::from_millis(6)));
    assert_eq!((table.idle(), table.lifetime(), table.max_sessions()), (idle, lifetime, 7));
}

#[test]
fn what_a_mode_does_not_look_at_is_refused() {
    let redis = "redis = { url = \"redis://127.0.0.1\" }";
    let routes = "routes = { \"127.0.0.1:81\" = \"a\" }";
    for (setting, modes) in [
        ("name = \"x\"", &["client"][..]),
        ("v4 = 24", &["cookie", "prefix", "route", "learn", "header"]),
        ("v6 = 64", &["cookie", "prefix", "route", "learn", "header"]),
        (routes, &["cookie", "prefix", "learn", "header", "client"]),
        ("idle_ms = 60000", &["prefix", "route"]),
        ("lifetime_ms = 3600000", &["route"]),
        ("max_sessions = 10", &["cookie", "prefix", "route"]),
        (&format!("secret = \"{SECRET}\""), &["route"]),
        (&format!("old_secrets = [\"{SECRET}\"]"), &["route", "learn", "header", "client"]),
        ("epoch = 1", &["route", "learn", "header", "client"]),
        ("attributes = { secure = true }", &["prefix", "route", "learn", "header", "client"]),
        ("surplus = {}", &["prefix", "route"]),
        (redis, &["cookie", "prefix", "route"]),
    ] {
        let name = setting.split(' ').next().unwrap();
        for mode in modes {
            let means_nothing = format!("means nothing with mode `{mode}`");
            assert_refused(HTTP, &good(mode, setting), name, &[&means_nothing]);
        }
    }
}

#[test]
fn a_tcp_proxy_takes_the_mode_client_and_no_other() {
    for (mode, _) in GOOD.into_iter().filter(|(mode, _)| *mode != "client") {
        let words = [&format!("`{mode}` can't be"), "does not read HTTP", "allowed is client"];
        assert_refused(TCP, &good(mode, ""), "mode", &words);
    }
    let report = good("client", "report = \"x-session\"");
    assert_refused(TCP, &report, "report", &["means nothing with mode `client`"]);
    assert!(checked(HTTP, &report).is_ok());
}

#[test]
fn what_is_out_of_range_is_refused_with_the_range() {
    let long = "x".repeat(65);
    for (mode, more, setting, words) in [
        ("cookie", "name = \"a b\"", "name", &["\"a b\"", "not the name of a cookie"][..]),
        ("cookie", &format!("name = \"{long}\""), "name", &["not the name of a cookie"]),
        ("cookie", "idle_ms = 1999", "idle_ms", &["2 s to a year"]),
        ("prefix", "lifetime_ms = 1000", "lifetime_ms", &["2 s to a year"]),
        ("cookie", "report = \"set-cookie\"", "report", &["does not begin with `x-`"]),
        ("cookie", "secret = \"0123\"", "secret", &["32 hexadecimal digits"]),
        ("cookie", "secret = 17", "secret", &["32 hexadecimal digits"]),
        ("cookie", "secret = [\"a\"]", "secret", &["32 hexadecimal digits"]),
        ("learn", "secret = \"0123\"", "secret", &["32 hexadecimal digits"]),
        (
            "cookie",
            &format!("secret = \"{SECRET}\"\nold_secrets = [\"0123\"]"),
            "old_secrets",
            &["32 hexadecimal digits"],
        ),
        ("cookie", "old_secrets = \"0123\"", "old_secrets", &["not a list"]),
        (
            "cookie",
            &format!("old_secrets = [\"{SECRET}\"]"),
            "old_secrets",
            &["no `secret` that came after"],
        ),
        ("header", "report = \"a b\"", "report", &["\"a b\"", "not the name of a header"]),
        ("header", "idle_ms = 0", "idle_ms", &["allowed are"]),
        ("header", "lifetime_ms = 1", "lifetime_ms", &["allowed are 1800s"]),
        ("header", "max_sessions = 2000000000", "max_sessions", &["allowed are 1 to"]),
        ("client", "v4 = 0", "v4", &["1 to 32"]),
        ("client", "v4 = 33", "v4", &["1 to 32"]),
        ("client", "v6 = 0", "v6", &["1 to 128"]),
        ("client", "v6 = 129", "v6", &["1 to 128"]),
        ("client", "surplus = { cap = 1.0 }", "surplus", &["cap", "1.05 to 10"]),
        ("client", "surplus = { interval_ms = 99 }", "surplus", &["interval", "100 ms to a day"]),
        ("client", "surplus = { idle_ms = 604800001 }", "surplus", &["idle", "0 to a week"]),
    ] {
        assert_refused(HTTP, &good(mode, more), setting, words);
    }
    for on_lost in ["hold", "refuse"] {
        let more = format!("on_lost = \"{on_lost}\"\nsurplus = {{}}");
        assert_refused(
            HTTP,
            &good("cookie", &more),
            "surplus",
            &["`on_lost` says that they don't"],
        );
    }
}

#[test]
fn a_name_that_a_mode_needs_has_to_be_there_and_to_be_good() {
    for mode in ["prefix", "route", "learn", "header"] {
        let section = format!("mode = \"{mode}\"");
        let needs = format!("mode `{mode}` needs one");
        assert_refused(HTTP, &section, "name", &["missing", &needs]);
        let section = format!("{section}\nname = \"a b\"");
        let noun = if mode == "header" { "header" } else { "cookie" };
        assert_refused(HTTP, &section, "name", &["\"a b\"", &format!("the name of a {noun}")]);
    }
}

#[test]
fn routes_that_could_mislead_are_refused() {
    let refused = |routes: &str, words: &[&str]| {
        assert_refused(
            HTTP,
            &format!("mode = \"route\"\nname = \"id\"\n{routes}"),
            "routes",
            words,
        );
    };
    refused("", &["missing", "node1"]);
    refused("routes = {}", &["missing"]);
    refused("routes = { \"127.0.0.1:83\" = \"a\" }", &["no backend `127.0.0.1:83`"]);
    for name in ["", "a b", "é", &"x".repeat(65)] {
        let routes = format!("routes = {{ \"127.0.0.1:81\" = \"{name}\" }}");
        refused(&routes, &["is no name", "1 to 64 visible characters"]);
    }
    let both = "routes = { \"127.0.0.1:81\" = \"a\", \"127.0.0.1:82\" = \"a\" }";
    refused(both, &["`a` is both 127.0.0.1:81 and 127.0.0.1:82"]);
}

#[test]
fn attributes_that_browsers_refuse_are_refused() {
    for (name, attributes, words) in [
        ("srv", "same_site = \"none\"", &["secure", "same_site = none"][..]),
        ("srv", "partitioned = true", &["secure", "partitioned"]),
        ("__Host-srv", "path = \"/\"", &["secure", "__Host-"]),
        ("__Host-srv", "secure = true, path = \"/a\"", &["path", "__Host-"]),
        ("__Host-srv", "secure = true, domain = \"a.example\"", &["domain", "__Host-"]),
        ("srv", "path = \"a\"", &["path", "a slash first"]),
        ("srv", "domain = \".example\"", &["domain", "no period first"]),
        ("srv", "same_site = \"some\"", &["`some`", "strict"]),
        ("srv", "max_age = 60", &["`max_age`"]),
        ("srv", "secur = true", &["`secur`", "`secure`"]),
    ] {
        let more = format!("name = \"{name}\"\nattributes = {{ {attributes} }}");
        assert_refused(HTTP, &good("cookie", &more), "attributes", words);
    }
    let named = "attributes = { name = \"a\" }";
    assert_refused(HTTP, &good("cookie", named), "attributes.name", &["beside the mode"]);
}

#[test]
fn redis_that_can_not_be_reached_like_that_is_refused() {
    let secret = format!("secret = \"{SECRET}\"");
    for (redis, setting, words) in [
        ("url = \"http://a\"", "redis", &["url", "redis://"][..]),
        ("url = 5", "redis.url", &["not a text"]),
        ("", "redis", &["`url`"]),
        ("url = \"redis://a\", prefx = \"b\"", "redis", &["`prefx`", "`prefix`"]),
        ("url = \"redis://a\", write = \"never\"", "redis", &["`never`", "`behind`"]),
        ("url = \"redis://a\", time_limit_ms = 0", "redis", &["time_limit", "1 ms to 10 s"]),
        ("url = \"redis://a\", queue = 0", "redis", &["queue", "allowed"]),
    ] {
        let more = format!("{secret}\nredis = {{ {redis} }}");
        assert_refused(HTTP, &good("header", &more), setting, words);
    }
    let more = format!("{secret}\nredis = \"redis://a\"");
    assert_refused(HTTP, &good("header", &more), "redis", &["not a table", "url"]);
    let without = good("header", "redis = { url = \"redis://a\" }");
    assert_refused(HTTP, &without, "secret", &["missing", "have the same one"]);
}

#[test]
fn what_is_no_section_at_all_is_refused_with_its_place() {
    for (sticky, words) in [
        ("", &["`mode`"][..]),
        ("mode = \"sticky\"", &["test:4:", "`sticky`", "`cookie`", "`client`"]),
        ("mode = \"cookie\"\nidel_ms = 5", &["test:5:", "`idel_ms`", "`idle_ms`"]),
        ("mode = \"cookie\"\non_lost = \"keep\"", &["test:5:", "`keep`", "`hold`"]),
        ("mode = \"client\"\nv4 = 256", &["test:5:", "256"]),
        ("mode = \"header\"\nmax_sessions = 0", &["test:5:", "nonzero"]),
        ("mode = \"client\"\nsurplus = { caps = 2 }", &["test:5:", "`caps`", "`cap`"]),
    ] {
        let error = checked(HTTP, sticky).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{sticky}\n  {error}");
    }
}

#[test]
fn no_error_shows_a_secret_or_a_password() {
    let digits = "00112233445566778899aabbccddee";
    for (mode, more) in [
        ("cookie", format!("secret = \"{digits}\"")),
        ("cookie", format!("secrets = \"{digits}\"")),
        ("cookie", format!("secret = \"{digits}")),
        ("cookie", format!("old_secrets = \"{digits}\"")),
        ("cookie", format!("old_secrets = [\n\"{digits}\n]")),
        ("cookie", format!("old_secrets = [\n{digits}\n]")),
        ("cookie", format!("secret = \"{SECRET}\"\nold_secrets = [\"{digits}\"]")),
        ("header", format!("redis = \"redis://:{digits}@127.0.0.1\"")),
        ("header", "redis = \"redis://:8899aabb@127.0.0.1\"".to_owned()),
        ("header", format!("redis = {{ url = [\"redis://:{digits}@127.0.0.1\"] }}")),
        ("header", "redis = { url = \"redis://:8899aabb@127.0.0.1 }".to_owned()),
        (
            "header",
            format!("secret = \"{SECRET}\"\nredis = {{ url = \"http://:{digits}@127.0.0.1\" }}"),
        ),
        ("header", format!("redis = {{ uri = \"redis://:{digits}@127.0.0.1\" }}")),
    ] {
        let error = checked(HTTP, &good(mode, &more)).unwrap_err();
        assert!(!error.contains("8899") && !error.contains("0a0b"), "{more}\n  {error}");
    }
}

#[test]
fn debug_shows_no_secret_and_no_password() {
    let secrets = format!("secret = \"{SECRET}\"\nold_secrets = [\"{SECRET}\"]");
    let redis = format!("secret = \"{SECRET}\"\nredis = {{ url = \"redis://:pa55@127.0.0.1\" }}");
    for section in [good("cookie", &secrets), good("learn", &redis)] {
        let written: StickySection = toml::from_str(&section).unwrap();
        for shown in [format!("{written:?}"), format!("{:?}", checked(HTTP, &section).unwrap())] {
            assert!(shown.contains("Secret"), "{shown}");
            // Its bytes in the two ways that Debug has.
            let wrong = [SECRET, "0, 1, 2, 3", "0x01, 0x02", "pa55"];
            assert!(!wrong.iter().any(|wrong| shown.contains(wrong)), "{shown}");
        }
    }
}

#[test]
fn the_flag_has_a_mode_and_perhaps_a_name() {
    let settings = |text: &str, sight| {
        let flag: StickyFlag = text.parse()?;
        flag.settings(sight).map_err(|error| error.to_string())
    };
    for good in ["cookie", "cookie=pin", "client", "learn=id", "header=x-user", "prefix=id"] {
        assert!(settings(good, HTTP).is_ok(), "{good}");
    }
    for (text, words) in [
        ("route=id", &["needs its `routes`", "--config"][..]),
        ("", &["no mode ``", "cookie, client, learn, header, prefix"]),
        ("learn", &["--sticky.name", "missing", "`learn` needs one"]),
        ("header=a b", &["--sticky.name", "\"a b\""]),
        ("client=a", &["--sticky.name", "means nothing"]),
    ] {
        let error = settings(text, HTTP).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
    }
    assert!(settings("cookie", TCP).unwrap_err().contains("allowed is client"));
}
