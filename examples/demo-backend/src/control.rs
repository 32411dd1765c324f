//! `POST /break/...`, `/drain` and `/mend`.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use proxy_kit::log;
use tokio::time::sleep;

use crate::answer::{Answer, line};
use crate::app::App;
use crate::config::parse_millis;
use crate::faults::{Fault, PARTS, Part, Serial};
use crate::query;

/// How much later a slow answer comes unless `ms` says it.
const SLOW: Duration = Duration::from_secs(3);

const WHAT: &str = "db, slow, hang, reset, garbage, a status from 400 to 599, or one of these but db after `health-`";

/// Answers `POST /break/{what}`.
pub(crate) async fn break_on_request(app: &Arc<App>, what: &str, query: Option<&str>) -> Answer {
    match parse(what, query) {
        Ok((part, fault, time)) => break_part(app, what, part, fault, time).await,
        Err(wrong) => line(StatusCode::BAD_REQUEST, wrong),
    }
}

/// Answers `POST /drain`.
pub(crate) async fn drain(app: &Arc<App>, query: Option<&str>) -> Answer {
    match query::values(query, ["for_ms"]).and_then(|[time]| millis("for_ms", time)) {
        Ok(time) => break_part(app, "drain", Part::Ready, Fault::Gone, time).await,
        Err(wrong) => line(StatusCode::BAD_REQUEST, wrong),
    }
}

/// Answers `POST /mend`.
pub(crate) async fn mend(app: &App, query: Option<&str>) -> Answer {
    if let Err(wrong) = query::values(query, []) {
        return line(StatusCode::BAD_REQUEST, wrong);
    }
    match mend_all(app).await {
        Ok(()) => line(StatusCode::OK, format!("{}: mended", app.name)),
        Err(wrong) => line(StatusCode::INTERNAL_SERVER_ERROR, format!("{}: {wrong}", app.name)),
    }
}

/// Mends every part. The database's fault stays if the database does not come back.
pub(crate) async fn mend_all(app: &App) -> Result<(), String> {
    let _alone = app.control.lock().await;
    for part in PARTS.into_iter().filter(|part| *part != Part::Database) {
        app.faults.clear(part);
    }
    // Even if this process has not taken it away: another one that shares it may have.
    app.database.bring_back().await?;
    app.faults.clear(Part::Database);
    log::line(format_args!("{}: {}: mended", crate::NAME, app.name));
    Ok(())
}

fn parse(what: &str, query: Option<&str>) -> Result<(Part, Fault, Option<Duration>), String> {
    let (part, how) = match what.strip_prefix("health-") {
        Some(how) => (Part::Health, how),
        None => (Part::Application, what),
    };
    if how == "slow" {
        let [slow, time] = query::values(query, ["ms", "for_ms"])?;
        let slow = millis("ms", slow)?.unwrap_or(SLOW);
        return Ok((part, Fault::Slow(slow), millis("for_ms", time)?));
    }
    let [time] = query::values(query, ["for_ms"])?;
    let time = millis("for_ms", time)?;
    let fault = match how {
        "db" if part == Part::Application => return Ok((Part::Database, Fault::Gone, time)),
        "hang" => Fault::Hang,
        "reset" => Fault::Reset,
        "garbage" => Fault::Garbage,
        status => match status.parse::<StatusCode>() {
            Ok(status) if status.is_client_error() || status.is_server_error() => {
                Fault::Status(status)
            }
            _ => return Err(format!("can't break `{what}`; allowed: {WHAT}")),
        },
    };
    Ok((part, fault, time))
}

fn millis(name: &str, value: Option<String>) -> Result<Option<Duration>, String> {
    value.map(|value| parse_millis(&value)).transpose().map_err(|wrong| format!("{name}: {wrong}"))
}

/// Breaks a part, for so long or until it is mended. `what` is what its user calls it.
async fn break_part(
    app: &Arc<App>,
    what: &str,
    part: Part,
    fault: Fault,
    time: Option<Duration>,
) -> Answer {
    let alone = app.control.lock().await;
    if part == Part::Database
        && let Err(wrong) = app.database.take_away().await
    {
        return line(StatusCode::INTERNAL_SERVER_ERROR, format!("{}: {wrong}", app.name));
    }
    let serial = app.faults.set(part, fault);
    drop(alone);
    let until = match time {
        Some(time) => format!("for {} ms", time.as_millis()),
        None => "until it is mended".to_owned(),
    };
    let text = format!("{}: broken {until}: {what}", app.name);
    log::line(format_args!("{}: {text}", crate::NAME));
    if let Some(time) = time {
        tokio::spawn(mend_after(time, Arc::clone(app), what.to_owned(), part, serial));
    }
    line(StatusCode::OK, text)
}

/// Mends a part when its time is over, if it is still broken by that.
async fn mend_after(time: Duration, app: Arc<App>, what: String, part: Part, serial: Serial) {
    sleep(time).await;
    let _alone = app.control.lock().await;
    if !app.faults.is(part, serial) {
        return;
    }
    if part == Part::Database
        && let Err(wrong) = app.database.bring_back().await
    {
        return log::warn(format_args!("{}: {}: {wrong}", crate::NAME, app.name));
    }
    app.faults.clear(part);
    log::line(format_args!("{}: {}: mended: {what}", crate::NAME, app.name));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::StatusCode;

    use super::{SLOW, parse};
    use crate::faults::{Fault, Part};

    #[test]
    fn what_can_be_broken() {
        let (app, health) = (Part::Application, Part::Health);
        let second = Some(Duration::from_secs(1));
        for (what, query, expected) in [
            ("db", None, (Part::Database, Fault::Gone, None)),
            ("db", Some("for_ms=1000"), (Part::Database, Fault::Gone, second)),
            ("500", None, (app, Fault::Status(StatusCode::INTERNAL_SERVER_ERROR), None)),
            ("429", None, (app, Fault::Status(StatusCode::TOO_MANY_REQUESTS), None)),
            ("slow", None, (app, Fault::Slow(SLOW), None)),
            (
                "slow",
                Some("for_ms=1000&ms=7"),
                (app, Fault::Slow(Duration::from_millis(7)), second),
            ),
            ("hang", None, (app, Fault::Hang, None)),
            ("reset", Some("for_ms=1000"), (app, Fault::Reset, second)),
            ("garbage", None, (app, Fault::Garbage, None)),
            ("health-502", None, (health, Fault::Status(StatusCode::BAD_GATEWAY), None)),
            ("health-hang", None, (health, Fault::Hang, None)),
        ] {
            assert_eq!(parse(what, query), Ok(expected), "{what} {query:?}");
        }
    }

    #[test]
    fn what_cannot_be_broken() {
        for (what, query, named) in [
            ("", None, "can't break ``"),
            ("health-db", None, "can't break `health-db`"),
            ("200", None, "can't break `200`"),
            ("600", None, "can't break `600`"),
            ("dB", None, "can't break `dB`"),
            ("500", Some("ms=1"), "unknown parameter `ms`"),
            ("hang", Some("for=1"), "unknown parameter `for`"),
            ("hang", Some("for_ms=0"), "for_ms: `0` is not"),
            ("hang", Some("for_ms=1s"), "for_ms: `1s` is not"),
            ("slow", Some("ms=3600001"), "ms: `3600001` is not"),
        ] {
            let error = parse(what, query).unwrap_err();
            assert!(error.starts_with(named), "{error}");
        }
    }
}
