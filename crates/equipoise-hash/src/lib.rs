//! Consistent hashing: which node has a key, with as few keys as possible moving when nodes come
//! and go.
//!
//! One trait, [`ConsistentHash`], over every structure. It needs no balancer: it serves whoever
//! spreads keys over shards, caches or partitions. It is `no_std`, has no I/O, and places keys by
//! integer arithmetic alone, so every platform, process and release gives the same answers.
//!
//! | structure | a lookup | memory | keys moved needlessly by one change | use it |
//! |---|---|---|---|---|
//! | [`RendezvousTable`] | O(1), one load | 2 B a slot, 65,536 of them | none | for most things |
//! | [`Maglev`] | O(1), one load | 2 B a slot | some (0.6 % at 1,000 nodes) | for the best balance |
//! | [`Rendezvous`] | O(n), 0.3 ns a node | 50 B a node | none | up to a hundred nodes |
//! | [`Ring`] | O(1) expected | 10 to 12 B a point, 160 points a unit of weight | none | where others have rings |
//! | [`MultiProbe`] | O(probes) | 10 to 12 B a point | none | when memory is dear |
//! | [`Anchor`] | O(1) expected | 24 B a bucket | none | for very many nodes, up to a known number |
//! | [`Memento`] | O(1) expected | 8 B a bucket | none | for very many nodes that seldom leave |
//! | [`Jump`] | O(1) expected | 4 B a bucket | the last node's share | when nodes leave in the reverse order of coming |
//!
//! A bucket is a unit of weight. Tables that place keys as nginx, HAProxy and Envoy do are in
//! [`compat`]; the jump functions alone in [`jump`].
//!
//! # Example
//! ```
//! use equipoise_hash::{BackendId, ConsistentHash, HashKey, Node, RendezvousTable};
//!
//! let shards = ["shard-a", "shard-b", "shard-c"];
//! let nodes = shards.map(|name| Node::new(BackendId::named(name)));
//! let table = RendezvousTable::new(&nodes)?;
//!
//! let key = HashKey::new(0x9e37_79b9_7f4a_7c15);
//! let owner = table.lookup(key).expect("there are nodes");
//!
//! // Should the owner be down, the others have its keys in equal parts.
//! let next = table.lookup_where(key, |node| node != owner).expect("there are others");
//! assert_eq!(table.candidates(key).take(2).collect::<Vec<_>>(), [owner, next]);
//!
//! // Without its owner, the key is just there; no other key moves.
//! let fewer = table.update(&[nodes[(owner + 1) % 3], nodes[(owner + 2) % 3]])?;
//! assert_eq!(fewer.nodes()[fewer.lookup(key).unwrap()].id, nodes[next].id);
//! # Ok::<(), equipoise_hash::BuildError>(())
//! ```
//!
//! # Keys
//! A [`HashKey`] is a hash already. [`KeyHasher`](key::KeyHasher) makes it from the parts of a
//! request, under a secret, so that clients, who choose the keys, can't aim at a node.
//!
//! # Features
//! * `serde`: the structures whose answers depend on the order in which nodes came and went
//!   ([`Jump`], [`Anchor`], [`Memento`]) can be stored and read back, and a
//!   [`KeySpec`](key::KeySpec) reads and writes what people write. Off by default.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod anchor;
mod buckets;
pub mod compat;
mod consistent;
mod exponential;
mod fallback;
pub mod jump;
mod jump_list;
pub mod key;
mod maglev;
mod memento;
mod mix;
mod multi_probe;
mod node;
mod owners;
mod points;
mod quota;
mod race;
mod rendezvous;
mod rendezvous_table;
mod ring;

pub use anchor::Anchor;
pub use consistent::ConsistentHash;
pub use equipoise_core::{BackendId, HashKey, Weight};
pub use jump_list::Jump;
pub use maglev::Maglev;
pub use memento::Memento;
pub use multi_probe::{MultiProbe, Probing};
pub use node::{BuildError, Node};
pub use rendezvous::Rendezvous;
pub use rendezvous_table::RendezvousTable;
pub use ring::Ring;

/// The code of the README runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;
