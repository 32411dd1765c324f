use equipoise_core::Admin;
use proptest::{prelude::ProptestConfig, prop_assert, proptest};

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Each of these plans a look anew, and what was planned before may be a day away.
    #[test]
    fn the_queues_stay_as_short_as_the_set_however_long_it_runs(
        seed in proptest::num::u64::ANY,
        n in 1..20_u64,
    ) {
        let day = CheckConfig::LONGEST;
        let check = CheckConfig::builder().up(day).going_down(day).down(day).timeout(day);
        let mut monitor = Monitor::new(
            MonitorConfig {
                check: Some(check.build().unwrap()),
                outlier: Some(OutlierConfig::default()),
                slow_start: Some(SlowStart::new(Duration::from_secs(60)).unwrap()),
                panic: PanicConfig::default(),
                drain_limit: None,
            },
            seed,
        );
        let (mut rng, mut now, mut orders) = (Rng::seeded(!seed), Instant::ZERO, Vec::new());
        for _ in 0..5_000 {
            let id = BackendId::new(u64::from(rng.below(n as u32)));
            now = now + Duration::from_millis(u64::from(rng.below(2_000)));
            match rng.below(6) {
                0 => { monitor.insert(now, id, Operator::default()); }
                1 if rng.below(4) == 0 => monitor.remove(now, id),
                2 => {
                    let admin = [Admin::Enabled, Admin::Disabled][rng.below(2) as usize];
                    monitor.set_operator(now, id, Operator { admin, ..Operator::default() });
                }
                3 => {
                    let runs = Runs { failures: 5, ..Runs::default() };
                    monitor.on_alarm(now, id, &runs, None);
                }
                _ => {}
            }
            monitor.poll(now, rng.below(3) as usize, |_| true, &mut orders);
            while orders.len() > rng.below(4) as usize {
                let Order { id, token, .. } = orders.swap_remove(0);
                monitor.on_probe(now, id, token, Verdict::Pass, None);
            }
            monitor.take_changes();
            monitor.take_notices();
            let most = Queue::most(n as usize);
            prop_assert!(monitor.queue.len() <= most, "{}", monitor.queue.len());
            prop_assert!(monitor.probes.len() <= most, "{}", monitor.probes.len());
        }
    }
}
