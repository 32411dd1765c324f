//! Filling a table's slots by rendezvous, no node beyond its quota.

use alloc::collections::BinaryHeap;
use alloc::vec;
use alloc::vec::Vec;

use crate::node::Live;
use crate::owners::{Owners, TableSize};
use crate::race::{Arrival, Race, Time};
use crate::rendezvous_table::slot_key;

/// Gives every slot to a node so that none has more than its share and `percent` of that.
///
/// It is deferred acceptance (Gale and Shapley, 1962): each slot asks the nodes in the order of its
/// race; a full node keeps those that it was fastest for, and turns the slowest away to ask the next.
/// The outcome does not depend on who asks first, so it depends on the nodes alone. The quotas add
/// up to the number of slots at least, so everyone finds a place.
pub(crate) fn fill_within_quotas(
    live: &[Live],
    nodes: usize,
    race: &Race,
    size: TableSize,
    percent: u16,
) -> Owners {
    let total: u64 = live.iter().map(|node| u64::from(node.weight)).sum();
    let share = |node: &Live| {
        let exact = size.get() as u128 * u128::from(node.weight) * (100 + u128::from(percent));
        exact.div_ceil(u128::from(total) * 100) as usize
    };
    let quotas: Vec<usize> = live.iter().map(share).collect();
    // Of each node, the slots that it holds, the one it was slowest for on top.
    let mut held: Vec<BinaryHeap<(Time, u32)>> = vec![BinaryHeap::new(); live.len()];
    // How far each slot has come in its order.
    let mut asked: Vec<Option<Arrival>> = vec![None; size.get()];
    for slot in 0..size.get() {
        let mut asking = slot;
        while let Some((time, node)) = race.next_after(slot_key(asking), asked[asking]) {
            asked[asking] = Some((time, node));
            held[node].push((time, asking as u32));
            if held[node].len() <= quotas[node] {
                break;
            }
            let Some((_, turned_away)) = held[node].pop() else { break };
            asking = turned_away as usize;
        }
    }
    let mut owners = vec![0; size.get()];
    for (node, slots) in live.iter().zip(held) {
        for (_, slot) in slots {
            owners[slot as usize] = node.index;
        }
    }
    Owners::from_fn(size, nodes, |slot| owners[slot])
}
