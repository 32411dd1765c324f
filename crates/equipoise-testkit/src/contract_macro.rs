//! The suite as `#[test]`s.

/// What a policy promises beyond what every policy must keep.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Promises {
    /// With nothing in flight, shares follow the weights of the admitted backends
    /// (`shares_follow_the_weights_of_the_live`, `a_dead_neighbours_share_is_spread`,
    /// `the_rotation_survives_updates`, `the_start_is_seeded`).
    pub weighted: bool,
    /// With nothing in flight, every backend is within one pick of its exact share, after every
    /// number of picks from the beginning of a round (`every_prefix_is_within_one_pick`).
    pub smooth: bool,
    /// Every admitted backend is picked now and then, whatever its load, latency and errors
    /// (`nobody_starves`).
    pub no_starvation: bool,
    /// Under load, requests in flight per unit of weight differ by at most this much between
    /// backends (`load_per_weight_is_equalised`).
    pub load_spread: Option<f64>,
    /// A backend that fails fast gets at most this multiple of its fair share
    /// (`failing_fast_attracts_nobody`).
    pub failing_share: Option<f64>,
    /// Requests have keys, each a new one, and the same key goes to the same backend. When a backend
    /// leaves or joins, at most this part of the others' keys moves
    /// (`the_same_key_goes_to_the_same_backend`, `a_flap_moves_only_the_keys_of_the_dead`,
    /// `a_change_moves_few_keys_needlessly`).
    pub keyed: Option<f64>,
}

impl Promises {
    /// Nothing but what every policy must keep.
    pub const fn none() -> Self {
        Self {
            weighted: false,
            smooth: false,
            no_starvation: false,
            load_spread: None,
            failing_share: None,
            keyed: None,
        }
    }

    /// Shares follow the weights, and nobody starves.
    pub const fn weighted() -> Self {
        Self { weighted: true, no_starvation: true, ..Self::none() }
    }
}

/// Makes a module of `#[test]`s, one for each property of the contract.
///
/// It takes the module's name, a closure that makes the policy, and its [`Promises`]. A test of what
/// the policy does not promise passes without looking; each field of `Promises` names its tests.
#[macro_export]
macro_rules! policy_contract {
    ($name:ident, $make:expr, $promises:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the expressions may name anything in scope")]
            use super::*;

            $crate::policy_contract!(@tests $make, $promises;
                picks_only_admitted_and_untried_backends,
                fails_only_when_nobody_is_eligible,
                finds_the_last_one_standing,
                is_total_over_all_weights,
                same_seed_same_picks,
                allows_any_backend_to_be_full,
                an_explanation_names_the_backend_that_was_picked,
                shares_follow_the_weights_of_the_live,
                a_dead_neighbours_share_is_spread,
                every_prefix_is_within_one_pick,
                the_rotation_survives_updates,
                the_start_is_seeded,
                nobody_starves,
                load_per_weight_is_equalised,
                failing_fast_attracts_nobody,
                the_same_key_goes_to_the_same_backend,
                a_flap_moves_only_the_keys_of_the_dead,
                a_change_moves_few_keys_needlessly,
            );
        }
    };
    (@tests $make:expr, $promises:expr; $($property:ident,)*) => {$(
        #[test]
        fn $property() {
            $crate::contract::$property($make, $promises);
        }
    )*};
}
