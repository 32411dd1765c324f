//! Tokens: the name of a backend, sealed, for a client to keep.
//!
//! A client can neither read a token nor make one, and a balancer needs no table to open it: any number
//! of balancers agree as long as they have the same secret.
//!
//! # What is in a token
//! 47 bytes, written in the URL-safe alphabet of RFC 4648, section 5, without padding: 63 characters.
//! Numbers have their most significant byte first.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the version of this form: 1 |
//! | 1 | which key sealed it |
//! | 4 | the epoch |
//! | 5 | when it was issued, in seconds since 1970 |
//! | 4 | how old the session was then, in seconds |
//! | 4 | how long the token lives, in seconds |
//! | 4 | the number of the session |
//! | 8 | the backend's id, masked |
//! | 16 | the tag |
//!
//! With `H(k, m)` for HMAC-SHA-256 and the secret `s`:
//! * the key's number is the first byte of `H(s, "equipoise token 1 number")`;
//! * the tag is the first 16 bytes of `H(H(s, "equipoise token 1 tag"), m)`, where `m` is the first 23
//!   bytes of the token, the backend's id as it is, and the pool's name;
//! * the mask is the first 8 bytes of `H(H(s, "equipoise token 1 mask"), tag)`.
//!
//! The mask follows from the tag, and the tag from all that is sealed: the construction of SIV (Rogaway
//! and Shrimpton, 2006; RFC 5297). It needs no nonce. Two tokens tell that their backends are the same
//! only if they are the same token.
//!
//! # What it is good for, and what not
//! A token can be sent again, by whoever has it: until it expires it sends its sender to one backend, as
//! any client may ask for by coming again until it is sent there. It gives no access to anything: that
//! is up to the application's own session. Another host of the same domain, or whoever is in the middle
//! of a plain connection, may set its own token as somebody else's cookie, and have that client sent to
//! the same backend; a cookie whose name begins with `__Host-` they can't set.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use equipoise_core::BackendId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

type HmacSha256 = Hmac<Sha256>;

/// What a token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// Which backend has the session.
    pub backend: BackendId,
    /// The pool's epoch when it was issued.
    pub epoch: u32,
    /// When the session began, in seconds since 1970.
    pub born: u64,
    /// When the token was issued, in seconds since 1970.
    pub issued: u64,
    /// When it expires, in seconds since 1970.
    pub expires: u64,
    /// The number of the session, the same in all of its tokens: what tells it from the others of its
    /// backend.
    pub session: u32,
}

impl Token {
    /// A session that begins now and has no backend yet: what [`Tokens::issue`] takes in place of a token
    /// before. Draw `session` at random.
    pub const fn begin(session: u32, now: u64) -> Self {
        let backend = BackendId::new(0);
        Self { backend, epoch: 0, born: now, issued: now, expires: now, session }
    }
}

/// Why a token is of no use. None of them tells what was in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TokenError {
    /// It has not the form of a token.
    Malformed,
    /// It was sealed under a secret that is not known, or not any more.
    UnknownKey,
    /// It was not sealed here: it is forged, damaged, or of another pool.
    Forged,
    /// It was issued later than now: a clock is wrong by more than a minute.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// It is from before the pool's epoch was raised.
    OldEpoch,
}

/// Why there are no tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TokensError {
    /// `secret` is shorter than 16 bytes.
    Secret,
    /// `idle` is shorter than 2 s or longer than a year.
    Idle,
    /// `lifetime` is shorter than `idle`, or longer than ten years.
    Lifetime,
}

/// Seals and opens the tokens of one pool.
///
/// ```
/// use core::time::Duration;
/// use equipoise_core::BackendId;
/// use equipoise_sticky::affinity::token::{TokenError, Tokens};
///
/// let secret = [7; 16]; // from a random source, and the same for all balancers
/// let tokens = Tokens::new("web", &secret, Duration::from_secs(1800))?;
/// let (backend, now) = (BackendId::named("10.0.0.1:80"), 1_800_000_000);
/// let (text, token) = tokens.issue(backend, now, None);
/// assert_eq!(tokens.open(text.as_str().as_bytes(), now + 60), Ok(token));
/// assert_eq!(token.backend, backend);
///
/// assert_eq!(tokens.open(text.as_str().as_bytes(), now + 1800), Err(TokenError::Expired));
/// let other = Tokens::new("api", &secret, Duration::from_secs(1800))?;
/// assert_eq!(other.open(text.as_str().as_bytes(), now), Err(TokenError::Forged));
/// # Ok::<(), equipoise_sticky::affinity::token::TokensError>(())
/// ```
///
/// # Rotation
/// To change the secret: first add the new one to all balancers as an old one, so that all can open
/// what the others seal; then make it the first, with the one before as an old one; and drop that when
/// its last token has expired.
///
/// # Complexity
/// To issue or to open one: two HMACs of one or two blocks each, well below a microsecond where the
/// processor has instructions for SHA-256. Nothing is allocated. What is longer than a token is not read.
#[derive(Clone)]
pub struct Tokens {
    pool: String,
    /// The first one seals.
    keys: Vec<Key>,
    idle: u64,
    lifetime: u64,
    renewal: u64,
    epoch: u32,
}

/// The keys that follow from a secret.
#[derive(Clone)]
struct Key {
    number: u8,
    tag: HmacSha256,
    mask: HmacSha256,
}

/// How far the clocks of balancers may be apart, in seconds.
const SKEW: u64 = 60;
const VERSION: u8 = 1;
/// All before the backend's id.
const HEAD: usize = 23;
const ID: usize = 8;
const TAG: usize = 16;
const BYTES: usize = HEAD + ID + TAG;
const TEXT: usize = 63;
const YEAR: u64 = 366 * 24 * 3600;

impl Tokens {
    /// Tokens of the pool of this name, which die when nobody has asked for `idle`: 2 s to a year.
    ///
    /// # Errors
    /// [`TokensError::Secret`], [`TokensError::Idle`].
    pub fn new(pool: &str, secret: &[u8], idle: Duration) -> Result<Self, TokensError> {
        let idle = idle.as_secs();
        if !(2..=YEAR).contains(&idle) {
            return Err(TokensError::Idle);
        }
        let (keys, renewal) = (alloc::vec![Key::new(secret)?], latest_renewal(idle));
        Ok(Self { pool: pool.to_owned(), keys, idle, lifetime: u64::MAX, renewal, epoch: 0 })
    }

    /// Opens tokens of another secret too, and seals none under it.
    ///
    /// # Errors
    /// [`TokensError::Secret`].
    pub fn with_old_secret(mut self, secret: &[u8]) -> Result<Self, TokensError> {
        self.keys.push(Key::new(secret)?);
        Ok(self)
    }

    /// Ends sessions after this time, whatever they ask: `idle` to ten years.
    ///
    /// # Errors
    /// [`TokensError::Lifetime`].
    pub fn with_lifetime(mut self, lifetime: Duration) -> Result<Self, TokensError> {
        let lifetime = lifetime.as_secs();
        if !(self.idle..=10 * YEAR).contains(&lifetime) {
            return Err(TokensError::Lifetime);
        }
        self.lifetime = lifetime;
        Ok(self)
    }

    /// Renews a token when it is older than this, in seconds, or when it has half of `idle` behind it, the
    /// default.
    /// The smaller, the better is known how long a session has asked nothing, and the more often
    /// clients are sent a cookie.
    pub const fn with_renewal(mut self, after: Duration) -> Self {
        let after = after.as_secs();
        let latest = latest_renewal(self.idle);
        self.renewal = if after < latest { after } else { latest };
        self
    }

    /// Takes no token of an earlier epoch. Raise it to have all sessions placed anew, on one balancer
    /// after the other: what one that lags issues in place of a newer token is of the newer epoch too.
    pub const fn with_epoch(mut self, epoch: u32) -> Self {
        self.epoch = epoch;
        self
    }

    /// Makes a token; one that takes the place of `before` is of the same session, and does not make it
    /// any younger. `now` is in seconds since 1970.
    ///
    /// For a session that begins, `before` is [`Token::begin`] with a random number, if anybody is to tell
    /// it from the others of the same second, as [`surplus`](crate::surplus) does; else `None`.
    pub fn issue(
        &self,
        backend: BackendId,
        now: u64,
        before: Option<&Token>,
    ) -> (SealedToken, Token) {
        let now = now.min(MAX_TIME);
        let oldest = now.saturating_sub(u64::from(u32::MAX));
        let born = before.map_or(now, |before| before.born.clamp(oldest, now));
        let end = born.saturating_add(self.lifetime);
        let expires = now.saturating_add(self.idle).min(end).max(now);
        // A balancer that has not heard of a new epoch does not take sessions back to the old one.
        let epoch = before.map_or(self.epoch, |before| before.epoch.max(self.epoch));
        let session = before.map_or(0, |before| before.session);
        let token = Token { backend, epoch, born, issued: now, expires, session };
        (self.seal(&token), token)
    }

    fn seal(&self, token: &Token) -> SealedToken {
        let mut text = [b'A'; TEXT];
        let Some(key) = self.keys.first() else { return SealedToken(text) };
        let head = Head::of(token, key.number).to_bytes();
        let id = token.backend.get().to_be_bytes();
        let tag = key.tag(&head, id, &self.pool);
        let masked = xor(id, key.mask(&tag));
        let mut bytes = [0; BYTES];
        let parts = [&head[..], &masked, &tag];
        bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        // It fits: 47 bytes are 63 characters.
        let _ = Base64UrlUnpadded::encode(&bytes, &mut text);
        SealedToken(text)
    }

    /// Opens what a client sent. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`TokenError`]: then the client has no session.
    pub fn open(&self, text: &[u8], now: u64) -> Result<Token, TokenError> {
        let mut bytes = [0; BYTES];
        if text.len() != TEXT {
            return Err(TokenError::Malformed);
        }
        let decoded = Base64UrlUnpadded::decode(text, &mut bytes);
        if decoded.map_err(|_| TokenError::Malformed)?.len() != BYTES {
            return Err(TokenError::Malformed);
        }
        let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(TokenError::Malformed)?;
        let (masked, tag) = rest.split_first_chunk::<ID>().ok_or(TokenError::Malformed)?;
        let tag: &[u8; TAG] = tag.first_chunk().ok_or(TokenError::Malformed)?;
        let fields = Head::from_bytes(head);
        if fields.version != VERSION {
            return Err(TokenError::Malformed);
        }
        let mut wrong = TokenError::UnknownKey;
        for key in self.keys.iter().filter(|key| key.number == fields.key) {
            let id = xor(*masked, key.mask(tag));
            if key.is_tag(tag, head, id, &self.pool) {
                return self.judge(fields.token(BackendId::new(u64::from_be_bytes(id))), now);
            }
            wrong = TokenError::Forged;
        }
        Err(wrong)
    }

    fn judge(&self, token: Token, now: u64) -> Result<Token, TokenError> {
        if token.epoch < self.epoch {
            Err(TokenError::OldEpoch)
        } else if token.issued > now.saturating_add(SKEW) {
            Err(TokenError::NotYetValid)
        } else if token.expires <= now || self.is_over(&token, now) {
            Err(TokenError::Expired)
        } else {
            Ok(token)
        }
    }

    /// Whether it is too old for these settings, which may be stricter than those it was issued by.
    const fn is_over(&self, token: &Token, now: u64) -> bool {
        now.saturating_sub(token.issued) >= self.idle
            || now.saturating_sub(token.born) >= self.lifetime
    }

    /// Whether the client should get a new one, so that an active session does not expire.
    pub fn needs_renewal(&self, token: &Token, now: u64) -> bool {
        now.saturating_sub(token.issued) > self.renewal
    }

    /// How long the session has asked nothing, at least: had it asked while its token was old, it would
    /// have a newer one. So this is true only if the client is sent a new one whenever it
    /// [needs it](Self::needs_renewal), which a token [in front of another
    /// cookie](super::cookie::prefix) is not: of that it is the age.
    pub fn idle(&self, token: &Token, now: u64) -> Duration {
        Duration::from_secs(now.saturating_sub(token.issued).saturating_sub(self.renewal))
    }
}

impl fmt::Debug for Tokens {
    /// Shows nothing of the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("pool", &self.pool)
            .field("secrets", &self.keys.len())
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Key {
    fn new(secret: &[u8]) -> Result<Self, TokensError> {
        if secret.len() < 16 {
            return Err(TokensError::Secret);
        }
        let derive = |label: &[u8]| {
            let mac = HmacSha256::new_from_slice(secret).map_err(|_| TokensError::Secret)?;
            Ok(mac.chain_update(label).finalize().into_bytes())
        };
        let keyed = |label: &[u8]| {
            HmacSha256::new_from_slice(&derive(label)?).map_err(|_| TokensError::Secret)
        };
        let number = derive(b"equipoise token 1 number")?.first().copied().unwrap_or_default();
        let tag = keyed(b"equipoise token 1 tag")?;
        Ok(Self { number, tag, mask: keyed(b"equipoise token 1 mask")? })
    }

    fn tag_of(&self, head: &[u8; HEAD], id: [u8; ID], pool: &str) -> HmacSha256 {
        self.tag.clone().chain_update(head).chain_update(id).chain_update(pool)
    }

    fn tag(&self, head: &[u8; HEAD], id: [u8; ID], pool: &str) -> [u8; TAG] {
        first(&self.tag_of(head, id, pool).finalize().into_bytes())
    }

    /// In a time that does not tell how much of it is right.
    fn is_tag(&self, tag: &[u8; TAG], head: &[u8; HEAD], id: [u8; ID], pool: &str) -> bool {
        self.tag_of(head, id, pool).verify_truncated_left(tag).is_ok()
    }

    fn mask(&self, tag: &[u8; TAG]) -> [u8; ID] {
        first(&self.mask.clone().chain_update(tag).finalize().into_bytes())
    }
}

/// A token that is older than this has at least half of `idle` behind it, and does not expire yet.
const fn latest_renewal(idle: u64) -> u64 {
    idle.saturating_sub(1) / 2
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

fn xor(mut a: [u8; ID], b: [u8; ID]) -> [u8; ID] {
    a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
    a
}

/// The latest time that five bytes can tell: the year 36,812.
const MAX_TIME: u64 = (1 << 40) - 1;

/// What stands before the backend's id.
#[derive(Clone, Copy)]
struct Head {
    version: u8,
    key: u8,
    epoch: u32,
    issued: u64,
    age: u32,
    life: u32,
    session: u32,
}

impl Head {
    fn of(token: &Token, key: u8) -> Self {
        let short = |time: u64| u32::try_from(time).unwrap_or(u32::MAX);
        Self {
            version: VERSION,
            key,
            epoch: token.epoch,
            issued: token.issued,
            age: short(token.issued.saturating_sub(token.born)),
            life: short(token.expires.saturating_sub(token.issued)),
            session: token.session,
        }
    }

    fn token(self, backend: BackendId) -> Token {
        let Self { epoch, issued, age, life, session, .. } = self;
        let born = issued.saturating_sub(u64::from(age));
        Token {
            backend,
            epoch,
            born,
            issued,
            expires: issued.saturating_add(u64::from(life)),
            session,
        }
    }

    fn to_bytes(self) -> [u8; HEAD] {
        let [e0, e1, e2, e3] = self.epoch.to_be_bytes();
        let [_, _, _, i0, i1, i2, i3, i4] = self.issued.to_be_bytes();
        let [a0, a1, a2, a3] = self.age.to_be_bytes();
        let [l0, l1, l2, l3] = self.life.to_be_bytes();
        let [s0, s1, s2, s3] = self.session.to_be_bytes();
        let (v, k) = (self.version, self.key);
        [v, k, e0, e1, e2, e3, i0, i1, i2, i3, i4, a0, a1, a2, a3, l0, l1, l2, l3, s0, s1, s2, s3]
    }

    fn from_bytes(bytes: &[u8; HEAD]) -> Self {
        let [
            v,
            k,
            e0,
            e1,
            e2,
            e3,
            i0,
            i1,
            i2,
            i3,
            i4,
            a0,
            a1,
            a2,
            a3,
            l0,
            l1,
            l2,
            l3,
            s0,
            s1,
            s2,
            s3,
        ] = *bytes;
        Self {
            version: v,
            key: k,
            epoch: u32::from_be_bytes([e0, e1, e2, e3]),
            issued: u64::from_be_bytes([0, 0, 0, i0, i1, i2, i3, i4]),
            age: u32::from_be_bytes([a0, a1, a2, a3]),
            life: u32::from_be_bytes([l0, l1, l2, l3]),
            session: u32::from_be_bytes([s0, s1, s2, s3]),
        }
    }
}

/// A token as a client keeps it: 63 characters that a cookie, a header or a URL may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealedToken([u8; TEXT]);

impl SealedToken {
    /// How long it is, in bytes.
    pub const LEN: usize = TEXT;

    /// The text.
    pub fn as_str(&self) -> &str {
        // It is ASCII.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for SealedToken {
    /// Whoever has it can use it, so it is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedToken")
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "no token",
            Self::UnknownKey => "a token under a secret that is not known",
            Self::Forged => "a token that was not sealed here, or for another pool",
            Self::NotYetValid => "a token from the future: clocks disagree",
            Self::Expired => "a token that has expired",
            Self::OldEpoch => "a token of an earlier epoch",
        })
    }
}

impl core::error::Error for TokenError {}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "secret: shorter than 16 bytes",
            Self::Idle => "idle: out of range; allowed are 2 s to a year",
            Self::Lifetime => "lifetime: out of range; allowed are idle to ten years",
        })
    }
}

impl core::error::Error for TokensError {}
