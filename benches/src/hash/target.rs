//! What our rows are held against.

use super::pools;
use super::record::Record;
use super::report::human;

/// A bound on one of our rows.
#[derive(Clone, Copy, Debug)]
struct Target {
    what: &'static str,
    row: &'static str,
    servers: usize,
    figure: Figure,
    bound: Bound,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    /// At most so many times what the best of these rows has.
    Times(f64, &'static [&'static str]),
    /// At most so much.
    Most(f64),
}

#[derive(Clone, Copy, Debug)]
enum Figure {
    Lookup,
    Build,
    Change,
    Peak,
    FinePeak,
    NeedlessLeave,
    NeedlessJoin,
}

impl Figure {
    fn of(self, record: &Record) -> Option<f64> {
        match self {
            Self::Lookup => record.lookup.map(|figures| figures.median),
            Self::Build => record.build.map(|figures| figures.median),
            Self::Change => record.change.map(|figures| figures.median),
            Self::Peak => record.balance.map(|balance| balance.peak),
            Self::FinePeak => record.fine.map(|balance| balance.peak),
            Self::NeedlessLeave => record.needless.map(|needless| needless.leave),
            Self::NeedlessJoin => record.needless.map(|needless| needless.join),
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Self::Lookup | Self::Build | Self::Change => human(value),
            Self::Peak | Self::FinePeak => format!("{value:.3}"),
            Self::NeedlessLeave | Self::NeedlessJoin => format!("{value:.3} %"),
        }
    }
}

/// As they come: with SipHash-1-3.
const MAGLEV: &[&str] = &["maglev crate", "maglev-hash"];
const MAGLEV_FOLDHASH: &[&str] = &["maglev crate foldhash"];
const KETAMA: &[&str] = &["pingora-ketama v1", "pingora-ketama v2"];
/// As it comes: with SipHash-1-3.
const ANCHOR: &[&str] = &["anchorhash room 1.1 n"];
const ANCHOR_FOLDHASH: &[&str] = &["anchorhash room 1.1 n foldhash"];
const ROOMY: &[&str] = &["anchorhash room 2 n"];
const HRW: &[&str] = &["hrw", "hrw foldhash"];

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];

fn targets() -> Vec<Target> {
    let mut all = Vec::new();
    let mut target = |what, row, servers, figure, bound| {
        all.push(Target { what, row, servers, figure, bound });
    };
    for servers in SIZES {
        let crates = Bound::Times(0.35, MAGLEV);
        target("table lookup", "rendezvous table", servers, Figure::Lookup, crates);
        target("table lookup", "maglev", servers, Figure::Lookup, crates);
        target("the same, SipHash both", "maglev SipHash", servers, Figure::Lookup, crates);
        let crates = Bound::Times(0.35, MAGLEV_FOLDHASH);
        target("the same, foldhash both", "maglev", servers, Figure::Lookup, crates);
    }
    let row = "maglev 65537 slots";
    target("maglev build", row, 1_000, Figure::Build, Bound::Times(0.35, MAGLEV));
    target("maglev change", row, 1_000, Figure::Change, Bound::Times(0.1, MAGLEV));
    let row = "rendezvous table";
    target("needless, one leaves", row, 1_000, Figure::NeedlessLeave, Bound::Most(0.0));
    target("needless, one joins", row, 1_000, Figure::NeedlessJoin, Bound::Most(0.0));
    let as_peers = Bound::Times(1.2, MAGLEV);
    target("needless, one leaves", "maglev", 1_000, Figure::NeedlessLeave, as_peers);
    target("ring lookup", "ring", 1_000, Figure::Lookup, Bound::Times(0.4, KETAMA));
    target("ring lookup", "ring", 10_000, Figure::Lookup, Bound::Times(0.15, KETAMA));
    let nginx = Bound::Times(0.4, &["pingora-ketama v1"]);
    target("ring lookup, CRC-32 both", "nginx ring", 1_000, Figure::Lookup, nginx);
    let nginx = Bound::Times(0.15, &["pingora-ketama v1"]);
    target("ring lookup, CRC-32 both", "nginx ring", 10_000, Figure::Lookup, nginx);
    for servers in SIZES {
        let as_it_comes = Bound::Times(0.5, ANCHOR);
        target("anchor lookup", "anchor room 1.1 n", servers, Figure::Lookup, as_it_comes);
        target("memento lookup", "memento", servers, Figure::Lookup, as_it_comes);
        let row = "memento one in eleven gone";
        target("memento lookup", row, servers, Figure::Lookup, as_it_comes);
        let row = "anchor room 1.1 n SipHash";
        target("the same, SipHash both", row, servers, Figure::Lookup, as_it_comes);
        let foldhash = Bound::Times(0.5, ANCHOR_FOLDHASH);
        target("the same, foldhash both", "anchor room 1.1 n", servers, Figure::Lookup, foldhash);
        target(
            "anchor lookup, room 2 n",
            "anchor",
            servers,
            Figure::Lookup,
            Bound::Times(0.5, ROOMY),
        );
    }
    let row = "rendezvous weights 1-5";
    target("rendezvous lookup", row, 100, Figure::Lookup, Bound::Times(0.1, HRW));
    target("peak, 10^6 keys", "multi-probe", 1_000, Figure::Peak, Bound::Most(1.10));
    target("peak, 10^7 keys", "multi-probe", 1_000, Figure::FinePeak, Bound::Most(1.10));
    for servers in SIZES {
        let plain = Bound::Times(2.0, &[pools::HASHED]);
        target("bounded load, nobody full", pools::BOUNDED, servers, Figure::Lookup, plain);
    }
    all
}

/// The targets, and whether they are met.
pub(crate) fn table(records: &[Record]) -> String {
    let mut text = String::from(
        "| target | row | servers | ours | best peer | ratio | at most | |\n\
         |---|---|---:|---:|---:|---:|---:|---|\n",
    );
    for target in targets() {
        text.push_str(&line(&target, records));
    }
    text
}

fn line(target: &Target, records: &[Record]) -> String {
    let Target { what, row, servers, figure, bound } = *target;
    let value = |name: &str| {
        let record = records.iter().find(|r| r.name == name && r.servers == servers)?;
        figure.of(record)
    };
    let ours = value(row);
    let peer = match bound {
        Bound::Times(_, peers) => {
            let with_value = peers.iter().filter_map(|&peer| Some((value(peer)?, peer)));
            with_value.min_by(|a, b| a.0.total_cmp(&b.0))
        }
        Bound::Most(_) => None,
    };
    let ratio = ours.zip(peer).map(|(ours, (peer, _))| ours / peer);
    let (met, limit) = match bound {
        Bound::Times(times, _) => (ratio.map(|ratio| ratio <= times), format!("{times}x")),
        Bound::Most(most) => (ours.map(|ours| ours <= most), figure.text(most)),
    };
    format!(
        "| {what} | {row} | {servers} | {} | {} | {} | {limit} | {} |\n",
        ours.map_or_else(String::new, |ours| figure.text(ours)),
        peer.map_or_else(String::new, |(value, peer)| format!("{} {peer}", figure.text(value))),
        ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        match met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not run",
        },
    )
}
