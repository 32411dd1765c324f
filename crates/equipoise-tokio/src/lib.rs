//! Drivers for Equipoise on tokio: the only library crate that does I/O and reads a clock.

pub mod control;
pub mod discovery;
pub mod probe;
