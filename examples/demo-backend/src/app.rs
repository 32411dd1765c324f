//! One request: the routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::sync::Mutex;

use crate::answer::{Answer, Health, line};
use crate::body;
use crate::control;
use crate::database::{Database, Question};
use crate::down::Down;
use crate::faults::{Fault, Faults, Part};
use crate::login;
use crate::query;
use crate::sessions::Sessions;

/// Longest body and longest id of an order.
const MAX_BODY: usize = 64 * 1024;
const MAX_ID: usize = 256;

/// The application.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) database: Database,
    /// Of the login app.
    pub(crate) sessions: Sessions,
    pub(crate) faults: Faults,
    /// Held by whoever breaks or mends, so that the switches and the database change together.
    pub(crate) control: Mutex<()>,
    /// The warm-up is over.
    pub(crate) warm: AtomicBool,
    /// Requests for the application that have arrived.
    pub(crate) served: AtomicU64,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is answered.
    Answer(Answer),
    /// Its connection ends, without an answer.
    End(Ending),
}

/// How a connection ends that is broken on request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// With a TCP reset.
    Reset,
    /// With bytes that are not HTTP.
    Garbage,
}

impl App {
    /// Answers a request, or does what it was told to do instead.
    pub(crate) async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Outcome {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().map(str::to_owned);
        let query = query.as_deref();
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let is_post = request.method() == Method::POST;
        let (part, answer) = match path.as_str() {
            "/" if is_read => (Part::Application, self.greet().await),
            "/orders" if is_read => (Part::Application, self.count_orders(query).await),
            "/orders" if is_post => (Part::Application, self.order(request).await),
            "/app" if is_read => (Part::Application, login::show(self, request.headers()).await),
            "/me" if is_read => (Part::Application, login::me(self, request.headers()).await),
            "/login" if is_post => (Part::Application, login::log_in(self, request).await),
            "/logout" if is_post => {
                (Part::Application, login::log_out(self, request.headers()).await)
            }
            "/health" if is_read => (Part::Health, self.health().await),
            "/live" if is_read => return Outcome::Answer(self.says(StatusCode::OK, "alive")),
            "/ready" if is_read => return Outcome::Answer(self.ready()),
            "/served" if is_read => {
                let served = self.served.load(Relaxed).to_string();
                return Outcome::Answer(line(StatusCode::OK, served));
            }
            "/drain" if is_post => return Outcome::Answer(control::drain(self, query).await),
            "/mend" if is_post => return Outcome::Answer(control::mend(self, query).await),
            path => {
                let what = path.strip_prefix("/break/");
                return Outcome::Answer(match what {
                    Some(what) if is_post => control::break_on_request(self, what, query).await,
                    _ => self.refuse(path),
                });
            }
        };
        self.unless_broken(part, answer).await
    }

    /// The answer, or what a fault makes of it. What was asked has been done by now: an order whose answer
    /// is lost is in the database all the same, and must not be sent again.
    async fn unless_broken(&self, part: Part, answer: Answer) -> Outcome {
        match self.faults.strike(part).await {
            Some(Fault::Status(status)) => Outcome::Answer(self.says(status, "broken on request")),
            Some(Fault::Reset) => Outcome::End(Ending::Reset),
            Some(Fault::Garbage) => Outcome::End(Ending::Garbage),
            Some(Fault::Slow(_) | Fault::Hang | Fault::Gone) | None => Outcome::Answer(answer),
        }
    }

    async fn greet(&self) -> Answer {
        self.served.fetch_add(1, Relaxed);
        match self.database.ask(Question::Orders).await {
            Ok(orders) => self.says(StatusCode::OK, &format!("orders: {orders}")),
            Err(down) => self.is_down(&down),
        }
    }

    async fn count_orders(&self, query: Option<&str>) -> Answer {
        self.served.fetch_add(1, Relaxed);
        let id = match query::values(query, ["id"]) {
            Ok([Some(id)]) => id,
            Ok([None]) => return line(StatusCode::BAD_REQUEST, "parameter `id` is missing"),
            Err(wrong) => return line(StatusCode::BAD_REQUEST, wrong),
        };
        match self.database.ask(Question::OrdersOf { id }).await {
            Ok(count) => line(StatusCode::OK, count.to_string()),
            Err(down) => self.is_down(&down),
        }
    }

    async fn order(&self, request: Request<Incoming>) -> Answer {
        self.served.fetch_add(1, Relaxed);
        let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
        let Some(id) = id.filter(|id| (1..=MAX_ID).contains(&id.len())).map(str::to_owned) else {
            let wrong = format!("an order needs an x-request-id of 1 to {MAX_ID} characters");
            return line(StatusCode::BAD_REQUEST, wrong);
        };
        let body = match body::read(request.into_body(), MAX_BODY, "an order").await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let by = self.name.clone();
        match self.database.ask(Question::Append { id, by, body }).await {
            Ok(orders) => self.says(StatusCode::CREATED, &format!("orders: {orders}")),
            Err(down) => self.is_down(&down),
        }
    }

    async fn health(&self) -> Answer {
        match self.database.ask(Question::Check { name: self.name.clone() }).await {
            Ok(_) => Health { name: &self.name, db: "ok", error: None },
            Err(down) => Health { name: &self.name, db: "down", error: Some(down.to_string()) },
        }
        .answer()
    }

    fn ready(&self) -> Answer {
        if !self.warm.load(Relaxed) {
            self.says(StatusCode::SERVICE_UNAVAILABLE, "warming up")
        } else if self.faults.of(Part::Ready).is_some() {
            self.says(StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else {
            self.says(StatusCode::OK, "ready")
        }
    }

    fn refuse(&self, path: &str) -> Answer {
        let allowed = match path {
            "/" | "/app" | "/me" | "/live" | "/ready" | "/health" | "/served" => "GET, HEAD",
            "/orders" => "GET, HEAD, POST",
            "/login" | "/logout" | "/drain" | "/mend" => "POST",
            path if path.starts_with("/break/") => "POST",
            _ => return self.says(StatusCode::NOT_FOUND, "no such page"),
        };
        let mut answer = self.says(StatusCode::METHOD_NOT_ALLOWED, &format!("allowed: {allowed}"));
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        answer
    }

    fn is_down(&self, down: &Down) -> Answer {
        let text = format!("the database is down: {down}");
        self.says(StatusCode::INTERNAL_SERVER_ERROR, &text)
    }

    pub(crate) fn says(&self, status: StatusCode, text: &str) -> Answer {
        line(status, format!("{}: {text}", self.name))
    }
}
