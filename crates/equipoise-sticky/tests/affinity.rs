//! Names of backends in session ids, and responses that no shared cache may store.
#![cfg(feature = "affinity")]

use equipoise_sticky::affinity::{cache_guard, route};
use proptest::prelude::*;

#[test]
fn the_name_of_a_backend_follows_the_first_period() {
    for (id, name) in [
        ("abc.node1", Some("node1")),
        (".node1", Some("node1")),
        ("abc.10.0.0.1:80", Some("10.0.0.1:80")),
        ("abc..", Some(".")),
        ("abc", None),
        ("abc.", None),
        ("", None),
        ("abc.no de", None),
        ("abc.nöde", None),
        ("abc.node\0", None),
    ] {
        assert_eq!(route::of_id(id.as_bytes()), name, "{id:?}");
    }
    let name = "n".repeat(route::MAX_LEN);
    assert_eq!(route::of_id(format!("abc.{name}").as_bytes()), Some(&name[..]));
    assert_eq!(route::of_id(format!("abc.{name}n").as_bytes()), None);
    assert_eq!(route::of_id(b"abc.\xff"), None);
}

#[test]
fn a_session_id_is_found_in_paths_and_queries() {
    for (uri, id) in [
        ("/a;jsessionid=1", Some("1")),
        ("/a;JSessionID=1", Some("1")),
        ("/a;x;jsessionid=1;y", Some("1")),
        ("/a;jsessionid=1/b?c", Some("1")),
        ("/a;jsessionid=1.n?jsessionid=2", Some("1.n")),
        ("/a;jsessionid=;jsessionid=2", Some("2")),
        ("/?jsessionid=1&jsessionid=2", Some("1")),
        ("/?a&jsessionid=1=2;3#jsessionid=4", Some("1=2;3")),
        ("/?/;jsessionid=1", None),
        ("/;jsessionid=%2e?x", Some("%2e")),
        ("http://host/;jsessionid=1", Some("1")),
        ("*", None),
        ("", None),
        ("/jsessionid=1", None),
        ("/a;jsessionid", None),
        ("/a;jsessionid=", None),
        ("/a;jsessionid2=1", None),
        ("/a;xjsessionid=1", None),
        ("/a; jsessionid=1", None),
        ("/a#;jsessionid=1", None),
        ("/a?b?jsessionid=1", None),
    ] {
        let found = route::id_in_uri(uri.as_bytes(), "jsessionid");
        assert_eq!(found, id.map(str::as_bytes), "{uri}");
    }
    let long = format!("/{}?jsessionid=a.n", ";/?&=.".repeat(10_000));
    assert_eq!(
        route::id_in_uri(long.as_bytes(), "jsessionid"),
        None,
        "the first `?` ends the path"
    );
    let long = format!("/{}?jsessionid=a.n", ";/&=.".repeat(10_000));
    assert_eq!(route::id_in_uri(long.as_bytes(), "jsessionid"), Some(&b"a.n"[..]));
}

#[test]
fn a_response_with_a_cookie_is_for_no_shared_cache() {
    for (lines, guarded) in [
        (&[][..], "private"),
        (&[""], "private"),
        (&["public"], "private"),
        (&["PUBLIC , S-MaxAge=60"], "private"),
        (&["private"], "private"),
        (&["private=\"set-cookie, x\", max-age=5"], "private, max-age=5"),
        (
            &["public, s-maxage=600, max-age=60, must-revalidate"],
            "private, max-age=60, must-revalidate",
        ),
        (&["no-store"], "private, no-store"),
        (&["no-cache=\"set-cookie, public\", public"], "private, no-cache=\"set-cookie, public\""),
        (&["x=\"a\\\", public\", public"], "private, x=\"a\\\", public\""),
        (&["publicity, s-maxage2=1"], "private, publicity, s-maxage2=1"),
        (&["max-age=60", "public", ",,", "s-maxage = 5"], "private, max-age=60"),
        (&["x=\"no end, public", "s-maxage=5"], "private, x=\"no end, public"),
        (&["x=\\, public"], "private, x=\\"),
    ] {
        let lines = lines.iter().map(|line| line.as_bytes());
        let value = String::from_utf8(cache_guard::private(lines)).unwrap();
        assert_eq!(value, guarded);
    }
}

#[test]
fn headers_that_overrule_cache_control_are_known() {
    for name in [
        "cdn-cache-control",
        "CDN-Cache-Control",
        "cloudflare-cdn-cache-control",
        "vercel-cdn-cache-control",
        "netlify-cdn-cache-control",
        "surrogate-control",
        "Surrogate-Control",
        "x-accel-expires",
    ] {
        assert!(cache_guard::overrules(name), "{name}");
    }
    for name in ["", "cache-control", "expires", "surrogate-control-x", "dn-cache-control", "ä"] {
        assert!(!cache_guard::overrules(name), "{name}");
    }
}

proptest! {
    #[test]
    fn a_guarded_value_keeps_what_is_harmless(
        kept in prop::collection::vec("(max-age=[0-9]{1,3}|no-cache|x=\"[a-z, ]{0,9}\"|immutable)", 0..4),
        gone in prop::collection::vec("(public|PRIVATE|private=\"[a-z, ]{0,9}\"|s-maxage=[0-9]{1,3}| ?)", 0..4),
        order: u64,
    ) {
        let (mut left, mut right) = (kept.iter(), gone.iter());
        let mut all = Vec::new();
        for bit in 0..64 {
            all.extend(if order >> bit & 1 == 0 { left.next() } else { right.next() });
        }
        all.extend(left);
        all.extend(right);
        let line = all.into_iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let expected = std::iter::once("private").chain(kept.iter().map(String::as_str));
        let guarded = cache_guard::private([line.as_bytes()]);
        prop_assert_eq!(String::from_utf8(guarded.clone()).unwrap(), expected.collect::<Vec<_>>().join(", "));
        prop_assert_eq!(cache_guard::private([&guarded[..]]), guarded);
    }

    #[test]
    fn any_bytes_do(text: Vec<u8>, line in "[a-z\",;\\\\ =/?.#&]{0,40}", name in "[a-z=;]{0,2}") {
        for text in [&text[..], line.as_bytes()] {
            let guarded = cache_guard::private([text]);
            prop_assert!(guarded.starts_with(b"private"));
            prop_assert!(guarded.len() <= text.len() * 3 + 9);
            if let Some(id) = route::id_in_uri(text, &name) {
                prop_assert!(!id.is_empty() && text.windows(id.len()).any(|part| part == id));
            }
            if let Some(name) = route::of_id(text) {
                prop_assert!((1..=route::MAX_LEN).contains(&name.len()) && text.ends_with(name.as_bytes()));
            }
        }
    }
}
