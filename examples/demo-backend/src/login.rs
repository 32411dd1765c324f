//! The login app: `/app` for a person with a browser, `/login`, `/me` and `/logout` for curl.
//!
//! Its session is a plain cookie, as most applications have it: nothing in it says which backend made it.

mod page;

use std::sync::atomic::Ordering::Relaxed;

use cookie::Cookie;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CACHE_CONTROL, COOKIE, HeaderValue, LOCATION, SET_COOKIE};
use hyper::{HeaderMap, Request, StatusCode};

use crate::answer::{Answer, line};
use crate::app::App;
use crate::body;
use crate::down::Down;
use crate::query;
use crate::sessions::{SessionId, UserName, Visit};

const COOKIE_NAME: &str = "session";
/// No `Secure`: it is served over HTTP. `Lax` keeps other sites' forms from logging anybody out.
const ATTRIBUTES: &str = "Path=/; HttpOnly; SameSite=Lax";

/// Longest body of a form.
const MAX_FORM: usize = 4096;

const HOME: &str = "/app";

/// `GET /app`: who is logged in, or the form to log in.
pub(crate) async fn show(app: &App, headers: &HeaderMap) -> Answer {
    app.served.fetch_add(1, Relaxed);
    match visit(app, headers).await {
        Ok(visit) => no_store(page::page(app, visit.as_ref(), session_of(headers).is_some())),
        Err(down) => unavailable(app, &down),
    }
}

/// `GET /me`: the same in a line.
pub(crate) async fn me(app: &App, headers: &HeaderMap) -> Answer {
    app.served.fetch_add(1, Relaxed);
    no_store(match visit(app, headers).await {
        Ok(Some(Visit { user, number })) => {
            app.says(StatusCode::OK, &format!("{user}, visit {number}"))
        }
        Ok(None) => app.says(StatusCode::UNAUTHORIZED, "nobody is logged in here"),
        Err(down) => return unavailable(app, &down),
    })
}

/// `POST /login`, with a form `user=NAME`: begins a session, whose id is new whatever cookie came with it, and
/// ends the one before.
pub(crate) async fn log_in(app: &App, request: Request<Incoming>) -> Answer {
    app.served.fetch_add(1, Relaxed);
    let (head, body) = request.into_parts();
    let form = match body::read(body, MAX_FORM, "a form").await {
        Ok(form) => form,
        Err(refusal) => return refusal,
    };
    let user = match user_of(&form) {
        Ok(user) => user,
        Err(wrong) => return line(StatusCode::BAD_REQUEST, wrong),
    };
    let id = match app.sessions.begin(&user).await {
        Ok(id) => id,
        Err(down) => return unavailable(app, &down),
    };
    if let Some(before) = session_of(&head.headers)
        && let Err(down) = app.sessions.end(before).await
    {
        return unavailable(app, &down);
    }
    done(app, &head.headers, &format!("{user} is logged in"), &id.to_hex(), ATTRIBUTES)
}

/// `POST /logout`: ends the session, and the cookie.
pub(crate) async fn log_out(app: &App, headers: &HeaderMap) -> Answer {
    app.served.fetch_add(1, Relaxed);
    if let Some(id) = session_of(headers)
        && let Err(down) = app.sessions.end(id).await
    {
        return unavailable(app, &down);
    }
    done(app, headers, "logged out", "", &format!("Max-Age=0; {ATTRIBUTES}"))
}

fn user_of(form: &[u8]) -> Result<UserName, String> {
    let form = str::from_utf8(form).map_err(|_| "the form is not UTF-8".to_owned())?;
    let [user] = query::values(Some(form), ["user"])?;
    user.unwrap_or_default().parse()
}

async fn visit(app: &App, headers: &HeaderMap) -> Result<Option<Visit>, Down> {
    match session_of(headers) {
        Some(id) => app.sessions.visit(id).await,
        None => Ok(None),
    }
}

/// What the first cookie of our name says, if it can be an id at all.
fn session_of(headers: &HeaderMap) -> Option<SessionId> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies = lines.flat_map(Cookie::split_parse).filter_map(Result::ok);
    let session = { cookies }.find(|cookie| cookie.name() == COOKIE_NAME)?;
    SessionId::from_hex(session.value())
}

/// A browser goes back to its page, where a reload sends no form again; curl gets a line.
fn done(app: &App, headers: &HeaderMap, text: &str, session: &str, attributes: &str) -> Answer {
    let cookie = format!("{COOKIE_NAME}={session}; {attributes}");
    let cookie = match HeaderValue::try_from(cookie) {
        Ok(cookie) => cookie,
        Err(error) => return line(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_browser = accept.is_some_and(|accept| accept.contains("text/html"));
    let status = if is_browser { StatusCode::SEE_OTHER } else { StatusCode::OK };
    let mut answer = app.says(status, text);
    answer.headers_mut().insert(SET_COOKIE, cookie);
    if is_browser {
        answer.headers_mut().insert(LOCATION, HeaderValue::from_static(HOME));
    }
    no_store(answer)
}

fn unavailable(app: &App, down: &Down) -> Answer {
    let text = format!("no session can be had: {down}");
    no_store(app.says(StatusCode::SERVICE_UNAVAILABLE, &text))
}

/// What is one user's must not come out of a cache for another, the cookie least of all.
fn no_store(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
