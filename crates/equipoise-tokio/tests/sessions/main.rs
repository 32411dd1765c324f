//! Shared sessions over a real redis-server. Without it the tests are skipped, and say so, unless
//! `EQUIPOISE_REQUIRE_SERVERS` is set. With `--nocapture` they print what was done and seen, and when.
#![cfg(unix)]

mod cost;
mod down;
mod hostile;
mod late;
mod model;
mod races;
mod refusing;
mod store;
mod support;
