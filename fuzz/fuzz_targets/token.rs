//! Any bytes for a token: what was sealed opens as it was and nowhere else, and nothing else does.
//!
//! The first byte says what becomes of a token that was sealed: where it is changed, and how.
#![no_main]

use std::time::Duration;

use equipoise_core::BackendId;
use equipoise_sticky::affinity::token::Tokens;
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_800_000_000;
const IDLE: Duration = Duration::from_secs(1800);

fuzz_target!(|input: &[u8]| {
    let Ok(tokens) = Tokens::new("web", b"a secret that nobody knows", IDLE) else { return };
    // Always the same one: the fuzzer sees what is compared, and so finds all that are sealed here.
    let (text, token) = tokens.issue(BackendId::new(7), NOW, None);
    let sealed = text.as_str().as_bytes();
    assert_eq!(tokens.open(sealed, NOW), Ok(token));
    assert_eq!(tokens.open(input, NOW).is_ok(), input == sealed);
    let Some((&at, rest)) = input.split_first() else { return };
    let at = usize::from(at) % sealed.len();
    let mut changed = sealed.to_vec();
    changed.splice(at..(at + rest.len()).min(sealed.len()), rest.iter().copied());
    assert_eq!(tokens.open(&changed, NOW).is_ok(), changed == sealed);
    let pool = String::from_utf8_lossy(rest);
    if let Ok(other) = Tokens::new(&pool, b"a secret that nobody knows", IDLE) {
        assert_eq!(other.open(sealed, NOW).is_ok(), pool == "web");
    }
});
