//! The walk-through of `docs/lab.md`, one level lower.

use proxy_lab::lab;

use crate::{PROXY, SCRATCH};

#[test]
fn two_python_servers_take_turns_one_dies_and_comes_back() {
    let tried_twice = ["attempts=2", "end=\"closed\""];
    lab::two_servers_take_turns_one_dies_and_comes_back(PROXY, SCRATCH, &tried_twice);
}

#[test]
fn weights_are_exact() {
    lab::weights_are_exact(PROXY);
}
