//! Any bytes for cookies, URIs and cache directives: what is not ours stays as it is, what was put on
//! comes off, and nothing opens that was not sealed.
//!
//! A byte 0 stands for a token that was sealed.
#![no_main]

use std::time::Duration;

use equipoise_core::BackendId;
use equipoise_sticky::affinity::cookie::learn::{Change, change};
use equipoise_sticky::affinity::cookie::{self, Edit, first_that_opens, prefix};
use equipoise_sticky::affinity::set_cookie::CookieSettings;
use equipoise_sticky::affinity::token::{SealedToken, Token, Tokens};
use equipoise_sticky::affinity::{cache_guard, route};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_800_000_000;
const NAME: &str = "id";

fuzz_target!(|input: &[u8]| {
    let Ok(tokens) = Tokens::new("web", b"a secret that nobody knows", Duration::from_secs(1800))
    else {
        return;
    };
    let (text, token) = tokens.issue(BackendId::new(7), NOW, None);
    let parts: Vec<_> = input.split(|byte| *byte == 0).collect();
    let line = parts.join(text.as_str().as_bytes());

    // Nothing else opens. (The fuzzer sees what is compared, and so may find the token by itself.)
    for opened in opened(&tokens, &line).into_iter().flatten() {
        assert_eq!(opened, token);
        assert!(is_part(text.as_str().as_bytes(), &line));
    }

    take_out(&line);
    put_on_and_strip(&line, &text);
    if let Some(Change::Set(id)) = change([&line[..]], NAME, NOW) {
        assert!(!id.is_empty() && !id.contains(&b';') && is_part(id, &line));
    }
    find_route(&line);
    let guarded = cache_guard::private([&line[..]]);
    assert!(guarded.starts_with(b"private"));
    assert_eq!(cache_guard::private([&guarded[..]]), guarded);
    set(input, &text, &token);
});

/// By a cookie of our own, and by a token in front of the application's.
fn opened(tokens: &Tokens, line: &[u8]) -> [Option<Token>; 2] {
    let open = |text: &[u8]| tokens.open(text, NOW).ok();
    let alone = first_that_opens(cookie::values([line], NAME), open);
    let in_front = first_that_opens(prefix::tokens([line], NAME), open);
    for found in [&alone, &in_front] {
        assert!(found.refused <= cookie::MAX_TRIED);
    }
    [alone.opened, in_front.opened]
}

fn is_ours(part: &&[u8]) -> bool {
    let mut fields = part.splitn(2, |byte| *byte == b'=');
    let name = fields.next().unwrap_or_default();
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = name.iter().take_while(|byte| is_blank(byte)).count();
    let rest = &name[start..];
    fields.next().is_some()
        && rest.starts_with(NAME.as_bytes())
        && rest[NAME.len()..].iter().all(is_blank)
}

fn take_out(line: &[u8]) {
    let others: Vec<_> = line.split(|byte| *byte == b';').filter(|part| !is_ours(part)).collect();
    let rest = match cookie::without(line, NAME) {
        Edit::Kept => line.to_vec(),
        Edit::Changed(rest) => rest,
        Edit::Dropped => Vec::new(),
    };
    // Blanks in front of the first one may be gone, and so may be blanks alone.
    let expected = others.join(&b';');
    assert!(expected.ends_with(&rest));
    let gone = &expected[..expected.len() - rest.len()];
    assert!(gone.iter().all(|byte| matches!(byte, b' ' | b'\t')));
    assert_eq!(cookie::without(&rest, NAME), Edit::Kept);
    assert_eq!(cookie::values([&rest[..]], NAME).next(), None);
}

fn put_on_and_strip(line: &[u8], text: &SealedToken) {
    if let Edit::Changed(stripped) = prefix::strip(line, NAME) {
        let parts = |line: &'_ [u8]| line.split(|byte| *byte == b';').map(<[u8]>::to_vec).collect();
        let (before, after): (Vec<_>, Vec<_>) = (parts(line), parts(&stripped));
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            let is_stripped =
                is_ours(&&before[..]) && after.len() + SealedToken::LEN + 1 == before.len();
            assert!(before == after || is_stripped);
        }
    }
    let first = |line: &[u8]| line.split(|byte| *byte == b';').next().unwrap_or_default().to_vec();
    if let Edit::Changed(added) = prefix::add(line, NAME, text) {
        assert!(added.ends_with(&line[first(line).len()..]));
        assert_eq!(prefix::strip(&first(&added), NAME), Edit::Changed(first(line)));
    }
}

fn find_route(uri: &[u8]) {
    if let Some(id) = route::id_in_uri(uri, NAME) {
        assert!(!id.is_empty() && is_part(id, uri));
    }
    if let Some(name) = route::of_id(uri) {
        assert!((1..=route::MAX_LEN).contains(&name.len()) && uri.ends_with(name.as_bytes()));
    }
}

/// Settings from outside write no header but the one, and no attribute but those that there are.
fn set(input: &[u8], text: &SealedToken, token: &Token) {
    let fields = String::from_utf8_lossy(input);
    let mut fields = fields.split('\n');
    let mut builder = CookieSettings::builder(fields.next().unwrap_or_default());
    let (path, domain) = (fields.next(), fields.next());
    builder = path.map_or(builder.clone(), |path| builder.path(path));
    builder = domain.map_or(builder.clone(), |domain| builder.domain(domain));
    let Ok(settings) = builder.build() else { return };
    let value = settings.value(text, token);
    assert!(value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
    assert_eq!(value.split("; ").count(), 5 + usize::from(domain.is_some()));
    assert_eq!(value.matches(';').count(), 4 + usize::from(domain.is_some()));
}

fn is_part(part: &[u8], whole: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}
