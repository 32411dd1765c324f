//! From a request that may be made to its answer.

use std::net::SocketAddr;

use equipoise_core::Weight;
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::{ActError, Action, BackendReport, PoolReport, Pools, UdpReport};
use crate::backend::parse_weight;

/// What of a request decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) body: &'a [u8],
    /// Where the server listens, for the examples.
    pub(super) local: SocketAddr,
}

/// An answer.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    /// The methods that the path has, if this was none of them.
    pub(super) allow: Option<&'static str>,
    pub(super) text: String,
}

const READ: &str = "GET, HEAD";
const WRITE: &str = "POST";

/// What can be done to a backend. No backend has such a name: theirs have a port.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Drain,
    Enable,
    Disable,
    Weight,
    Unpin,
}

impl Verb {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "drain" => Self::Drain,
            "enable" => Self::Enable,
            "disable" => Self::Disable,
            "weight" => Self::Weight,
            "unpin" => Self::Unpin,
            _ => return None,
        })
    }
}

impl Reply {
    /// Text, to which the newline is added.
    pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        let text = text.into() + "\n";
        Self { status, content_type: "text/plain; charset=utf-8", allow: None, text }
    }

    fn json(value: &impl Serialize) -> Self {
        match serde_json::to_string_pretty(value) {
            Ok(text) => {
                let (status, text) = (StatusCode::OK, text + "\n");
                Self { status, content_type: "application/json", allow: None, text }
            }
            Err(error) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    fn not_allowed(allow: &'static str) -> Self {
        let text = format!("this path takes {allow}");
        Self { allow: Some(allow), ..Self::text(StatusCode::METHOD_NOT_ALLOWED, text) }
    }
}

/// Answers a request that may be made.
pub(super) fn answer(pools: &dyn Pools, asked: Asked<'_>) -> Reply {
    find(pools, asked).unwrap_or_else(|reply| reply)
}

fn find(pools: &dyn Pools, asked: Asked<'_>) -> Result<Reply, Reply> {
    let segments = segments(asked.path)?;
    let segments: Vec<_> = segments.iter().map(String::as_str).collect();
    let names = match segments.as_slice() {
        [] => {
            needs(asked.method, READ)?;
            return Ok(Reply::text(StatusCode::OK, help(pools, asked.local)));
        }
        ["udp"] => {
            let listeners = pools.udp().ok_or_else(|| nothing_here(pools, asked.local))?;
            needs(asked.method, READ)?;
            return Ok(Reply::json(&AllUdp { listeners }));
        }
        ["backends", names @ ..] => names,
        _ => return Err(nothing_here(pools, asked.local)),
    };
    let verb = |name: &&str| Verb::named(name);
    match (names, names.last().and_then(verb).filter(|_| names.len() > 1)) {
        ([names @ .., _], Some(verb)) if names.len() <= 2 => {
            needs(asked.method, WRITE)?;
            let reports = pools.report();
            let (pool, backend) = match names {
                [pool, name] => backend_of(pool_named(&reports, pool)?, name)?,
                [name, ..] => backend_of(the_one_pool(&reports)?, name)?,
                [] => return Err(nothing_here(pools, asked.local)),
            };
            let action = action(verb, asked)?;
            act(pools, &pool.name, &backend.name, action)
        }
        ([] | [_] | [_, _], None) => {
            needs(asked.method, READ)?;
            let reports = pools.report();
            match names {
                [] => Ok(Reply::json(&All { pools: &reports })),
                [name] => match (pool_named(&reports, name), reports.as_slice()) {
                    (Ok(pool), _) => Ok(Reply::json(pool)),
                    (Err(_), [only]) => backend_of(only, name).map(|(_, it)| Reply::json(it)),
                    (Err(unknown), _) => Err(unknown),
                },
                [pool, name, ..] => {
                    let (_, backend) = backend_of(pool_named(&reports, pool)?, name)?;
                    Ok(Reply::json(backend))
                }
            }
        }
        _ => Err(nothing_here(pools, asked.local)),
    }
}

#[derive(Serialize)]
struct All<'a> {
    pools: &'a [PoolReport],
}

#[derive(Serialize)]
struct AllUdp {
    listeners: Vec<UdpReport>,
}

/// The parts of the path, decoded: the brackets of an IPv6 address may be written as `%5B`, `%5D`.
fn segments(path: &str) -> Result<Vec<String>, Reply> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let decode = |part: &str| percent_decode_str(part).decode_utf8().map(String::from);
    let wrong = |_| Reply::text(StatusCode::BAD_REQUEST, "the path is not UTF-8");
    path.split('/').map(decode).collect::<Result<_, _>>().map_err(wrong)
}

fn needs(method: &Method, allow: &'static str) -> Result<(), Reply> {
    let is_allowed = allow.split(", ").any(|allowed| method.as_str() == allowed);
    if is_allowed { Ok(()) } else { Err(Reply::not_allowed(allow)) }
}

fn pool_named<'a>(pools: &'a [PoolReport], name: &str) -> Result<&'a PoolReport, Reply> {
    pools.iter().find(|pool| pool.name == name).ok_or_else(|| {
        let names = list(pools.iter().map(|pool| pool.name.as_str()));
        let text = format!("no pool `{}`; there are: {names}", shown(name));
        Reply::text(StatusCode::NOT_FOUND, text)
    })
}

fn the_one_pool(pools: &[PoolReport]) -> Result<&PoolReport, Reply> {
    if let [only] = pools {
        return Ok(only);
    }
    let names = list(pools.iter().map(|pool| pool.name.as_str()));
    let text = format!("which pool? say /backends/POOL/NAME/...; there are: {names}");
    Err(Reply::text(StatusCode::NOT_FOUND, text))
}

fn backend_of<'a>(
    pool: &'a PoolReport,
    name: &str,
) -> Result<(&'a PoolReport, &'a BackendReport), Reply> {
    let found = pool.backends.iter().find(|backend| backend.name == name);
    let backend = found.ok_or_else(|| {
        let names = list(pool.backends.iter().map(|backend| backend.name.as_str()));
        let text =
            format!("no backend `{}` in pool `{}`; there are: {names}", shown(name), pool.name);
        Reply::text(StatusCode::NOT_FOUND, text)
    })?;
    Ok((pool, backend))
}

fn action(verb: Verb, asked: Asked<'_>) -> Result<Action, Reply> {
    Ok(match verb {
        Verb::Drain => Action::Drain,
        Verb::Enable => Action::Enable,
        Verb::Disable => Action::Disable,
        Verb::Weight => Action::Weight(weight(asked)?),
        Verb::Unpin => Action::Unpin,
    })
}

/// The weight in the query, as `value=5`, or in the body, as `5`.
fn weight(asked: Asked<'_>) -> Result<Weight, Reply> {
    let wrong = |text: &str| Reply::text(StatusCode::BAD_REQUEST, text);
    let parts = asked.query.unwrap_or_default().split('&').filter(|part| !part.is_empty());
    let mut given = Vec::new();
    for part in parts {
        match part.split_once('=') {
            Some(("value", value)) => given.push(value),
            _ => return Err(wrong(&format!("unknown `{}`; allowed is value=N", shown(part)))),
        }
    }
    let body = std::str::from_utf8(asked.body).map_err(|_| wrong("the body is not UTF-8"))?.trim();
    if !body.is_empty() {
        given.push(body);
    }
    match given.as_slice() {
        [text] => parse_weight(text).map_err(|why| wrong(&shown(&why))),
        [] => Err(wrong("no weight; give it in the query, as ?value=5, or as the body")),
        _ => Err(wrong("more than one weight; give it in the query or as the body")),
    }
}

fn act(pools: &dyn Pools, pool: &str, backend: &str, action: Action) -> Result<Reply, Reply> {
    let gone = || {
        let text = format!("backend `{backend}` has just left pool `{pool}`");
        Reply::text(StatusCode::NOT_FOUND, text)
    };
    match pools.act(pool, backend, action) {
        Ok(()) => {}
        Err(ActError::Unknown) => return Err(gone()),
        Err(ActError::Refused(why)) => return Err(Reply::text(StatusCode::CONFLICT, why)),
    }
    let reports = pools.report();
    let found = reports.iter().find(|report| report.name == pool);
    let found = found.and_then(|pool| pool.backends.iter().find(|it| it.name == backend));
    found.map(Reply::json).ok_or_else(gone)
}

/// Names for an error, which is for a terminal: the first 20.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if let Some(more) = names.len().checked_sub(SHOWN).filter(|&more| more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// What a client sent, for a terminal.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}

fn nothing_here(pools: &dyn Pools, local: SocketAddr) -> Reply {
    Reply::text(StatusCode::NOT_FOUND, format!("nothing here\n\n{}", help(pools, local)))
}

fn help(pools: &dyn Pools, local: SocketAddr) -> String {
    let udp = match pools.udp() {
        Some(_) => "GET  /udp                               UDP listeners: sessions, datagrams\n",
        None => "",
    };
    format!(
        "GET  /backends                          all backends: state, and the reason in words\n\
         GET  /backends/POOL                     those of one pool\n\
         GET  /backends/POOL/NAME                one backend\n\
         POST /backends/POOL/NAME/drain          give it no new sessions\n\
         POST /backends/POOL/NAME/disable        take it out of service\n\
         POST /backends/POOL/NAME/enable         put it back\n\
         POST /backends/POOL/NAME/weight?value=N set its weight, 0 to {max}\n\
         POST /backends/POOL/NAME/unpin          place its sessions anew, if a table keeps them\n\
         {udp}\
         With a single pool, /POOL may be left out.\n\
         \n\
         curl http://{local}/backends\n\
         curl -X POST http://{local}/backends/POOL/NAME/drain\n\
         curl -X POST 'http://{local}/backends/POOL/NAME/weight?value=5'\n\
         With a token, add: -H 'Authorization: Bearer TOKEN'",
        max = Weight::MAX
    )
}
