//! The controller: what it promises of probes, traffic, operators, discovery and observers.
#![allow(clippy::disallowed_methods, reason = "tests run on the runtime's clock")]

mod discovery;
mod passive;
mod probes;
mod set;
mod support;
