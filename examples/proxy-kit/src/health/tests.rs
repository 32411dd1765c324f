use std::collections::BTreeMap;

use equipoise_health::outlier::Recovery;
use equipoise_health::{CheckConfig, InitialHealth};

use super::*;
use crate::keys::Sight;
use crate::settings::{PoolSection, PoolSettings};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    health: HealthSection,
    pools: BTreeMap<String, PoolSection>,
}

/// The checked pools of a file.
fn pools(text: &str) -> Result<Vec<PoolSettings>, String> {
    let sight = Sight { kinds: &[], why: "it is a test" };
    let config: Config = crate::file::parse("test", text).map_err(|error| error.to_string())?;
    PoolSettings::all(config.pools, &config.health, sight).map_err(|error| error.to_string())
}

/// A pool with this health.
fn health(text: &str) -> Result<HealthSettings, String> {
    let pools = pools(&format!("{text}\n[pools.web]\nbackends = [\"a:80\"]\n"))?;
    Ok(pools[0].health().clone())
}

fn http_check(settings: &str) -> Result<CheckSettings, String> {
    let text = format!("[health.check]\ntype = \"http\"\npath = \"/health\"\n{settings}");
    health(&text).map(|health| health.check.expect("a check"))
}

#[test]
fn by_default_nothing_is_probed_and_traffic_tells() {
    let health = health("").unwrap();
    assert!(health.check.is_none() && health.breaker.is_none() && health.slow_start.is_none());
    assert_eq!(health.outlier, Some(OutlierConfig::default()));
    assert_eq!(health.retries, RetryBudgetConfig::default());
    assert_eq!(health.panic, PanicConfig::default());
    assert_eq!(health.close, Close::default());
}

#[test]
fn every_setting_of_every_section_is_read() {
    let health = health(
        r#"
        [health]
        close = false
        [health.check]
        type = "http"
        path = "/health?deep=1"
        method = "POST"
        host = "shop.example"
        headers = { x-check = "1" }
        expect = "200-204"
        drain = "404"
        json = '$.db == "ok"'
        body_limit = 1000
        version = 2
        tls = { insecure = true, server_name = "shop.example" }
        port = 9000
        rise = 4
        fall = 5
        interval_ms = 1000
        fast_interval_ms = 300
        down_interval_ms = 700
        idle_interval_ms = 9000
        timeout_ms = 200
        jitter = 0
        initial = { first_n = 3 }
        concurrent = 7
        [health.passive]
        enabled = true
        consecutive = 7
        base_ejection_time_ms = 50
        recovery = "full"
        [health.slow_start]
        window_ms = 5000
        aggression = 2
        floor = 5
        [health.panic]
        mode = "last_good"
        threshold = 40
        [health.retries]
        percent = 50
        per_second = 3
        window_ms = 2000
        [health.breaker]
        max_in_flight = 9
        open_time_ms = 100
        "#,
    )
    .unwrap();
    let check = health.check.unwrap();
    assert_eq!(check.probe.describe(), r#"POST /health?deep=1, body has $.db == "ok""#);
    assert_eq!((check.port, check.concurrent), (Some(9000), 7));
    let ms = Duration::from_millis;
    let config = CheckConfig::builder().rise(4).fall(5).up(ms(1000)).going_down(ms(300));
    let config = config.down(ms(700)).no_traffic(Some(ms(9000))).timeout(ms(200)).jitter(0.0);
    assert_eq!(check.config, config.initial(InitialHealth::FirstN(3)).build().unwrap());
    let outlier = OutlierConfig::builder().consecutive(7).base_ejection_time(ms(50));
    assert_eq!(health.outlier, outlier.recovery(Recovery::Full).build().ok());
    let slow_start = SlowStart::new(ms(5000)).unwrap().with_aggression(2.0).unwrap();
    assert_eq!(health.slow_start, slow_start.with_floor(5).ok());
    assert_eq!(health.panic, PanicConfig::new(PanicMode::LastGood, 40).unwrap());
    assert_eq!(health.retries, RetryBudgetConfig::new(0.5, 3, ms(2000)).unwrap());
    let breaker = BreakerConfig::builder().max_in_flight(9).open_time(ms(100)).build();
    assert_eq!(health.breaker, breaker.ok());
    assert!(!health.close.on(None));
}

#[test]
fn each_interval_can_be_set_alone() {
    // interval, fast, down, time-out
    for (settings, expected) in [
        ("", [2000, 500, 2000, 500]),
        ("interval_ms = 500", [500, 500, 500, 500]),
        ("interval_ms = 100", [100, 100, 100, 100]),
        ("interval_ms = 10000", [10000, 500, 10000, 500]),
        ("fast_interval_ms = 50", [2000, 50, 2000, 50]),
        ("down_interval_ms = 80", [2000, 500, 80, 80]),
        ("timeout_ms = 900", [2000, 900, 2000, 900]),
        ("timeout_ms = 100", [2000, 500, 2000, 100]),
        ("interval_ms = 5000\ntimeout_ms = 3000", [5000, 3000, 5000, 3000]),
        ("idle_interval_ms = 60000", [2000, 500, 2000, 500]),
    ] {
        let config = http_check(settings).unwrap_or_else(|error| panic!("{settings}: {error}"));
        let config = config.config;
        let found = [config.up(), config.going_down(), config.down(), config.timeout()];
        assert_eq!(found, expected.map(Duration::from_millis), "{settings}");
    }
}

#[test]
fn every_kind_of_check_can_be_had() {
    for (check, asked) in [
        ("type = \"tcp\"", "TCP connect"),
        ("type = \"tcp\"\nport = 9000", "TCP connect"),
        ("type = \"tls\"\ntls = { insecure = true }", "TLS handshake"),
        ("type = \"grpc\"", "gRPC health"),
        ("type = \"grpc\"\nservice = \"a.B\"\ntls = { insecure = true }", "gRPC health of a.B"),
        ("type = \"http\"\npath = \"/\"\ntls = false", "GET /"),
        ("type = \"http\"\npath = \"/\"\nbody = \"ok\"", "GET /, body has `ok`"),
        ("type = \"http\"\npath = \"/\"\nmethod = \"HEAD\"", "HEAD /"),
        (
            "type = \"script\"\nscript = [{ send = 'PING\\r\\n' }, { expect_prefix = \"+PONG\" }]",
            "send 6 bytes, expect_prefix `+PONG`",
        ),
        (
            "type = \"script\"\ntls = { insecure = true }\n\
             script = [{ expect_regex = '(?s-u)^.{3}\\x00\\x0a', within = 5 }, { expect = '\\xff' }]",
            r"expect_regex `(?s-u)^.{3}\x00\x0a`, expect `\xff`",
        ),
    ] {
        let health = health(&format!("[health.check]\n{check}")).unwrap();
        assert_eq!(health.check.unwrap().probe.describe(), asked);
    }
    assert!(http_check("regex = '^ok$'").unwrap().probe.describe().contains("^ok$"));
}

#[test]
fn the_section_of_a_pool_stands_in_place_of_the_common_one() {
    let pools = pools(
        r#"
        [health]
        close = false
        check = { type = "tcp" }
        [pools.a]
        backends = ["a:80,check=9000"]
        [pools.b]
        backends = ["a:80"]
        health = { passive = { enabled = false } }
        "#,
    )
    .unwrap();
    let (a, b) = (pools[0].health(), pools[1].health());
    assert!(a.check.is_some() && a.outlier.is_some() && a.close != Close::default());
    assert!(b.check.is_none() && b.outlier.is_none() && b.close == Close::default());
}

#[test]
fn what_is_wrong_with_a_check_is_named() {
    for (settings, named) in [
        ("rise = 0", "health.check.rise: 0 is out of range"),
        ("fall = 0", "health.check.fall: 0 is out of range"),
        ("rise = -1", "test:4:8: invalid value: integer `-1`, expected u16 (at `rise = -1`)"),
        ("rise = 65536", "test:4:8: "),
        ("interval_ms = 0", "health.check.interval_ms: 0ns is out of range: 1 ms to 1 day"),
        ("interval_ms = 86400001", "health.check.interval_ms: 86400.001s is out of range"),
        ("fast_interval_ms = 0", "health.check.fast_interval_ms: 0ns is out of range"),
        ("down_interval_ms = 0", "health.check.down_interval_ms: 0ns is out of range"),
        ("idle_interval_ms = 0", "health.check.idle_interval_ms: 0ns is out of range"),
        (
            "idle_interval_ms = 100",
            "health.check.idle_interval_ms: 100ms is shorter than interval_ms, 2s",
        ),
        ("timeout_ms = 0", "health.check.timeout_ms: 0ns is out of range"),
        ("timeout_ms = 2001", "health.check.timeout_ms: 2.001s is longer than interval_ms, 2s"),
        (
            "timeout_ms = 600\nfast_interval_ms = 500",
            "health.check.timeout_ms: 600ms is longer than fast_interval_ms, 500ms",
        ),
        (
            "timeout_ms = 600\ndown_interval_ms = 500",
            "health.check.timeout_ms: 600ms is longer than down_interval_ms, 500ms",
        ),
        ("jitter = 0.6", "health.check.jitter: 0.6 is out of range"),
        ("jitter = nan", "health.check.jitter: NaN is out of range"),
        ("initial = { first_n = 0 }", "health.check.initial: 0 is out of range"),
        ("initial = \"sideways\"", "unknown variant `sideways`"),
        ("concurrent = 0", "health.check.concurrent: 0 is out of range; allowed are 1 to 10000"),
        ("concurrent = 10001", "health.check.concurrent: 10001 is out of range"),
        ("port = 0", "health.check.port: 0 is out of range"),
        ("port = 65536", "test:4:8: "),
        ("version = 3", "health.check.version: 3 is out of range; allowed are 1 and 2"),
        ("method = \"G T\"", "health.check.method: \"G T\" is not a method"),
        ("method = \"CONNECT\"", "health.check.method: "),
        ("host = \"a b\"", "health.check.host: "),
        ("headers = { \"a b\" = \"1\" }", "health.check.headers: \"a b\""),
        ("headers = { a = \"\\n\" }", "health.check.headers: \"a\""),
        ("expect = \"20\"", "health.check.expect: \"20\" is not a list of statuses"),
        ("expect = \"299-200\"", "health.check.expect: "),
        ("drain = \"all\"", "health.check.drain: \"all\" is not a list of statuses"),
        ("drain = \"204\"", "health.check.drain: 204 is an expected status, too"),
        ("body = \"\"", "health.check.body: "),
        ("body = \"long\"\nbody_limit = 3", "health.check.body: the text is longer"),
        ("body = \"a\"\nmethod = \"HEAD\"", "health.check.body: the answer to HEAD has no body"),
        ("body = \"a\"\njson = '$.a == 1'", "health.check.json: `body` is given as well"),
        ("body = \"a\"\nregex = 'a'", "health.check.regex: `body` is given as well"),
        ("regex = 'a'\njson = '$.a == 1'", "health.check.json: `regex` is given as well"),
        ("regex = '('", "health.check.regex: "),
        ("regex = 'a{1000}{1000}'", "health.check.regex: "),
        ("json = 'db is ok'", "health.check.json: "),
        ("body_limit = 0", "health.check.body_limit: 0 is not in"),
        ("body_limit = 2000000", "health.check.body_limit: 2000000 is not in"),
        (
            "service = \"a\"",
            "health.check.service: not with type = \"http\"; it goes with \"grpc\"",
        ),
        ("tls = 1", "expected true, false, or a table with ca, server_name, insecure"),
        (
            "tls = { insecure = true, ca = \"a\" }",
            "health.check.tls.insecure: `ca` is given as well",
        ),
        ("tls = { ca = \"/no/such/file.pem\" }", "health.check.tls.ca: /no/such/file.pem: "),
        ("tls = { ca = \"/dev/zero\" }", "health.check.tls.ca: /dev/zero: not a file"),
        ("tls = { ca = \"Cargo.toml\" }", "health.check.tls.ca: no certificate"),
        (
            "tls = { insecure = true, server_name = \"a b\" }",
            "health.check.tls.server_name: \"a b\" is not a name",
        ),
        ("tls = { trust = true }", "unknown field `trust`"),
        ("intervall_ms = 1", "unknown field `intervall_ms`"),
    ] {
        let error = http_check(settings).expect_err(settings);
        assert!(error.contains(named), "{settings}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn what_is_wrong_with_a_script_is_named() {
    for (script, named) in [
        ("", "health.check.script: missing: give the steps, such as"),
        ("script = []", "health.check.script: no step expects something"),
        ("script = [{ send = \"a\" }]", "health.check.script: no step expects something"),
        ("script = [{}]", "health.check.script[0]: give `send`, `expect`, `expect_prefix` or"),
        (
            "script = [{ expect = \"a\" }, { send = \"a\", expect = \"a\" }]",
            "health.check.script[1].expect: `send` is given as well",
        ),
        ("script = [{ send = '\\q' }]", "health.check.script[0].send: after `\\` must come"),
        ("script = [{ expect = '\\x1' }]", "health.check.script[0].expect: two hexadecimal"),
        ("script = [{ expect = \"\" }]", "health.check.script: step 1: it has 1 to 4096 bytes"),
        ("script = [{ expect_regex = '(' }]", "health.check.script: step 1: regex parse error"),
        (
            "script = [{ send = \"a\", within = 1 }]",
            "health.check.script: step 1: only a step that expects",
        ),
        (
            "script = [{ expect = \"a\", within = 20000 }]",
            "health.check.script: step 1: within 20000 is not in 1..=16384 bytes",
        ),
        ("script = [{ wait = 1 }]", "unknown field `wait`"),
        (
            "script = [{ expect = \"a\" }]\npath = \"/\"",
            "health.check.path: not with type = \"script",
        ),
    ] {
        let error = health(&format!("[health.check]\ntype = \"script\"\n{script}"));
        let error = error.expect_err(script);
        assert!(error.contains(named), "{script}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let error = http_check("script = []").unwrap_err();
    assert!(error.contains("health.check.script: not with type = \"http\""), "{error}");
}

#[test]
fn what_is_wrong_with_the_rest_is_named() {
    for (text, named) in [
        ("[health.check]\n", "missing field `type`"),
        ("[health.check]\ntype = \"icmp\"", "unknown variant `icmp`"),
        ("[health.check]\ntype = \"http\"", "health.check.path: missing: give the path"),
        ("[health.check]\ntype = \"http\"\npath = \"health\"", "health.check.path: \"health\""),
        ("[health.check]\ntype = \"http\"\npath = \"http://a/\"", "health.check.path: "),
        ("[health.check]\ntype = \"http\"\npath = \"/#a\"", "health.check.path: "),
        (
            "[health.check]\ntype = \"tcp\"\npath = \"/\"",
            "health.check.path: not with type = \"tcp\"",
        ),
        ("[health.check]\ntype = \"tcp\"\ntls = true", "health.check.tls: not with type = \"tcp\""),
        ("[health.check]\ntype = \"grpc\"\nbody = \"a\"", "health.check.body: not with"),
        ("[health.check]\ntype = \"tls\"\ntls = false", "health.check.tls: false, but type"),
        ("[health.passive]\nenabled = 1", "health.passive.enabled: neither true nor false"),
        (
            "[health.passive]\nenabled = false\nconsecutive = 3",
            "health.passive.enabled: false, but `consecutive` is set",
        ),
        ("[health.passive]\nconsecutve = 3", "health.passive: unknown field `consecutve`"),
        ("[health.passive]\nconsecutive = -3", "health.passive: "),
        ("[health.passive]\ninterval_ms = 0", "health.passive.interval_ms: 0ns is out of range"),
        (
            "[health.passive]\nmax_ejection_time_ms = 10",
            "health.passive.max_ejection_time_ms: is shorter than base_ejection_time",
        ),
        ("[health.passive]\nmay_eject_last = true", "health.passive.may_eject_last: needs"),
        (
            "[health.passive]\nmax_ejection_percent = 101",
            "health.passive.max_ejection_percent: 101",
        ),
        ("[health.slow_start]", "missing field `window_ms`"),
        ("[health.slow_start]\nwindow_ms = 0", "health.slow_start.window_ms: 0ns is out of range"),
        (
            "[health.slow_start]\nwindow_ms = 1\naggression = 0",
            "health.slow_start.aggression: 0 is out of range",
        ),
        ("[health.slow_start]\nwindow_ms = 1\nfloor = 0", "health.slow_start.floor: 0 is out"),
        ("[health.panic]\nthreshold = 101", "health.panic.threshold: 101 is out of range"),
        ("[health.panic]\nmode = \"panic\"", "unknown variant `panic`"),
        ("[health.retries]\npercent = 1001", "health.retries.percent: 1001 is out of range"),
        ("[health.retries]\nwindow_ms = 0", "health.retries.window_ms: 0ns is out of range"),
        ("[health.retries]\nper_second = 1000001", "health.retries.per_second: 1000001 is out"),
        ("[health.breaker]\nmax_in_flight = 0", "health.breaker.max_in_flight: 0 is out of range"),
        ("[health.breaker]\nwindow_ms = 0", "health.breaker.window_ms: 0ns is out of range"),
        (
            "[health.breaker]\nmax_open_time_ms = 10",
            "health.breaker.max_open_time_ms: is shorter than open_time",
        ),
        ("[health.breaker]\nopen = true", "unknown field `open`"),
        ("[health]\nclose = 1", "expected true, false, or a list of"),
        ("[health]\nchecks = 1", "unknown field `checks`"),
    ] {
        let error = health(text).expect_err(text);
        assert!(error.contains(named), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn what_is_wrong_in_the_section_of_a_pool_is_named_there() {
    for (pool, named) in [
        ("health = { check = { type = \"tcp\", rise = 0 } }", "pools.web.health.check.rise: 0"),
        (
            "health = { check = { type = \"tcp\", interval_ms = 10, timeout_ms = 20 } }",
            "pools.web.health.check.timeout_ms: 20ms is longer than interval_ms, 10ms",
        ),
        ("health = { panic = { threshold = 200 } }", "pools.web.health.panic.threshold: 200"),
    ] {
        let text = format!("[pools.web]\nbackends = [\"a:80\"]\n{pool}\n");
        let error = pools(&text).unwrap_err();
        assert!(error.contains(named), "{pool}: {error}");
    }
    let error = pools("[pools.web]\nbackends = [\"a:80,check=9000\"]\n").unwrap_err();
    let named = "pools.web.backends: backend `a:80`: `check` says where to ask for its health, but";
    assert!(error.starts_with(named), "{error}");
}

#[test]
fn backends_are_listed_or_discovered() {
    let pool = |text: &str| pools(&format!("[pools.web]\n{text}\n"));
    for good in [
        "discover = { file = \"backends.txt\" }",
        "discover = { file = \"backends.txt\", interval_ms = 10, empty = \"accept\" }",
        "discover = { dns = \"web.example:80\" }",
        "discover = { dns = \"web.example:80\", min_ttl_ms = 1000000 }",
        "discover = { dns = \"web.example:80\", max_ttl_ms = 10 }",
        "discover = { srv = \"_http._tcp.web.example\", servers = [\"127.0.0.1:5353\", \"[::1]:53\"], \
         family = \"v4\", min_ttl_ms = 10, max_ttl_ms = 20, empty = \"keep_last\", min_percent = 50, \
         max_hold_ms = 60000 }",
    ] {
        let pools = pool(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        assert!(pools[0].backends().is_empty());
        assert!(pools[0].discovery().unwrap().source().is_ok(), "{good}");
    }
    assert!(pool("backends = [\"a:80\"]").unwrap()[0].discovery().is_none());
    for (bad, named) in [
        ("", "pools.web.backends: no backends"),
        (
            "backends = [\"a:80\"]\ndiscover = { file = \"a\" }",
            "pools.web.backends: they are discovered as well",
        ),
        ("discover = {}", "pools.web.discover: no source; give `file`, `dns` or `srv`"),
        (
            "discover = { file = \"a\", dns = \"a:1\" }",
            "pools.web.discover.dns: `file` is given as well",
        ),
        ("discover = { file = \"\" }", "pools.web.discover.file: `` is not allowed"),
        ("discover = { file = \"a\", interval_ms = 0 }", "pools.web.discover.interval_ms: `0ns`"),
        (
            "discover = { file = \"a\", family = \"v4\" }",
            "pools.web.discover.family: not with `file`",
        ),
        (
            "discover = { file = \"a\", servers = [] }",
            "pools.web.discover.servers: not with `file`",
        ),
        (
            "discover = { dns = \"a:1\", interval_ms = 9 }",
            "pools.web.discover.interval_ms: not with",
        ),
        ("discover = { dns = \"web.example\" }", "pools.web.discover.dns: "),
        (
            "discover = { dns = \"10.0.0.1:80\" }",
            "pools.web.discover.dns: `10.0.0.1` is not allowed",
        ),
        ("discover = { srv = \"a..b\" }", "pools.web.discover.srv: `a..b` is not allowed"),
        ("discover = { dns = \"a:1\", servers = [] }", "pools.web.discover.servers: "),
        (
            "discover = { dns = \"a:1\", servers = [\"127.0.0.1\"] }",
            "pools.web.discover.servers[0]: `127.0.0.1` is not an IP address and port",
        ),
        ("discover = { dns = \"a:1\", min_ttl_ms = 0 }", "pools.web.discover.min_ttl_ms: `0ns`"),
        (
            "discover = { dns = \"a:1\", min_ttl_ms = 9, max_ttl_ms = 8 }",
            "pools.web.discover.max_ttl_ms: `8ms`",
        ),
        (
            "discover = { dns = \"a:1\", min_percent = 101 }",
            "pools.web.discover.min_percent: `101`",
        ),
        ("discover = { dns = \"a:1\", max_hold_ms = 0 }", "pools.web.discover.max_hold_ms: `0ns`"),
        ("discover = { dns = \"a:1\", empty = \"maybe\" }", "unknown variant `maybe`"),
        ("discover = { url = \"a:1\" }", "unknown field `url`"),
    ] {
        let error = pool(bad).unwrap_err();
        assert!(error.contains(named), "{bad}: {error}");
    }
}

/// The reference page, which is written by hand.
const REFERENCE: &str = include_str!("../../../../docs/health.md");

#[test]
fn the_reference_has_a_row_for_every_setting() {
    let unknown = |section: &str| {
        let [http, web] = ["type = \"http\"\npath = \"/\"", "[pools.web]\nbackends = [\"a:80\"]"];
        let text = match section {
            "discover" => "[pools.web.discover]\nzzz = 1".to_owned(),
            "health" => format!("[health]\nzzz = 1\n{web}"),
            "tls" => format!("[health.check]\n{http}\ntls = {{ zzz = 1 }}\n{web}"),
            "script" => format!("[health.check]\n{http}\nscript = [{{ zzz = 1 }}]\n{web}"),
            section => format!("[health.{section}]\nzzz = 1\n{web}"),
        };
        pools(&text).expect_err(section)
    };
    let mut settings = 0;
    for section in [
        "health",
        "check",
        "tls",
        "script",
        "passive",
        "slow_start",
        "panic",
        "retries",
        "breaker",
        "discover",
    ] {
        // The reader of the section lists what it knows.
        let error = unknown(section);
        let (_, known) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
        let known = known.split(" (at ").next().unwrap_or(known);
        let named: Vec<_> = known.split('`').skip(1).step_by(2).collect();
        assert!(named.len() > 1, "{section}: {error}");
        for setting in named {
            settings += 1;
            let is_there = REFERENCE.lines().any(|line| {
                let key = line.split('|').nth(1).unwrap_or(line);
                key.contains(&format!("`{setting}`"))
                    || line.starts_with('#') && line.contains(setting)
            });
            assert!(is_there, "{section}: `{setting}` has no row in docs/health.md");
        }
    }
    assert!(settings > 80, "{settings}");
}

#[test]
fn the_examples_of_the_reference_are_good() {
    let blocks = REFERENCE.split("```toml\n").skip(1);
    let blocks: Vec<_> = blocks.filter_map(|block| block.split("```").next()).collect();
    let [check, backends, script, admin] = blocks.as_slice() else { panic!("{blocks:?}") };
    let scripts: Vec<_> = script.split("script = ").skip(1).collect();
    assert_eq!(scripts.len(), 4);
    for script in scripts {
        let script = script.split("\n#").next().unwrap_or(script);
        health(&format!("[health.check]\ntype = \"script\"\nscript = {script}")).expect(script);
    }
    let pools = pools(&format!("{check}\n[pools.web]\n{backends}")).unwrap();
    assert!(pools[0].backends().iter().all(|backend| backend.check.is_some()));
    #[derive(Deserialize)]
    struct File {
        admin: crate::admin::AdminSection,
    }
    let file: File = crate::file::parse("health.md", admin).unwrap();
    assert!(crate::admin::AdminSettings::new(&file.admin).is_ok());

    // What it says of the time in which a dead backend is found.
    let bound = |settings| http_check(settings).unwrap().config.detection_bound();
    assert_eq!(bound(""), Duration::from_millis(3800));
    assert_eq!(bound("interval_ms = 500"), Duration::from_millis(2150));
}
