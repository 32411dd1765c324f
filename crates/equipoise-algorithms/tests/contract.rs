//! Every policy of this crate, and each in its run-time form, keeps the contract.

use equipoise_algorithms::{LeastConn, P2c, PeakEwma, PolicyConfig, Random, RoundRobin};
use equipoise_testkit::{Promises, policy_contract};

const FAIR: Promises = Promises { failing_share: Some(1.0), ..Promises::weighted() };

policy_contract!(round_robin, || RoundRobin, Promises { smooth: true, ..FAIR });
policy_contract!(random, || Random, FAIR);
// In-flight alone can't tell a fast failure from a fast answer; of two choices, it can win both
// draws of a request, no more: twice the fair share.
policy_contract!(
    p2c,
    P2c::default,
    Promises { load_spread: Some(14.0), failing_share: Some(2.0), ..Promises::weighted() }
);
policy_contract!(
    p2c_of_five,
    || P2c::new(5).unwrap(),
    Promises { load_spread: Some(10.0), ..Promises::weighted() }
);
policy_contract!(
    least_conn,
    LeastConn::new,
    Promises { smooth: true, load_spread: Some(2.0), ..Promises::weighted() }
);
policy_contract!(peak_ewma, PeakEwma::default, Promises { load_spread: Some(14.0), ..FAIR });

policy_contract!(
    round_robin_by_name,
    || "round_robin".parse::<PolicyConfig>().unwrap().policy(),
    Promises { smooth: true, ..FAIR }
);
policy_contract!(
    least_conn_by_name,
    || "least_conn".parse::<PolicyConfig>().unwrap().policy(),
    Promises { smooth: true, load_spread: Some(2.0), ..Promises::weighted() }
);
policy_contract!(
    peak_ewma_by_name,
    || "peak_ewma".parse::<PolicyConfig>().unwrap().policy(),
    Promises { load_spread: Some(14.0), ..FAIR }
);
