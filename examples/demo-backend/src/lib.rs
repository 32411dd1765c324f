//! A small application over a real database, to put behind a load balancer: its health can be asked,
//! and it can be broken on request.
//!
//! | module | what it does |
//! |---|---|
//! | `config` | the flags |
//! | `start` | from the flags to a running application |
//! | `server` | one client's connection, which may end in a reset or in garbage |
//! | `app` | one request: the routes |
//! | `faults` | what is broken at the moment |
//! | `control` | `POST /break/...`, `/drain` and `/mend` |
//! | `query` | what follows the `?` |
//! | `answer` | responses |
//! | `database` | a question to the database, in bounded time |
//! | `database::sqlite` | SQLite: a file |
//! | `database::redis` | Redis: a server |
//! | `database::resp` | a command to Redis and its reply |

mod answer;
mod app;
mod config;
mod control;
mod database;
mod faults;
mod query;
mod server;
mod start;

use std::process::ExitCode;

const NAME: &str = "demo-backend";

/// The program: `main` returns what this returns.
pub fn main() -> ExitCode {
    match proxy_kit::flags::parse(NAME) {
        Ok(cli) => proxy_kit::run::run(NAME, start::start(cli)),
        Err(code) => code,
    }
}
