//! The session of a request: what it brought in its headers, and what its client is told.

use equipoise_core::{BackendId, Clock, Pin, PinOutcome};
use equipoise_sticky::affinity::cache_guard;
use equipoise_sticky::affinity::cookie::{self, Edit, learn, prefix};
use equipoise_sticky::affinity::route;
use equipoise_sticky::affinity::token::{Token, Tokens};
use hyper::header::{CACHE_CONTROL, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use hyper::http::request::Parts;
use proxy_kit::clock::{Monotonic, unix_seconds};
use proxy_kit::sticky::{Brought, By, Session, Sticky, Way};

use crate::seen::Ends;

/// The session of one request.
#[derive(Debug)]
pub(crate) struct Affinity<'a> {
    sticky: &'a Sticky,
    /// To pick by.
    pub(crate) session: Session<'a>,
    /// What it brought, if it opens.
    token: Option<Token>,
}

impl<'a> Affinity<'a> {
    /// Reads what a request brings, and takes out of it what only concerns this proxy.
    pub(crate) fn read(sticky: &'a Sticky, ends: Ends, head: &mut Parts) -> Self {
        let mut token = None;
        let brought = match &sticky.way {
            Way::Token { tokens, cookie, is_prefix } => {
                let name = cookie.name();
                let (brought, opened) = if *is_prefix {
                    sealed(tokens, prefix::tokens(lines(&head.headers, &COOKIE), name))
                } else {
                    let sent = sealed(tokens, cookie::values(lines(&head.headers, &COOKIE), name));
                    (unless_empty(sent.0, head, name), sent.1)
                };
                let edit = if *is_prefix { prefix::strip } else { cookie::without };
                edit_lines(&mut head.headers, &COOKIE, |line| edit(line, name));
                token = opened;
                brought
            }
            Way::Route { name, routes } => {
                let in_cookies = cookie::values(lines(&head.headers, &COOKIE), name);
                let uri = head.uri.path_and_query().map_or("", |target| target.as_str());
                let mut pin = Pin::Absent;
                for id in in_cookies.chain(route::id_in_uri(uri.as_bytes(), name)) {
                    // As the end of a session id, or alone, as nginx takes it.
                    let alone = || std::str::from_utf8(id).ok().and_then(|id| routes.get(id));
                    let of_id = route::of_id(id).and_then(|route| routes.get(route));
                    pin = of_id.or_else(alone).map_or(Pin::Unusable, |backend| Pin::To(*backend));
                    if pin != Pin::Unusable {
                        break;
                    }
                }
                unless_empty(Brought { pin, ..Brought::default() }, head, name)
            }
            Way::Table { by: By::Cookie(name), hasher } => {
                let id = cookie::values(lines(&head.headers, &COOKIE), name).next();
                // It is for the application to say whether this is a session.
                let pin = if id.is_some() { Pin::Unusable } else { Pin::Absent };
                let brought = Brought::keyed(id.and_then(|id| hasher.key(id)), false);
                unless_empty(Brought { pin, ..brought }, head, name)
            }
            Way::Table { by: By::Header(name), hasher } => {
                let id = head.headers.get(name).map(HeaderValue::as_bytes);
                let brought = Brought::keyed(id.and_then(|id| hasher.key(id)), true);
                // One that is empty is of no use.
                let pin =
                    if id.is_some() && brought.key.is_none() { Pin::Unusable } else { Pin::Absent };
                Brought { pin, ..brought }
            }
            Way::Table { by: By::Client(_), .. } => sticky.of_client(Some(ends.client)),
        };
        Self { sticky, session: sticky.pins.session(brought), token }
    }

    /// A backend has answered: tells the client what it has to know, and the table what it has not known.
    pub(crate) async fn answer(
        &self,
        headers: &mut HeaderMap,
        backend: BackendId,
        clock: Monotonic,
    ) -> Option<PinOutcome> {
        if let Some(name) = &self.sticky.report {
            // No backend's word is ours.
            headers.remove(name);
        }
        let outcome = self.session.outcome()?;
        let gave = match &self.sticky.way {
            Way::Token { tokens, .. } => self.seal(tokens, headers, backend, outcome),
            Way::Table { by: By::Cookie(name), hasher } => {
                let change = learn::change(lines(headers, &SET_COOKIE), name, unix_seconds());
                let now = clock.now();
                match change {
                    Some(learn::Change::Set(id)) => {
                        // A session that is elsewhere for once is still at home, if it is that one.
                        let visits = outcome == PinOutcome::Held;
                        if let Some(key) = hasher.key(id)
                            && !(visits && self.session.has(&key))
                        {
                            self.sticky.pins.learn(&key, backend, now).await;
                        }
                        true
                    }
                    Some(learn::Change::Deleted) => {
                        self.session.forget(now).await;
                        false
                    }
                    None => false,
                }
            }
            Way::Table { .. } => self.session.has_key(),
            Way::Route { .. } => false,
        };
        // One that has no session now either had nothing to come of.
        if outcome == PinOutcome::New && !gave {
            return None;
        }
        self.session.settle(Some(backend));
        report(self.sticky, headers, outcome);
        Some(outcome)
    }

    /// No backend has answered.
    pub(crate) fn refused(&self, headers: &mut HeaderMap) -> Option<PinOutcome> {
        let outcome = self.session.settle(None)?;
        report(self.sticky, headers, outcome);
        Some(outcome)
    }

    /// Gives the client a token, if it needs one. Says whether it did.
    fn seal(
        &self,
        tokens: &Tokens,
        headers: &mut HeaderMap,
        backend: BackendId,
        outcome: PinOutcome,
    ) -> bool {
        let Way::Token { cookie, is_prefix, .. } = &self.sticky.way else { return false };
        let now = unix_seconds();
        let is_old = self.token.is_some_and(|token| tokens.needs_renewal(&token, now));
        let sets =
            if *is_prefix { headers.contains_key(SET_COOKIE) } else { outcome.pins() || is_old };
        if !sets {
            return false;
        }
        // A session that is elsewhere for once is still at home; but what the application sets there is of
        // another session.
        let home = match (outcome, &self.token) {
            (PinOutcome::Held, Some(token)) if !is_prefix => token.backend,
            _ => backend,
        };
        // Without randomness all sessions of a backend are one to those who move them, and as good to all
        // others.
        let begins = || Token::begin(getrandom::u32().unwrap_or_default(), now);
        let (text, token) = tokens.issue(home, now, Some(&self.token.unwrap_or_else(begins)));
        let gave = if *is_prefix {
            edit_lines(headers, &SET_COOKIE, |line| prefix::add(line, cookie.name(), &text))
        } else {
            let value = HeaderValue::try_from(cookie.value(&text, &token));
            value.map(|value| headers.append(SET_COOKIE, value)).is_ok()
        };
        if gave {
            keep_private(headers);
        }
        gave
    }
}

/// A cookie that is sent empty is no new client's.
fn unless_empty(brought: Brought, head: &Parts, name: &str) -> Brought {
    let is_empty =
        brought.pin == Pin::Absent && cookie::is_sent(lines(&head.headers, &COOKIE), name);
    if is_empty { Brought { pin: Pin::Unusable, ..brought } } else { brought }
}

/// What tokens bring, of which the first that opens counts.
fn sealed<'a>(tokens: &Tokens, texts: impl Iterator<Item = &'a [u8]>) -> (Brought, Option<Token>) {
    let now = unix_seconds();
    let open = |text: &'a [u8]| tokens.open(text, now).ok();
    let found = cookie::first_that_opens(texts, open);
    let Some(token) = found.opened else {
        let pin = if found.refused > 0 { Pin::Unusable } else { Pin::Absent };
        return (Brought { pin, ..Brought::default() }, None);
    };
    let (pin, idle) = (Pin::To(token.backend), tokens.idle(&token, now));
    let number = u64::from(token.session);
    (Brought { pin, idle, number, ..Brought::default() }, Some(token))
}

fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

/// Says whether anything has changed.
fn edit_lines(
    headers: &mut HeaderMap,
    name: &HeaderName,
    mut edit: impl FnMut(&[u8]) -> Edit,
) -> bool {
    let edits: Vec<_> = lines(headers, name).map(&mut edit).collect();
    if edits.iter().all(|edit| *edit == Edit::Kept) {
        return false;
    }
    let before: Vec<_> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    for (line, edit) in before.into_iter().zip(edits) {
        let line = match edit {
            Edit::Kept => Some(line),
            // It is a part of what was a value, or a token of ours was added.
            Edit::Changed(line) => HeaderValue::from_bytes(&line).ok(),
            Edit::Dropped => None,
        };
        if let Some(line) = line {
            headers.append(name, line);
        }
    }
    true
}

/// No shared cache may store a response with a client's token in it, and send it to others.
fn keep_private(headers: &mut HeaderMap) {
    let guarded = cache_guard::private(lines(headers, &CACHE_CONTROL));
    if let Ok(value) = HeaderValue::from_bytes(&guarded) {
        headers.insert(CACHE_CONTROL, value);
    }
    let overrule: Vec<_> =
        headers.keys().filter(|name| cache_guard::overrules(name.as_str())).cloned().collect();
    for name in overrule {
        headers.remove(name);
    }
}

fn report(sticky: &Sticky, headers: &mut HeaderMap, outcome: PinOutcome) {
    if let Some(name) = &sticky.report {
        headers.insert(name, HeaderValue::from_static(outcome.name()));
    }
}
