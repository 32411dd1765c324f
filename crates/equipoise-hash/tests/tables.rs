//! Every structure of this crate keeps the contract.

mod contract;

use contract::{MINIMAL, Promises};
use equipoise_hash::{
    Anchor, Jump, Maglev, Memento, MultiProbe, Probing, Rendezvous, RendezvousTable, Ring,
};

/// Makes a module of `#[test]`s, one for each property, of a structure's name, a closure that makes
/// a table of no nodes, and its promises.
macro_rules! table_contract {
    ($name:ident, $empty:expr, $promises:expr) => {
        mod $name {
            use super::*;

            table_contract!(@tests $empty, $promises;
                everybody_with_a_weight_is_a_candidate_once,
                the_only_one_allowed_is_found,
                the_keys_of_one_that_is_not_allowed_spread_over_all,
                the_few_that_are_allowed_share_by_weight,
                a_table_depends_on_its_nodes_alone,
                a_change_moves_only_the_keys_that_it_must,
                who_comes_back_has_the_same_keys,
                shares_follow_the_weights,
                neither_ids_nor_keys_need_be_random,
            );
        }
    };
    (@tests $empty:expr, $promises:expr; $($property:ident,)*) => {$(
        #[test]
        fn $property() {
            contract::$property($empty, $promises);
        }
    )*};
}

/// Slots of the tables, of which many are made.
const SMALL: usize = 3_000;

/// So many slots that hardly any two keys are in one.
const LARGE: usize = 1 << 18;

/// Keys in one slot go on together, so there must be many slots to see that they spread.
const BY_SLOTS: Promises = Promises { one_by_one: false, ..MINIMAL };

/// Depends on who left when, and needs to be told.
const REMEMBERS: Promises = Promises { forgetful: false, exact: true, ..MINIMAL };

table_contract!(rendezvous, Rendezvous::default, Promises { exact: true, ..MINIMAL });
table_contract!(rendezvous_table, || rendezvous_table(SMALL), BY_SLOTS);
table_contract!(
    rendezvous_table_with_quota,
    || rendezvous_table(SMALL).with_quota(5).unwrap(),
    Promises { needless: 1.0, monotone: false, ..BY_SLOTS }
);
table_contract!(
    rendezvous_table_with_the_least_quota,
    || rendezvous_table(SMALL).with_quota(0).unwrap(),
    Promises { needless: 1.0, monotone: false, ..BY_SLOTS }
);
table_contract!(
    maglev,
    || Maglev::with_size(&[], SMALL).unwrap(),
    Promises { needless: 1.0, monotone: false, ..MINIMAL }
);
table_contract!(ring, || Ring::with_points(&[], 40).unwrap(), MINIMAL);
table_contract!(
    multi_probe,
    || MultiProbe::with(&[], Probing { probes: 9, points: 8 }).unwrap(),
    MINIMAL
);
table_contract!(anchor, || Anchor::with_capacity(&[], 3_000).unwrap(), REMEMBERS);
table_contract!(memento, Memento::default, REMEMBERS);
table_contract!(jump, Jump::default, Promises { needless: 1.0, monotone: false, ..REMEMBERS });

fn rendezvous_table(slots: usize) -> RendezvousTable {
    RendezvousTable::with_size(&[], slots).unwrap()
}

#[test]
fn the_slots_of_one_that_is_not_allowed_spread_over_all() {
    let spread = |table: &RendezvousTable| {
        contract::the_keys_of_one_that_is_not_allowed_spread_over_all(|| table.clone(), MINIMAL);
    };
    spread(&rendezvous_table(LARGE));
    spread(&rendezvous_table(LARGE).with_quota(5).unwrap());
    spread(&rendezvous_table(LARGE).with_quota(0).unwrap());
}
