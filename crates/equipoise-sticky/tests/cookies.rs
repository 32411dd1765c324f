//! Cookies as honest clients, applications and vandals send them.
#![cfg(feature = "affinity")]

use std::time::Duration;

use ::cookie::Cookie;
use equipoise_core::BackendId;
use equipoise_sticky::affinity::cookie::learn::{Change, change};
use equipoise_sticky::affinity::cookie::{self, Edit, Found, MAX_TRIED, first_that_opens, prefix};
use equipoise_sticky::affinity::token::{SealedToken, Token, Tokens};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;
const IDLE: u64 = 1800;

fn tokens_of(pool: &str) -> Tokens {
    Tokens::new(pool, b"a secret that nobody knows", Duration::from_secs(IDLE)).unwrap()
}

fn issue(pool: &str) -> (SealedToken, Token) {
    tokens_of(pool).issue(BackendId::new(7), NOW, None)
}

/// What opens of the cookies `srv` in this line, at this time.
fn open_at(line: &[u8], now: u64) -> Found<Token> {
    let tokens = tokens_of("web");
    first_that_opens(cookie::values([line], "srv"), |text| tokens.open(text, now).ok())
}

fn values<'a>(line: &'a [u8], name: &str) -> Vec<&'a [u8]> {
    cookie::values([line], name).collect()
}

#[test]
fn a_name_is_ours_only_if_it_is_the_same_name() {
    let line =
        b"srv2=a; sr=b; Srv=c; xsrv=d; srv =e;srv; =srv; s rv=f; srv\0=g; \xff=h;\tsrv\t=\ti\t";
    assert_eq!(values(line, "srv"), [b"e", b"i"]);
    assert_eq!(values(b"", "srv"), values(b";;=; = ;srv", "srv"));
}

#[test]
fn values_lose_their_quotes_and_empty_ones_do_not_count() {
    let line = br#"a=; a=""; a=" "; a="; a="x"; a=""x""; a=x=y=; a=x y"#;
    let expected: [&[u8]; 6] = [b" ", b"\"", b"x", b"\"x\"", b"x=y=", b"x y"];
    assert_eq!(values(line, "a"), expected);
}

#[test]
fn of_several_cookies_the_first_that_opens_counts() {
    let (text, token) = issue("web");
    let line = format!("srv=made-up; srv={text}; srv={text}; srv=x", text = text.as_str());
    let found = open_at(line.as_bytes(), NOW);
    assert_eq!(found, Found { opened: Some(token), refused: 1, ignored: 2 });
}

#[test]
fn a_thousand_cookies_cost_four_tries() {
    let (text, _) = issue("web");
    let line = format!("{}srv={}", "srv=made-up; ".repeat(999), text.as_str());
    let mut tried = 0;
    let found = first_that_opens(cookie::values([line.as_bytes()], "srv"), |_| {
        tried += 1;
        None::<()>
    });
    assert_eq!((tried, found.refused, found.ignored), (MAX_TRIED, MAX_TRIED, 996));
    // Those of other names don't hide it.
    let line = format!("{}srv={}", "other=made-up; ".repeat(999), text.as_str());
    assert!(open_at(line.as_bytes(), NOW).opened.is_some());
    assert_eq!(cookie::without(line.as_bytes(), "srv"), {
        let mut rest = line.clone().into_bytes();
        rest.truncate("other=made-up; ".len() * 999 - 2);
        Edit::Changed(rest)
    });
}

#[test]
fn lines_of_64_kib_are_read_to_their_end() {
    let (text, token) = issue("web");
    for garbage in [&b"\xff"[..], b";", b"=", b"\"", b" ", b"srv=;", b"srv="] {
        let mut line = garbage.repeat(65_536 / garbage.len());
        line.extend_from_slice(b";srv=");
        line.extend_from_slice(text.as_str().as_bytes());
        assert_eq!(open_at(&line, NOW).opened, Some(token), "{garbage:?}");
    }
}

#[test]
fn only_what_was_sealed_here_opens() {
    let (text, token) = issue("web");
    let text = text.as_str();
    let is_miss = |line: &[u8], now, refused| {
        open_at(line, now) == Found { opened: None, refused, ignored: 0 }
    };
    assert_eq!(open_at(format!("srv=\"{text}\"").as_bytes(), NOW).opened, Some(token));
    for len in 0..text.len() {
        // Without anything left there is no cookie.
        let refused = usize::from(len > 0);
        assert!(is_miss(format!("srv={}", &text[..len]).as_bytes(), NOW, refused), "{len}");
    }
    for (line, why) in [
        (format!("srv={text}{text}"), "too long"),
        (format!("srv={text}="), "padded"),
        (format!("srv={}", "A".repeat(65_536)), "oversized"),
        (format!("srv={}", text.to_uppercase()), "in upper case"),
        (format!("srv={}", "A".repeat(text.len())), "made up"),
        (format!("srv='{text}'"), "in other quotes"),
        (format!("srv=\"{text}"), "with one quote"),
        (format!("srv={}", issue("api").0.as_str()), "of another pool"),
        ("srv=10.0.0.1:8080".to_owned(), "an address"),
    ] {
        assert!(is_miss(line.as_bytes(), NOW, 1), "{why}");
    }
    let line = format!("srv={text}");
    assert!(is_miss(line.as_bytes(), NOW + IDLE, 1), "expired");
}

#[test]
fn no_bit_of_a_cookie_can_be_changed() {
    let (text, _) = issue("web");
    let line = format!("srv={}", text.as_str()).into_bytes();
    for at in 0..line.len() {
        for bit in 0..8 {
            let mut changed = line.clone();
            changed[at] ^= 1 << bit;
            assert_eq!(open_at(&changed, NOW).opened, None, "bit {bit} of byte {at}");
        }
    }
}

/// No harm: whoever sends it chooses the backend of no request but its own, and had to be sent there
/// once. It opens nothing that the application guards.
#[test]
fn a_cookie_that_is_sent_again_pins_its_sender_until_it_expires() {
    let (text, token) = issue("web");
    let line = format!("srv={}", text.as_str());
    for now in [NOW, NOW + 1, NOW + IDLE - 1] {
        assert_eq!(open_at(line.as_bytes(), now).opened, Some(token));
    }
    assert_eq!(open_at(line.as_bytes(), NOW + IDLE).opened, None);
}

#[test]
fn taking_our_cookie_out_leaves_the_others_as_they_were_sent() {
    for (line, rest) in [
        ("srv=x", ""),
        (" srv = x ; srv=y;", " "),
        ("srv=x; a=1", "a=1"),
        ("a=1; srv=x", "a=1"),
        ("a=1;srv=x;b=2", "a=1;b=2"),
        ("a=1 ;  srv=x ;b = \"2\" ", "a=1 ;b = \"2\" "),
        ("srv; a=1; srv=", "srv; a=1"),
        ("srv=x;;a", ";a"),
        ("a=\"1; srv=x; 2\"", "a=\"1; 2\""),
    ] {
        let expected = match cookie::without(line.as_bytes(), "srv") {
            Edit::Changed(rest) => rest,
            Edit::Dropped => Vec::new(),
            Edit::Kept => panic!("{line} has our cookie"),
        };
        assert_eq!(expected, rest.trim_start_matches(' ').as_bytes(), "{line}");
    }
    for line in ["", "a=1", "srv", "srv2=x", "SRV=x", "a=srv=x"] {
        assert_eq!(cookie::without(line.as_bytes(), "srv"), Edit::Kept, "{line}");
    }
}

#[test]
fn a_token_in_front_of_a_cookie_is_seen_by_the_balancer_alone() {
    let (text, token) = issue("web");
    let t = text.as_str();
    let tokens = tokens_of("web");
    for (from_backend, to_client) in [
        ("id=abc", format!("id={t}~abc")),
        ("id=abc; Path=/; HttpOnly", format!("id={t}~abc; Path=/; HttpOnly")),
        ("id = \"a b\" ;Expires=x", format!("id = \"{t}~a b\" ;Expires=x")),
        ("id=a~b=c;id=d", format!("id={t}~a~b=c;id=d")),
    ] {
        let added = prefix::add(from_backend.as_bytes(), "id", &text);
        assert_eq!(added, Edit::Changed(to_client.clone().into_bytes()));
        // A client sends back the part before the first semicolon.
        let sent = to_client.split(';').next().unwrap();
        let found = first_that_opens(prefix::tokens([sent.as_bytes()], "id"), |text| {
            tokens.open(text, NOW).ok()
        });
        assert_eq!(found.opened, Some(token), "{sent}");
        let first = from_backend.split(';').next().unwrap();
        let stripped = prefix::strip(sent.as_bytes(), "id");
        assert_eq!(stripped, Edit::Changed(first.as_bytes().to_vec()));
    }
    for line in ["id=", "id=; Max-Age=0", "id", "", "ID=abc", "id2=abc", "a=b; id=abc"] {
        assert_eq!(prefix::add(line.as_bytes(), "id", &text), Edit::Kept, "{line}");
    }
}

#[test]
fn a_token_that_does_not_open_is_stripped_and_what_is_no_token_stays() {
    let t = "A".repeat(SealedToken::LEN);
    let line = format!("a=1;  id={t}~abc ;id=\"{t}~\";id={t}~{t}~x; b={t}~1");
    let expected = format!("a=1;  id=abc ;id=\"\";id={t}~x; b={t}~1");
    assert_eq!(prefix::strip(line.as_bytes(), "id"), Edit::Changed(expected.into_bytes()));
    assert_eq!(prefix::tokens([line.as_bytes()], "id").count(), 3);
    for value in [
        "abc".to_owned(),
        "~abc".to_owned(),
        "abc~def".to_owned(),
        t.clone(),
        format!("{t}A~abc"),
        format!("{}~abc", &t[1..]),
        format!("{}+~abc", &t[1..]),
        format!("{}~~abc", &t[1..]),
    ] {
        let line = format!("id={value}");
        assert_eq!(prefix::strip(line.as_bytes(), "id"), Edit::Kept, "{value}");
        assert_eq!(prefix::tokens([line.as_bytes()], "id").count(), 0, "{value}");
    }
}

#[test]
fn sessions_are_learned_and_forgotten_as_a_browser_would() {
    let set = |id: &'static str| Some(Change::Set(id.as_bytes()));
    for (line, expected) in [
        ("id=abc", set("abc")),
        (" id = \"abc\" ; Path=/; Secure", set("abc")),
        ("id=abc; Max-Age=1", set("abc")),
        ("id=abc; Max-Age=99999999999999999999999999", set("abc")),
        ("id=abc; Max-Age=x; Max-Age=; Max-Age=-; Max-Age=1.0", set("abc")),
        ("id=abc; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", set("abc")),
        ("id=abc; Max-Age=0; Max-Age=10", set("abc")),
        ("id=abc; Max-Age=0; Max-Age=x", Some(Change::Deleted)),
        ("id=abc; Expires=Fri, 15 Jan 2027 08:00:01 GMT", set("abc")),
        ("id=abc; Expires=Fri, 15 Jan 2027 08:00:00 GMT", Some(Change::Deleted)),
        ("id=abc; expires=0", set("abc")),
        ("id=abc; MAX-AGE = 0", Some(Change::Deleted)),
        ("id=abc; Max-Age=-1; Expires=Fri, 15 Jan 2077 08:00:00 GMT", Some(Change::Deleted)),
        ("id=abc; Max-Age=000", Some(Change::Deleted)),
        ("id=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/", Some(Change::Deleted)),
        ("id=", Some(Change::Deleted)),
        ("id=\"\"", Some(Change::Deleted)),
        ("id", None),
        ("", None),
        ("ID=abc", None),
        ("a=1; id=abc", None),
    ] {
        assert_eq!(change([line.as_bytes()], "id", NOW), expected, "{line}");
    }
    let lines: [&[u8]; 4] = [b"id=; Max-Age=0; Path=/old", b"id=abc", b"b=1", b"\xff=1"];
    assert_eq!(change(lines, "id", NOW), set("abc"));
    assert_eq!(change([lines[1], lines[0]], "id", NOW), Some(Change::Deleted));
    assert_eq!(change([], "id", NOW), None);
    assert_eq!(change([&b"id=\xff\xfe"[..]], "id", u64::MAX), Some(Change::Set(b"\xff\xfe")));
}

/// A part of a line as others may send it: our cookie, one that is nearly ours, or garbage.
fn part() -> impl Strategy<Value = (bool, Vec<u8>)> {
    prop_oneof![
        "[ \t]{0,2}srv[ \t]{0,2}=[ -:<-~]{0,8}".prop_map(|text| (true, text.into_bytes())),
        "[ \t]{0,2}(srv|srv2|Srv|a|\"srv\"|)".prop_map(|text| (false, text.into_bytes())),
        "[ \t]{0,2}(srv2|Srv|a|\"srv\"|)=[ -:<-~]{0,8}".prop_map(|text| (false, text.into_bytes())),
        prop::collection::vec(128..=255_u8, 0..8).prop_map(|bytes| (false, bytes)),
    ]
}

/// A value that an application may set: blanks around it are not part of it.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let any = prop::collection::vec(any::<u8>(), 1..80).prop_map(|mut value| {
        value.retain(|byte| *byte != b';');
        value.trim_ascii().to_vec()
    });
    let hostile = "[~A\"=]{1,130}".prop_map(String::into_bytes);
    prop_oneof![any, hostile].prop_filter("empty", |value| !value.is_empty())
}

proptest! {
    #[test]
    fn taking_our_cookies_out_takes_nothing_else(parts in prop::collection::vec(part(), 1..12)) {
        let join = |parts: Vec<&[u8]>| parts.join(&b';');
        let line = join(parts.iter().map(|(_, part)| &part[..]).collect());
        let mut rest = join(parts.iter().filter(|part| !part.0).map(|part| &part.1[..]).collect());
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        rest.drain(..rest.iter().take_while(|byte| is_blank(byte)).count());
        let expected = if !parts.iter().any(|part| part.0) {
            Edit::Kept
        } else if rest.iter().all(is_blank) {
            Edit::Dropped
        } else {
            Edit::Changed(rest.clone())
        };
        prop_assert_eq!(cookie::without(&line, "srv"), expected);
        prop_assert_eq!(cookie::without(&rest, "srv"), Edit::Kept);
        prop_assert_eq!(cookie::values([&rest[..]], "srv").count(), 0);
    }

    #[test]
    fn another_reader_finds_the_same_values(line in "(([ab]|aa)? ?(=|;|; |\"| |[ -~]){1,3}){0,12}") {
        let theirs = Cookie::split_parse(line.as_str())
            .filter_map(Result::ok)
            .filter(|cookie| cookie.name() == "a")
            .filter_map(|cookie| Some(cookie.value_raw()?.as_bytes().to_vec()))
            .map(|value| match &value[..] {
                [b'"', inner @ .., b'"'] => inner.to_vec(),
                _ => value,
            })
            .filter(|value| !value.is_empty())
            .collect::<Vec<_>>();
        prop_assert_eq!(values(line.as_bytes(), "a"), theirs);
    }

    #[test]
    fn what_a_prefix_adds_is_what_it_strips(
        value in value(),
        attributes in "(; ?[ -~]{0,20}){0,3}",
        others in prop::collection::vec(part(), 0..4),
    ) {
        let (text, token) = issue("web");
        let mut set = [b"id=", &value[..]].concat();
        let original = set.clone();
        set.extend_from_slice(attributes.as_bytes());
        let Edit::Changed(added) = prefix::add(&set, "id", &text) else {
            return Err(TestCaseError::fail("not rewritten"));
        };
        prop_assert_eq!(added.len(), set.len() + SealedToken::LEN + 1);
        prop_assert!(added.ends_with(attributes.as_bytes()));
        let sent = &added[..original.len() + SealedToken::LEN + 1];
        let found = first_that_opens(prefix::tokens([sent], "id"), |text| {
            tokens_of("web").open(text, NOW).ok()
        });
        prop_assert_eq!(found.opened, Some(token));
        // With others around it, which keep their bytes.
        let others: Vec<_> = others.iter().map(|(_, part)| &part[..]).collect();
        let around = |cookie: &[u8]| [&others[..], &[cookie], &others[..]].concat().join(&b';');
        let stripped = prefix::strip(&around(sent), "id");
        prop_assert_eq!(stripped, Edit::Changed(around(&original)));
    }

    #[test]
    fn any_bytes_do(line: Vec<u8>, name in "[ -~]{0,4}", now: u64) {
        let lines = [&line[..], b"id=1"];
        let (text, _) = issue("web");
        for line in lines {
            if let Edit::Changed(rest) = cookie::without(line, &name) {
                prop_assert!(rest.len() < line.len());
            }
            prop_assert_eq!(prefix::strip(line, &name), Edit::Kept);
            if let Edit::Changed(added) = prefix::add(line, &name, &text) {
                let first = |line: &[u8]| line.split(|byte| *byte == b';').next().unwrap().to_vec();
                prop_assert_eq!(prefix::strip(&first(&added), &name), Edit::Changed(first(line)));
            }
        }
        prop_assert_eq!(change(lines, "id", now), Some(Change::Set(b"1")));
        change([&line[..]], &name, now);
    }
}
