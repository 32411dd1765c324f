//! Tokens, as their owner, a thief and a vandal would use them.
#![cfg(feature = "affinity")]

use std::time::Duration;

use equipoise_core::{BackendId, Rng};
use equipoise_sticky::affinity::token::{SealedToken, Token, TokenError, Tokens, TokensError};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;
const IDLE: Duration = Duration::from_secs(1800);
const SECRET: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

fn tokens() -> Tokens {
    Tokens::new("web", &SECRET, IDLE).unwrap()
}

fn issued(tokens: &Tokens, backend: u64) -> String {
    tokens.issue(BackendId::new(backend), NOW, None).0.as_str().to_owned()
}

/// Made by Python's `hmac` and `hashlib` from the form that the documentation states:
///
/// ```python
/// import hmac, hashlib, base64, struct
/// def H(k, m): return hmac.new(k, m, hashlib.sha256).digest()
/// s = bytes(range(16)); pool = b"web"; backend = 0x0123456789abcdef
/// issued, age, life, epoch, session = 1_800_000_000, 3600, 1800, 7, 0x89abcdef
/// head = bytes([1, H(s, b"equipoise token 1 number")[0]]) + struct.pack(">I", epoch) + issued.to_bytes(5, "big") + struct.pack(">III", age, life, session)
/// idb = backend.to_bytes(8, "big")
/// tag = H(H(s, b"equipoise token 1 tag"), head + idb + pool)[:16]
/// mask = H(H(s, b"equipoise token 1 mask"), tag)[:8]
/// print(base64.urlsafe_b64encode(head + bytes(a ^ b for a, b in zip(idb, mask)) + tag).rstrip(b"=").decode())
/// ```
const VECTOR: &str = "AcMAAAAHAGtJ0gAAAA4QAAAHCImrze9echlimQ0b0hjrHzHYbZjGc03wzCLr33c";

#[test]
fn a_token_is_what_the_documentation_says() {
    let tokens = tokens().with_epoch(7);
    let born = NOW - 3600;
    let backend = BackendId::new(0x0123_4567_89ab_cdef);
    let session = 0x89ab_cdef;
    let before = Token { backend, epoch: 0, born, issued: born, expires: NOW, session };
    let (text, token) = tokens.issue(backend, NOW, Some(&before));
    assert_eq!(text.as_str(), VECTOR);
    assert_eq!(text.as_str().len(), SealedToken::LEN);
    let expected = Token { backend, epoch: 7, born, issued: NOW, expires: NOW + 1800, session };
    assert_eq!((token, tokens.open(VECTOR.as_bytes(), NOW)), (expected, Ok(expected)));
}

#[test]
fn no_bit_of_a_token_can_be_changed() {
    let tokens = tokens();
    let text = issued(&tokens, 7);
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1 << bit;
            let error = tokens.open(&changed, NOW).unwrap_err();
            assert!(
                matches!(
                    error,
                    TokenError::Malformed | TokenError::UnknownKey | TokenError::Forged
                ),
                "{at} {bit}: {error:?}"
            );
        }
    }
}

#[test]
fn what_is_shorter_or_longer_is_no_token() {
    let tokens = tokens();
    let text = issued(&tokens, 7);
    for length in 0..text.len() {
        assert_eq!(tokens.open(&text.as_bytes()[..length], NOW), Err(TokenError::Malformed));
    }
    for more in ["A", "=", "==", " ", "~x", &"A".repeat(1 << 20)] {
        let longer = format!("{text}{more}");
        assert_eq!(tokens.open(longer.as_bytes(), NOW), Err(TokenError::Malformed));
    }
    for wrong in ["+", "/", "=", " ", "\0", "\u{e9}"] {
        let mut other = text.clone().into_bytes();
        other.splice(20..20 + wrong.len(), wrong.bytes());
        assert_eq!(tokens.open(&other, NOW), Err(TokenError::Malformed), "{wrong:?}");
    }
}

#[test]
fn a_token_of_another_form_is_not_read() {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let tokens = tokens();
    let mut bytes = Base64UrlUnpadded::decode_vec(&issued(&tokens, 7)).unwrap();
    for version in (0..=255).filter(|version| *version != 1) {
        bytes[0] = version;
        let text = Base64UrlUnpadded::encode_string(&bytes);
        assert_eq!(tokens.open(text.as_bytes(), NOW), Err(TokenError::Malformed), "{version}");
    }
}

#[test]
fn a_token_of_another_pool_or_another_secret_opens_nothing() {
    let text = issued(&tokens(), 7);
    for pool in ["", "we", "webs", "Web", "api"] {
        let other = Tokens::new(pool, &SECRET, IDLE).unwrap();
        assert_eq!(other.open(text.as_bytes(), NOW), Err(TokenError::Forged), "{pool}");
    }
    let mut unknown = 0;
    for n in 16..=255 {
        let other = Tokens::new("web", &[n; 16], IDLE).unwrap();
        match other.open(text.as_bytes(), NOW) {
            Err(TokenError::UnknownKey) => unknown += 1,
            Err(TokenError::Forged) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(unknown > 200, "most secrets have another number: {unknown}");
}

#[test]
fn secrets_can_be_changed_without_losing_a_session() {
    let new = [9; 16];
    let before = tokens();
    let prepared = tokens().with_old_secret(&new).unwrap();
    let changed = Tokens::new("web", &new, IDLE).unwrap().with_old_secret(&SECRET).unwrap();
    let after = Tokens::new("web", &new, IDLE).unwrap();
    let (old, young) = (issued(&before, 7), issued(&changed, 8));
    for tokens in [&before, &prepared, &changed] {
        assert_eq!(tokens.open(old.as_bytes(), NOW).unwrap().backend, BackendId::new(7));
    }
    for tokens in [&prepared, &changed, &after] {
        assert_eq!(tokens.open(young.as_bytes(), NOW).unwrap().backend, BackendId::new(8));
    }
    assert_eq!(issued(&prepared, 7), old, "an old secret seals nothing");
    assert!(after.open(old.as_bytes(), NOW).is_err());
}

#[test]
fn a_token_has_a_beginning_and_an_end() {
    let tokens = tokens();
    let text = issued(&tokens, 7);
    let open = |now| tokens.open(text.as_bytes(), now).map(|token| token.backend.get());
    for (now, expected) in [
        (0, Err(TokenError::NotYetValid)),
        (NOW - 61, Err(TokenError::NotYetValid)),
        (NOW - 60, Ok(7)),
        (NOW + 1799, Ok(7)),
        (NOW + 1800, Err(TokenError::Expired)),
        (u64::MAX, Err(TokenError::Expired)),
    ] {
        assert_eq!(open(now), expected, "{now}");
    }
}

#[test]
fn a_raised_epoch_places_everybody_anew() {
    let text = issued(&tokens().with_epoch(3), 7);
    assert!(tokens().with_epoch(3).open(text.as_bytes(), NOW).is_ok());
    assert!(
        tokens().with_epoch(2).open(text.as_bytes(), NOW).is_ok(),
        "a balancer that lags behind"
    );
    assert_eq!(tokens().with_epoch(4).open(text.as_bytes(), NOW), Err(TokenError::OldEpoch));
}

#[test]
fn while_an_epoch_is_raised_on_one_balancer_after_the_other_a_session_is_placed_anew_once() {
    let (lags, leads) = (tokens().with_epoch(3), tokens().with_epoch(4));
    let (_, mut token) = leads.issue(BackendId::new(7), NOW, None);
    for tokens in [&lags, &leads, &lags, &leads] {
        let (text, renewed) = tokens.issue(token.backend, NOW + 1, Some(&token));
        for tokens in [&lags, &leads] {
            assert_eq!(tokens.open(text.as_str().as_bytes(), NOW + 1), Ok(renewed));
        }
        token = renewed;
    }
    // Where it had no token of the new epoch, the balancer that lags makes one of the old.
    let (text, _) = lags.issue(token.backend, NOW, None);
    assert_eq!(leads.open(text.as_str().as_bytes(), NOW), Err(TokenError::OldEpoch));
}

#[test]
fn an_active_session_is_renewed_until_its_lifetime_is_over() {
    let tokens = tokens().with_lifetime(Duration::from_secs(4000)).unwrap();
    let (mut text, mut token) = tokens.issue(BackendId::new(7), NOW, None);
    let mut renewals = 0;
    for now in (NOW..NOW + 4000).step_by(100) {
        assert_eq!(tokens.open(text.as_str().as_bytes(), now), Ok(token), "{}", now - NOW);
        if tokens.needs_renewal(&token, now) {
            (text, token) = tokens.issue(token.backend, now, Some(&token));
            renewals += 1;
        }
    }
    assert_eq!((renewals, token.born), (4, NOW));
    assert_eq!(tokens.open(text.as_str().as_bytes(), NOW + 4000), Err(TokenError::Expired));
}

#[test]
fn settings_that_became_stricter_hold_for_tokens_from_before() {
    let (text, token) = tokens().issue(BackendId::new(7), NOW, None);
    let open = |tokens: &Tokens, now| tokens.open(text.as_str().as_bytes(), NOW + now);
    let shorter = Tokens::new("web", &SECRET, Duration::from_secs(100)).unwrap();
    assert_eq!(open(&shorter, 99), Ok(token));
    assert_eq!(open(&shorter, 100), Err(TokenError::Expired));
    let ends = tokens().with_lifetime(IDLE).unwrap();
    let before = Token { born: NOW - 1000, ..token };
    let (text, token) = tokens().issue(BackendId::new(7), NOW, Some(&before));
    assert_eq!(ends.open(text.as_str().as_bytes(), NOW + 799), Ok(token));
    assert_eq!(ends.open(text.as_str().as_bytes(), NOW + 800), Err(TokenError::Expired));
    // Those that became laxer do not: the client may have dropped it.
    let longer = Tokens::new("web", &SECRET, 2 * IDLE).unwrap();
    assert_eq!(longer.open(issued(&shorter, 7).as_bytes(), NOW + 100), Err(TokenError::Expired));
}

#[test]
fn a_session_that_asks_every_second_is_renewed_in_time() {
    for idle in [2, 3, 4, 5, 1800] {
        let tokens = Tokens::new("web", &SECRET, Duration::from_secs(idle)).unwrap();
        for tokens in [tokens.clone(), tokens.with_renewal(Duration::MAX)] {
            let mut token = tokens.issue(BackendId::new(7), NOW, None).1;
            for now in NOW..NOW + 3 * idle {
                assert!(token.expires > now, "idle {idle}");
                if tokens.needs_renewal(&token, now) {
                    assert!(2 * (now - token.issued) >= idle, "idle {idle}: not before half of it");
                    token = tokens.issue(token.backend, now, Some(&token)).1;
                }
            }
        }
    }
}

#[test]
fn how_long_a_session_was_idle_is_never_told_too_long() {
    let tokens = tokens().with_renewal(Duration::from_secs(60));
    let (_, mut token) = tokens.issue(BackendId::new(7), NOW, None);
    let (mut now, mut rng) = (NOW, Rng::seeded(1));
    for _ in 0..1_000 {
        let pause = u64::from(rng.below(300));
        now += pause;
        assert!(tokens.idle(&token, now) <= Duration::from_secs(pause));
        if pause > 120 {
            assert!(tokens.idle(&token, now) >= Duration::from_secs(pause - 120));
        }
        if tokens.needs_renewal(&token, now) {
            token = tokens.issue(token.backend, now, Some(&token)).1;
        }
    }
}

#[test]
fn a_token_tells_nobody_its_backend() {
    let tokens = tokens();
    let bytes = |text: &str| {
        use base64ct::{Base64UrlUnpadded, Encoding};
        Base64UrlUnpadded::decode_vec(text).unwrap()
    };
    let masked: Vec<_> = (0..64)
        .map(|n| {
            let (text, _) = tokens.issue(BackendId::new(7), NOW + n, None);
            bytes(text.as_str())[23..31].to_vec()
        })
        .collect();
    // The same backend looks another each second, and never as it is.
    for (n, one) in masked.iter().enumerate() {
        assert_ne!(one[..], 7_u64.to_be_bytes());
        assert!(!masked[..n].contains(one));
    }
    // Two backends in the same second don't tell the difference of their ids.
    let pair = [1_u64, 2].map(|n| bytes(&issued(&tokens, n))[23..31].to_vec());
    let difference: Vec<_> = pair[0].iter().zip(&pair[1]).map(|(a, b)| a ^ b).collect();
    assert_ne!(difference, (1_u64 ^ 2).to_be_bytes());
}

#[test]
fn a_session_has_a_number_of_its_own_in_all_of_its_tokens() {
    let tokens = tokens();
    let backend = BackendId::new(7);
    let [one, two] = [1, 2].map(|n| tokens.issue(backend, NOW, Some(&Token::begin(n, NOW))));
    assert_ne!(one.0, two.0, "sessions of one second and one backend are two");
    assert_eq!((one.1.born, one.1.session), (NOW, 1));
    let moved = tokens.issue(BackendId::new(8), NOW + 5, Some(&one.1)).1;
    assert_eq!((moved.born, moved.session), (NOW, 1));
}

#[test]
fn secrets_and_tokens_are_not_shown() {
    let tokens = Tokens::new("web", b"correct horse battery staple", IDLE).unwrap();
    let (text, _) = tokens.issue(BackendId::new(7), NOW, None);
    let shown = format!("{tokens:?} {text:?} {}", TokenError::Forged);
    for secret in ["correct", text.as_str(), "99, 111, 114"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let seconds = Duration::from_secs;
    let new = |secret: &[u8], idle| Tokens::new("web", secret, seconds(idle)).map(drop);
    assert_eq!(new(&[0; 15], 60), Err(TokensError::Secret));
    assert_eq!(new(&[0; 16], 1), Err(TokensError::Idle));
    assert_eq!(new(&[0; 16], u64::MAX), Err(TokensError::Idle));
    assert!(new(&[0; 16], 2).is_ok() && new(&[0; 1000], 366 * 24 * 3600).is_ok());
    let lifetime = |time| tokens().with_lifetime(seconds(time)).map(drop);
    assert_eq!(lifetime(1799), Err(TokensError::Lifetime));
    assert_eq!(lifetime(u64::MAX), Err(TokensError::Lifetime));
    assert!(lifetime(1800).is_ok());
}

proptest! {
    #[test]
    fn what_is_sealed_opens_as_it_was(
        backend in any::<u64>(),
        now in any::<u64>(),
        epoch in any::<u32>(),
        age in any::<u32>(),
        idle in 2..366 * 24 * 3600_u64,
        pool in ".{0,80}",
        secret in prop::collection::vec(any::<u8>(), 16..80),
    ) {
        let tokens = Tokens::new(&pool, &secret, Duration::from_secs(idle)).unwrap();
        let tokens = tokens.with_epoch(epoch);
        let now = now >> 24;
        let born = now.saturating_sub(u64::from(age));
        let backend = BackendId::new(backend);
        let before = Token { born, backend, ..Token::begin(age, now) };
        let (text, token) = tokens.issue(backend, now, Some(&before));
        prop_assert_eq!((token.backend, token.born), (backend, born));
        prop_assert_eq!(tokens.open(text.as_str().as_bytes(), now), Ok(token));
        prop_assert_eq!(tokens.open(text.as_str().as_bytes(), token.expires), Err(TokenError::Expired));
    }

    #[test]
    fn nothing_else_opens(text in prop::collection::vec(any::<u8>(), 0..80), now in any::<u64>()) {
        prop_assert!(tokens().open(&text, now).is_err());
    }

    #[test]
    fn nothing_else_of_the_right_alphabet_opens(text in "[A-Za-z0-9_-]{63}", now in any::<u64>()) {
        prop_assert!(tokens().open(text.as_bytes(), now).is_err());
    }
}
