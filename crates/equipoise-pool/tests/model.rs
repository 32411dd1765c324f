//! Any sequence of operations on a pool does what a naive model does.

use equipoise_algorithms::{LeastConn, P2c, PeakEwma, Random, RoundRobin};
use equipoise_testkit::model::{Found, Op, Params, run};
use proptest::collection::vec;
use proptest::prelude::*;

fn found() -> impl Strategy<Value = Found> {
    // Unhealthy ones are rare enough for something to be picked.
    let share = prop_oneof![Just(u16::MAX), Just(0), any::<u16>()];
    (0_u8..4, 0_u8..4, proptest::bool::weighted(0.1), share)
        .prop_map(|(health, passive, drain, share)| Found { health, passive, drain, share })
}

fn op() -> impl Strategy<Value = Op> {
    // Mostly a few of them, so that what happens to one goes on with the same one.
    let number = prop_oneof![2 => 0_u8..3, 1 => 0_u8..24];
    let weight = prop_oneof![0_u16..4, Just(u16::MAX)];
    let spec = (number.clone(), weight.clone(), 0_u8..3, 0_u8..10);
    let request = || (proptest::option::weighted(0.1, 0_u8..24), vec(0_u8..24, 0..3));
    prop_oneof![
        1 => vec(spec.clone(), 0..10).prop_map(Op::Update),
        3 => spec.prop_map(|(id, weight, tier, limit)| Op::Insert { id, weight, tier, limit }),
        1 => number.clone().prop_map(|id| Op::Remove { id }),
        1 => (number.clone(), weight).prop_map(|(id, weight)| Op::SetWeight { id, weight }),
        1 => (number.clone(), any::<bool>()).prop_map(|(id, up)| Op::SetHealth { id, up }),
        1 => (number.clone(), 0_u8..3).prop_map(|(id, admin)| Op::SetAdmin { id, admin }),
        2 => vec((number, found()), 0..5).prop_map(Op::Apply),
        8 => request().prop_map(|(pin, tried)| Op::Pick { pin, tried }),
        1 => request().prop_map(|(pin, tried)| Op::Explain { pin, tried }),
        2 => any::<(u16, u32, bool)>()
            .prop_map(|(lease, nanos, failed)| Op::Finish { lease, nanos, failed }),
        2 => any::<u16>().prop_map(|lease| Op::Drop { lease }),
    ]
}

fn params() -> impl Strategy<Value = Params> {
    any::<(u64, bool)>().prop_map(|(seed, shared)| Params { seed, shared })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn round_robin_pool(params in params(), ops in vec(op(), 1..120)) {
        run(RoundRobin, params, &ops);
    }

    #[test]
    fn random_pool(params in params(), ops in vec(op(), 1..120)) {
        run(Random, params, &ops);
    }

    #[test]
    fn p2c_pool(params in params(), ops in vec(op(), 1..120)) {
        run(P2c::default(), params, &ops);
    }

    #[test]
    fn least_conn_pool(params in params(), ops in vec(op(), 1..120)) {
        run(LeastConn::new(), params, &ops);
    }

    #[test]
    fn peak_ewma_pool(params in params(), ops in vec(op(), 1..120)) {
        run(PeakEwma::default(), params, &ops);
    }
}
