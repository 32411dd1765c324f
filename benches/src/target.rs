//! What our rows are held against.

use crate::rows::{
    FETCH_ADD, FETCH_ADD_OWN_LINE, Group, LOCKED_TOWER_PENDING, Operation, PINGORA_RANDOM,
    PINGORA_ROUND_ROBIN, TOWER_PENDING, WEIGHTED,
};

/// A bound on a row's median.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Target {
    /// At most so many times the median of that floor.
    Within(f64, &'static str),
    /// At least so many times faster than that peer.
    FasterThan(f64, &'static str),
    /// At most so many nanoseconds.
    Nanos(f64),
}

/// The bounds on one of our rows.
pub fn targets(group: &Group, row: &str) -> Vec<Target> {
    use Operation as Op;
    let Group { operation, backends, threads, .. } = *group;
    match (operation, row, threads) {
        (Op::Pick, "round_robin", 1) => vec![Target::Within(1.5, FETCH_ADD)],
        // Flat: a second thread costs no more than a counter of its own would.
        (Op::Pick, "round_robin", _) => vec![Target::Within(1.5, FETCH_ADD_OWN_LINE)],
        (Op::Pick, "round_robin, weights 1-5", 1) => vec![Target::Within(2.5, FETCH_ADD)],
        (Op::Request, "p2c", 1) => {
            vec![Target::FasterThan(10.0, TOWER_PENDING), Target::Within(5.0, FETCH_ADD)]
        }
        (Op::Request, "p2c", _) => vec![Target::FasterThan(10.0, LOCKED_TOWER_PENDING)],
        (Op::Request, "peak_ewma", 1) => vec![Target::Within(7.0, FETCH_ADD)],
        (Op::Request, "least_conn", 1) if backends == 1_000 => {
            vec![Target::Within(12.0, FETCH_ADD)]
        }
        (Op::Snapshot, "Reader::refresh", 1) => vec![Target::Nanos(1.5)],
        (Op::Membership | Op::SetWeight, _, _) if backends == 10_000 && !is_peer(row) => {
            vec![Target::Nanos(1_000_000.0)]
        }
        _ => Vec::new(),
    }
}

fn is_peer(row: &str) -> bool {
    [PINGORA_RANDOM, PINGORA_ROUND_ROBIN, WEIGHTED].contains(&row)
}
