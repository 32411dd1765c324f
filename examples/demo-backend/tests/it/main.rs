//! The real binary, over a real SQLite file or a real Redis server.

mod configuration;
mod demo;
mod faults;
mod login;
mod redis;
mod routes;
mod shutdown;
mod sqlite;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_demo-backend");
/// A directory for files.
const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");
