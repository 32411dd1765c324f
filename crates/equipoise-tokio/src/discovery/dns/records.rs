//! From records to backends. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use equipoise_core::Weight;

use crate::discovery::Endpoint;

/// An SRV record, but for its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Service {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
}

/// The backends of a name.
pub(super) fn of_host(addresses: impl IntoIterator<Item = IpAddr>, port: u16) -> Vec<Endpoint> {
    let addresses: BTreeSet<IpAddr> = addresses.into_iter().collect();
    addresses.into_iter().map(|ip| Endpoint::new(SocketAddr::new(ip, port))).collect()
}

/// The backends of SRV records, each with the addresses of its target; in any order.
pub(super) fn of_services<A>(records: impl Iterator<Item = (Service, A)> + Clone) -> Vec<Endpoint>
where
    A: IntoIterator<Item = IpAddr>,
{
    let priorities: BTreeSet<u16> = records.clone().map(|(record, _)| record.priority).collect();
    // Past 256 priorities, the rest share the last tier.
    let tiers = priorities.into_iter().enumerate();
    let tiers: BTreeMap<u16, u8> =
        tiers.map(|(rank, priority)| (priority, u8::try_from(rank).unwrap_or(u8::MAX))).collect();
    let mut backends: BTreeMap<SocketAddr, (u8, u16)> = BTreeMap::new();
    for (record, addresses) in records {
        let tier = tiers.get(&record.priority).copied().unwrap_or(u8::MAX);
        // "Very small chance", says the RFC; its algorithm gives one such record among weights
        // that sum up to s the chance 1 / (s + 1), which is that of weight 1.
        let weight = record.weight.max(1);
        for ip in addresses {
            let backend = backends.entry(SocketAddr::new(ip, record.port)).or_insert((tier, 0));
            if tier < backend.0 {
                *backend = (tier, 0);
            }
            if tier == backend.0 {
                backend.1 = backend.1.saturating_add(weight);
            }
        }
    }
    let endpoint = |(address, (tier, weight))| Endpoint {
        weight: Weight::new(weight),
        tier,
        ..Endpoint::new(address)
    };
    backends.into_iter().map(endpoint).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(n: u8) -> IpAddr {
        [10, 0, 0, n].into()
    }

    fn service(priority: u16, weight: u16, addresses: &[u8]) -> (Service, Vec<IpAddr>) {
        let record = Service { priority, weight, port: 80 };
        (record, addresses.iter().copied().map(ip).collect())
    }

    fn short(records: &[(Service, Vec<IpAddr>)]) -> Vec<(String, u8, u16)> {
        let set = of_services(records.iter().cloned());
        set.into_iter().map(|e| (e.name, e.tier, e.weight.get())).collect()
    }

    #[test]
    fn priorities_are_tiers_by_rank_and_weight_0_is_1() {
        let records = [
            service(500, 0, &[3]),
            service(10, 7, &[1]),
            service(65_535, 65_535, &[4]),
            service(10, 0, &[2]),
        ];
        let name = |n: u8| format!("10.0.0.{n}:80");
        let expected = [(name(1), 0, 7), (name(2), 0, 1), (name(3), 1, 1), (name(4), 2, 65_535)];
        assert_eq!(short(&records), expected);
    }

    #[test]
    fn an_address_that_comes_twice_is_one_backend() {
        let name = || "10.0.0.1:80".to_string();
        assert_eq!(short(&[service(1, 5, &[1]), service(1, 7, &[1])]), [(name(), 0, 12)]);
        assert_eq!(short(&[service(2, 5, &[1]), service(1, 7, &[1])]), [(name(), 0, 7)]);
        assert_eq!(short(&[service(1, 65_535, &[1]), service(1, 7, &[1])]), [(name(), 0, 65_535)]);
        assert_eq!(of_host([ip(2), ip(1), ip(2)], 80).len(), 2);
    }

    proptest! {
        #[test]
        fn the_order_of_the_records_means_nothing(
            (records, shuffled) in proptest::collection::vec(
                (any::<(u16, u16)>(), proptest::collection::vec(0_u8..6, 0..4)), 0..12)
                .prop_map(|records| -> Vec<_> {
                    records.into_iter().map(|((p, w), a)| service(p % 4, w, &a)).collect()
                })
                .prop_flat_map(|records| (Just(records.clone()), Just(records).prop_shuffle())),
        ) {
            prop_assert_eq!(short(&records), short(&shuffled));
        }
    }
}
