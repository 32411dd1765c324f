//! A small application over a real database, to put behind a load balancer: its health can be asked,
//! it can be broken on request, and people can log in.
//!
//! | module | what it does |
//! |---|---|
//! | `config` | the flags |
//! | `start` | from the flags to a running application |
//! | `server` | one client's connection, which may end in a reset or in garbage |
//! | `app` | one request: the routes |
//! | `login` | the login app: `/app`, `/login`, `/me`, `/logout` |
//! | `login::page` | its page |
//! | `sessions` | its sessions, in memory or in Redis |
//! | `faults` | what is broken at the moment |
//! | `control` | `POST /break/...`, `/drain` and `/mend` |
//! | `query` | what follows the `?` |
//! | `body` | a request's body |
//! | `answer` | responses |
//! | `database` | a question to the database, in bounded time |
//! | `database::sqlite` | SQLite: a file |
//! | `database::redis` | Redis: a server |
//! | `down` | why the database or the sessions have not answered |
//! | `resp` | a command to Redis and its reply |

mod answer;
mod app;
mod body;
mod config;
mod control;
mod database;
mod down;
mod faults;
mod login;
mod query;
mod resp;
mod server;
mod sessions;
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
