//! Reliability: real processes that die, hang, reset, slow down, answer with errors, flap and come back,
//! under load. What the admin listener and the log say is recorded as a time-line and held against the bounds
//! that follow from the configuration. `--nocapture` shows the time-lines.

mod application;
mod cases;
mod delivery;
mod discovery;
mod flapping;
mod operator;
mod panic;
mod process;
mod start;

use proxy_lab::health::Bench;

use crate::{PROXY, SCRATCH};

const BENCH: Bench = Bench { proxy: PROXY, scratch: SCRATCH, listener: "" };
