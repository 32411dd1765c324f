//! Ours alone: what backends and policies add to a new connection.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use equipoise_algorithms::PolicyConfig;

use crate::l4::proxies::Candidate;

/// What the others are held against.
pub const BASE: &str = "round_robin, 1 backend";
/// Of how many backends, each by round robin.
const SIZES: [usize; 3] = [1, 2, 10_000];
/// How many backends each policy picks from.
const PICKED_FROM: usize = 100;

/// The first of the backends' addresses; all are one process.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 2, 0, 1);

/// Ours with so many backends, by round robin.
pub fn backends(ours: &Candidate, port: u16) -> Vec<Candidate> {
    let row = |count| {
        let name =
            if count == 1 { BASE.to_owned() } else { format!("round_robin, {count} backends") };
        configured(ours, name, config("round_robin", "", count, port))
    };
    SIZES.into_iter().map(row).collect()
}

/// Ours with one backend, and with each policy that a configuration can name.
pub fn policies(ours: &Candidate, port: u16) -> Vec<Candidate> {
    let base = configured(ours, BASE.to_owned(), config("round_robin", "", 1, port));
    let row = |&name: &&'static str| {
        let policy: PolicyConfig = name.parse().expect("it is one of the names");
        let key = if matches!(policy, PolicyConfig::Hash(_)) { "key = \"client\"\n" } else { "" };
        configured(ours, name.to_owned(), config(name, key, PICKED_FROM, port))
    };
    let sticky = "[pools.backends.sticky]\nmode = \"client\"\n";
    let sticky = config("round_robin", sticky, PICKED_FROM, port);
    let sticky = configured(ours, "round_robin, sticky".to_owned(), sticky);
    let named = PolicyConfig::names().iter().map(row);
    std::iter::once(base).chain(named).chain([sticky]).collect()
}

fn configured(ours: &Candidate, name: String, config: String) -> Candidate {
    Candidate { name, files: vec![("l4-proxy.toml", config)], ..ours.clone() }
}

/// Without health checks, which cost by the second and not by the connection.
fn config(policy: &str, more: &str, backends: usize, port: u16) -> String {
    let mut text = format!(
        "workers = 1\n[[listeners]]\naddress = \"127.0.0.1:@tcp@\"\npool = \"backends\"\n\
         [log]\nconnections = \"off\"\n[pools.backends]\npolicy = \"{policy}\"\nbackends = [\n"
    );
    for index in 0..backends {
        let address = Ipv4Addr::from_bits(FIRST.to_bits() + index as u32);
        let weight = if policy == "weighted_round_robin" { 1 + index % 5 } else { 1 };
        let _ = writeln!(text, "\"{address}:{port},weight={weight}\",");
    }
    text + "]\n" + more
}
