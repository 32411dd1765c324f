//! THE list of rows: a new structure or peer gets its line here.

use equipoise_hash::{
    Anchor, BuildError, Jump, Maglev, Memento, MultiProbe, Node, Probing, Rendezvous,
    RendezvousTable, Ring,
};

use super::keys::{Crc, Fold, Sip};
use super::ours::{Ours, Split, memento_with_gaps, nginx_ring};
use super::subject::{Entry, Scope, Side, Structure};

/// As many slots as the maglev crates get.
const SLOTS: usize = 65_537;

/// All rows.
pub fn entries() -> Vec<Entry> {
    let mut entries = ours();
    entries.extend(ours_with_siphash());
    entries.extend(ours_with_weights());
    entries.extend(settings());
    #[cfg(feature = "pingora")]
    entries.extend(pingora());
    #[cfg(feature = "hash-peers")]
    entries.extend(peers());
    entries.extend(floors());
    entries
}

/// A row of ours whose table comes from a list of nodes.
macro_rules! ours {
    ($name:literal, $structure:ident, $hash:ident, $table:expr) => {
        Entry::new($name, Side::Ours, Structure::$structure, move |servers| {
            Ours::<_, $hash>::build(servers, $table)
        })
    };
}

fn ours() -> Vec<Entry> {
    vec![
        ours!("rendezvous table", RendezvousTable, Fold, RendezvousTable::new),
        ours!("rendezvous table quota 5 %", RendezvousTable, Fold, |nodes| {
            RendezvousTable::new(nodes)?.with_quota(5)
        })
        .limit(1_000),
        ours!("maglev", Maglev, Fold, Maglev::new),
        ours!("maglev 65537 slots", Maglev, Fold, |nodes| Maglev::with_size(nodes, SLOTS)),
        ours!("rendezvous", Rendezvous, Fold, Rendezvous::new).slow(20, 250),
        ours!("ring", Ring, Fold, Ring::new),
        ours!("nginx ring", Ring, Crc, nginx_ring),
        ours!("multi-probe", MultiProbe, Fold, MultiProbe::new).slow(200, 0),
        ours!("anchor", Anchor, Fold, Anchor::new),
        ours!("anchor room 1.1 n", Anchor, Fold, anchor_with_little_room),
        ours!("memento", Memento, Fold, Memento::new),
        ours!("memento one in eleven gone", Memento, Fold, memento_with_gaps),
        ours!("jump", Jump, Fold, Jump::new),
    ]
}

fn anchor_with_little_room(nodes: &[Node]) -> Result<Anchor, BuildError> {
    Anchor::with_capacity(nodes, (nodes.len() * 11).div_ceil(10))
}

fn ours_with_siphash() -> Vec<Entry> {
    let rows = vec![
        ours!("rendezvous table SipHash", RendezvousTable, Sip, RendezvousTable::new),
        ours!("maglev SipHash", Maglev, Sip, Maglev::new),
        ours!("rendezvous SipHash", Rendezvous, Sip, Rendezvous::new),
        ours!("ring SipHash", Ring, Sip, Ring::new),
        ours!("multi-probe SipHash", MultiProbe, Sip, MultiProbe::new),
        ours!("anchor SipHash", Anchor, Sip, Anchor::new),
        ours!("anchor room 1.1 n SipHash", Anchor, Sip, anchor_with_little_room),
        ours!("memento SipHash", Memento, Sip, Memento::new),
        ours!("jump SipHash", Jump, Sip, Jump::new),
    ];
    rows.into_iter().map(|row| row.scope(Scope::Lookups)).collect()
}

/// Weights 1 to 5, in turn.
fn ours_with_weights() -> Vec<Entry> {
    let rows = vec![
        ours!("rendezvous table weights 1-5", RendezvousTable, Fold, RendezvousTable::new),
        ours!("maglev weights 1-5", Maglev, Fold, Maglev::new),
        ours!("rendezvous weights 1-5", Rendezvous, Fold, Rendezvous::new).slow(20, 250),
        // At 10,000 it would have more points than a ring may.
        ours!("ring weights 1-5", Ring, Fold, Ring::new).limit(1_000),
        ours!("anchor weights 1-5", Anchor, Fold, Anchor::new),
    ];
    rows.into_iter().map(Entry::weighted).collect()
}

/// What other settings give at 1,000 servers, for the plot of balance against memory.
fn settings() -> Vec<Entry> {
    let table = |nodes: &_, slots| RendezvousTable::with_size(nodes, slots);
    let probing = |nodes: &_, probes, points| MultiProbe::with(nodes, Probing { probes, points });
    let rows = vec![
        ours!("rendezvous table 16384 slots", RendezvousTable, Fold, |nodes| table(nodes, 1 << 14)),
        ours!("rendezvous table 262144 slots", RendezvousTable, Fold, |nodes| {
            table(nodes, 1 << 18)
        }),
        ours!("rendezvous table 1048576 slots", RendezvousTable, Fold, |nodes| {
            table(nodes, 1 << 20)
        }),
        ours!("rendezvous table quota 0 %", RendezvousTable, Fold, |nodes| {
            RendezvousTable::new(nodes)?.with_quota(0)
        }),
        ours!("rendezvous table quota 10 %", RendezvousTable, Fold, |nodes| {
            RendezvousTable::new(nodes)?.with_quota(10)
        }),
        ours!("maglev 4096 slots", Maglev, Fold, |nodes| Maglev::with_size(nodes, 1 << 12)),
        ours!("maglev 16384 slots", Maglev, Fold, |nodes| Maglev::with_size(nodes, 1 << 14)),
        ours!("maglev 262144 slots", Maglev, Fold, |nodes| Maglev::with_size(nodes, 1 << 18)),
        ours!("ring 10 points", Ring, Fold, |nodes| Ring::with_points(nodes, 10)),
        ours!("ring 40 points", Ring, Fold, |nodes| Ring::with_points(nodes, 40)),
        ours!("ring 640 points", Ring, Fold, |nodes| Ring::with_points(nodes, 640)),
        ours!("ring 1280 points", Ring, Fold, |nodes| Ring::with_points(nodes, 1_280)),
        ours!("multi-probe 5 probes 1 point", MultiProbe, Fold, |nodes| probing(nodes, 5, 1)),
        ours!("multi-probe 21 probes 1 point", MultiProbe, Fold, |nodes| probing(nodes, 21, 1))
            .slow(200, 0),
        ours!("multi-probe 21 probes 8 points", MultiProbe, Fold, |nodes| probing(nodes, 21, 8))
            .slow(200, 0),
        ours!("multi-probe 5 probes 64 points", MultiProbe, Fold, |nodes| probing(nodes, 5, 64)),
    ];
    rows.into_iter().map(|row| row.scope(Scope::Settings)).collect()
}

#[cfg(feature = "pingora")]
fn pingora() -> Vec<Entry> {
    use super::peers::pingora::{Balancer, Ketama};
    vec![
        Entry::new("pingora-ketama v1", Side::Peer, Structure::Ring, Ketama::v1),
        Entry::new("pingora-ketama v2", Side::Peer, Structure::Ring, Ketama::v2),
        Entry::new("pingora-load-balancing Consistent", Side::Peer, Structure::Ring, |servers| {
            Balancer::build(servers)
        })
        .slow(300, 0),
        Entry::new("pingora-ketama v1 weights 1-5", Side::Peer, Structure::Ring, Ketama::v1)
            .weighted(),
    ]
}

#[cfg(feature = "hash-peers")]
fn peers() -> Vec<Entry> {
    use super::keys::Std;
    use super::peers::jumps::{Jump, Power};
    use super::peers::rings::{Hrw, MultiProbe, Ring};
    use super::peers::tables::{Anchor, Maglev, MaglevHash};
    macro_rules! peer {
        ($name:literal, $structure:ident, $build:expr) => {
            Entry::new($name, Side::Peer, Structure::$structure, $build)
        };
    }
    vec![
        peer!("hashring 160 points", Ring, |servers| {
            Ring::build(servers, hashring::DefaultHashBuilder)
        }),
        peer!("mpchash", MultiProbe, MultiProbe::build).slow(2_500, 0),
        // N x M x 8 bytes of permutations: 5 GB at 10,000.
        peer!("maglev crate", Maglev, |servers| Maglev::build(servers, Std::default()))
            .limit(1_000),
        peer!("maglev crate foldhash", Maglev, |servers| Maglev::build(servers, Fold::default()))
            .limit(1_000)
            .scope(Scope::Lookups),
        peer!("maglev-hash", Maglev, MaglevHash::build),
        peer!("anchorhash room 1.1 n", Anchor, |servers| {
            Anchor::build(servers, 11, Std::default())
        }),
        peer!("anchorhash room 2 n", Anchor, |servers| Anchor::build(servers, 20, Std::default())),
        peer!("anchorhash room 1.1 n foldhash", Anchor, |servers| {
            Anchor::build(servers, 11, Fold::default())
        })
        .scope(Scope::Lookups),
        peer!("anchorhash room 2 n foldhash", Anchor, |servers| {
            Anchor::build(servers, 20, Fold::default())
        })
        .scope(Scope::Lookups),
        peer!("jumphash", Jump, Jump::build).last_only(),
        peer!("power-consistent-hash foldhash", Jump, Power::build).last_only(),
        peer!("hrw", Rendezvous, |servers| Hrw::build(servers, Std::default())).slow(0, 25_000),
        peer!("hrw foldhash", Rendezvous, |servers| Hrw::build(servers, Fold::default()))
            .scope(Scope::Lookups),
    ]
}

fn floors() -> Vec<Entry> {
    vec![
        Entry::new("floor: random split foldhash", Side::Floor, Structure::Floor, |servers| {
            Split::<Fold>::build(servers)
        }),
        Entry::new("floor: random split SipHash", Side::Floor, Structure::Floor, |servers| {
            Split::<Sip>::build(servers)
        })
        .scope(Scope::Lookups),
    ]
}
