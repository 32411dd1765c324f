//! What a table promises, verb by verb.

use std::time::Duration;

use equipoise_core::{BackendId, Instant};
use equipoise_sticky::{
    Delta, Removal, Session, SessionHasher, SessionKey, Table, TableBuilder, TableConfig,
};

const MINUTE: Duration = Duration::from_secs(60);

fn table(settings: fn(TableBuilder) -> TableBuilder) -> Table {
    Table::new(&settings(TableConfig::builder().idle(MINUTE)).build().unwrap())
}

fn key(number: u64) -> SessionKey {
    SessionHasher::new([3; 16]).key(&number.to_le_bytes()).unwrap()
}

fn backend(number: u64) -> BackendId {
    BackendId::new(number)
}

fn at(seconds: f64) -> Instant {
    // Not at the start of time, so that there is something before it.
    Instant::from_nanos(1 << 50) + Duration::from_secs_f64(seconds)
}

#[test]
fn who_binds_second_follows() {
    let mut table = table(|builder| builder);
    assert_eq!(table.lookup(&key(1), at(0.0)), None);
    assert_eq!(table.bind(&key(1), backend(1), at(0.0)), backend(1));
    assert_eq!(table.bind(&key(1), backend(2), at(0.0)), backend(1));
    assert_eq!(table.lookup(&key(1), at(1.0)), Some(backend(1)));
    assert_eq!(table.len(), 1);
    assert_eq!((table.sessions_of(backend(1)), table.sessions_of(backend(2))), (1, 0));
    let counters = table.counters();
    assert_eq!((counters.bound, counters.kept, counters.hits, counters.misses), (1, 1, 1, 1));
}

#[test]
fn a_session_moves_only_from_where_it_is() {
    let mut table = table(|builder| builder);
    let [a, b, c] = [1, 2, 3].map(backend);
    table.bind(&key(1), a, at(0.0));
    assert_eq!(table.rebind(&key(1), a, b, at(1.0)), b);
    // Another request also found it at `a`, and comes too late.
    assert_eq!(table.rebind(&key(1), a, c, at(1.0)), b);
    assert_eq!(table.rebind(&key(1), b, b, at(1.0)), b);
    assert_eq!(table.lookup(&key(1), at(1.0)), Some(b));
    assert_eq!([a, b, c].map(|id| table.sessions_of(id)), [0, 1, 0]);
    // Nobody has it: it is bound.
    assert_eq!(table.rebind(&key(2), a, c, at(1.0)), c);
    assert_eq!(table.rebind(&key(1), b, a, at(100.0)), a, "its time was up, so nobody has it");
    assert_eq!((table.counters().rebound, table.counters().lost), (1, 2));
}

#[test]
fn a_session_lives_as_long_as_it_is_used() {
    let mut table = table(|builder| builder);
    table.bind(&key(1), backend(1), at(0.0));
    for minute in 1..100 {
        assert_eq!(
            table.lookup(&key(1), at(60.0 * f64::from(minute))),
            Some(backend(1)),
            "{minute}"
        );
    }
    assert_eq!(table.lookup(&key(1), at(99.0 * 60.0 + 60.1)), None);
    let counters = table.counters();
    assert_eq!((counters.hits, counters.misses, counters.stale), (99, 1, 1));
    // It is bound as if it were new.
    assert_eq!(table.bind(&key(1), backend(2), at(6_100.0)), backend(2));
    assert_eq!(
        (table.len(), table.sessions_of(backend(1)), table.sessions_of(backend(2))),
        (1, 0, 1)
    );
}

#[test]
fn a_session_lives_no_longer_than_its_lifetime() {
    let mut table = table(|builder| builder.lifetime(10 * MINUTE));
    table.bind(&key(1), backend(1), at(0.0));
    for second in (30..=600).step_by(30) {
        assert_eq!(table.lookup(&key(1), at(second.into())), Some(backend(1)), "{second}");
    }
    assert_eq!(table.lookup(&key(1), at(600.2)), None);
    // When it moves, its life starts anew.
    table.bind(&key(2), backend(1), at(0.0));
    for second in (30..=570).step_by(30) {
        table.lookup(&key(2), at(second.into()));
    }
    table.rebind(&key(2), backend(1), backend(2), at(599.0));
    assert_eq!(table.lookup(&key(2), at(650.0)), Some(backend(2)));
}

#[test]
fn the_idle_time_is_kept_to_a_thousandth() {
    for idle in [1_u64, 7, 59_999, 60_000, 86_400_000].map(Duration::from_millis) {
        let config = TableConfig::builder().idle(idle).build().unwrap();
        let mut table = Table::new(&config);
        assert!(table.resolution() <= idle / 2_000);
        for offset in [0, 1, 777, 12_345_678] {
            let start = at(0.0) + Duration::from_nanos(offset);
            table.bind(&key(offset), backend(1), start);
            // Whoever looks refreshes it, so another session is asked for the other end.
            table.bind(&key(offset + 1_000_000_000), backend(1), start);
            assert!(table.lookup(&key(offset), start + idle).is_some(), "{idle:?} {offset}");
            let later = start + idle + idle / 1_000;
            assert!(
                table.lookup(&key(offset + 1_000_000_000), later).is_none(),
                "{idle:?} {offset}"
            );
        }
    }
}

#[test]
fn a_lookup_says_how_long_the_session_was_idle() {
    let mut table = table(|builder| builder);
    table.bind(&key(1), backend(1), at(0.0));
    let found = table.lookup_idle(&key(1), at(30.0)).unwrap();
    assert!(found.idle.abs_diff(Duration::from_secs(30)) <= table.resolution(), "{found:?}");
    assert!(table.lookup_idle(&key(1), at(30.0)).unwrap().idle <= table.resolution());
}

#[test]
fn a_clock_that_was_set_back_makes_nothing_immortal() {
    let hour = 3_600.0;
    for sweeps in [false, true] {
        let mut table = table(|builder| builder.lifetime(1_000 * MINUTE));
        table.bind(&key(1), backend(1), at(5.0 * hour));
        if sweeps {
            table.sweep(at(0.0), 1_000);
        } else {
            assert_eq!(table.lookup(&key(1), at(0.0)), Some(backend(1)));
        }
        assert_eq!(table.lookup(&key(1), at(59.0)), Some(backend(1)));
        assert_eq!(table.lookup(&key(1), at(59.0 + 61.0)), None, "{sweeps}");
    }
    // A few seconds are nothing.
    let mut table = table(|builder| builder);
    table.bind(&key(1), backend(1), at(5.0));
    assert_eq!(table.lookup(&key(1), at(0.0)), Some(backend(1)));
    assert_eq!(table.lookup(&key(1), at(64.0)), Some(backend(1)));
}

#[test]
fn any_reading_of_the_clock_will_do() {
    let mut table =
        table(|builder| builder.lifetime(3 * MINUTE).max_sessions(4).deltas(8).refreshes(true));
    for nanos in [0, u64::MAX, 1, u64::MAX / 2, u64::MAX - 1, 1 << 40] {
        let now = Instant::from_nanos(nanos);
        table.bind(&key(nanos), backend(nanos), now);
        assert_eq!(table.lookup(&key(nanos), now), Some(backend(nanos)));
        table.lookup_idle(&key(0), now);
        table.rebind(&key(0), backend(0), backend(1), now);
        table.sweep(now, 7);
        let exported: Vec<_> = table.iter(now).collect();
        table.import(exported, now);
    }
}

#[test]
fn to_unbind_a_backend_ends_its_sessions_at_once() {
    let mut table = table(|builder| builder);
    for number in 0..100 {
        table.bind(&key(number), backend(number % 2), at(0.0));
    }
    assert_eq!(table.unbind_backend(backend(1)), 50);
    assert_eq!((table.unbind_backend(backend(1)), table.unbind_backend(backend(7))), (0, 0));
    for number in 0..100 {
        let expected = (number % 2 == 0).then_some(backend(0));
        assert_eq!(table.lookup(&key(number), at(1.0)), expected);
    }
    assert_eq!(table.sessions_of(backend(1)), 0);
    assert_eq!(table.iter(at(1.0)).count(), 50);
    // When it comes back it has none of them.
    table.bind(&key(1), backend(1), at(1.0));
    assert_eq!(table.lookup(&key(3), at(1.0)), None);
    assert_eq!(table.sessions_of(backend(1)), 1);
    assert_eq!(table.sweep(at(1.0), 1_000).removed, 49);
    assert_eq!(table.len(), 51);
}

#[test]
fn to_unbind_a_session_ends_it() {
    let mut table = table(|builder| builder);
    table.bind(&key(1), backend(1), at(0.0));
    assert_eq!(table.unbind_session(&key(1), at(0.0)), Some(backend(1)));
    assert_eq!(table.unbind_session(&key(1), at(0.0)), None);
    assert_eq!((table.len(), table.lookup(&key(1), at(0.0))), (0, None));
    table.bind(&key(1), backend(1), at(0.0));
    assert_eq!(table.unbind_session(&key(1), at(61.0)), None, "its time was up");
    assert!(table.is_empty());
}

#[test]
fn a_full_table_lets_new_sessions_in_and_keeps_those_in_use() {
    let mut table = table(|builder| builder.max_sessions(100));
    for number in 0..10 {
        table.bind(&key(number), backend(0), at(0.0));
    }
    for number in 10..1_000 {
        let now = at(number as f64 / 10.0);
        for busy in 0..10 {
            assert_eq!(
                table.lookup(&key(busy), now),
                Some(backend(0)),
                "{busy} at {number} {} {:?}",
                table.len(),
                table.counters()
            );
        }
        assert_eq!(table.bind(&key(number), backend(1), now), backend(1));
        assert_eq!(table.lookup(&key(number), now), Some(backend(1)));
        assert!(table.len() <= 100);
    }
    assert!(table.counters().evicted > 800, "{:?}", table.counters());
}

#[test]
fn the_least_recently_used_go_first() {
    let mut table = table(|builder| builder.max_sessions(2_000));
    for number in 0..2_000 {
        table.bind(&key(number), backend(0), at(number as f64 / 1_000.0));
    }
    for number in 2_000..3_000 {
        table.bind(&key(number), backend(0), at(20.0));
    }
    // A perfect rule would leave none of the older half. Of samples of eight, few of the newer half go.
    let left = |range: std::ops::Range<u64>| {
        range.filter(|&n| table.lookup(&key(n), at(20.0)).is_some()).count()
    };
    let (older, newer, new) = (left(0..1_000), left(1_000..2_000), left(2_000..3_000));
    assert!(older < 250 && newer > 750 && new > 990, "{older} {newer} {new}");
}

#[test]
fn the_dead_make_room_before_the_living() {
    let mut table = table(|builder| builder.max_sessions(1_000));
    for number in 0..500 {
        table.bind(&key(number), backend(0), at(0.0));
    }
    table.unbind_backend(backend(0));
    for number in 500..1_500 {
        table.bind(&key(number), backend(1), at(0.0));
    }
    let evicted = table.counters().evicted;
    // A sample of eight meets one of the dead unless there are hardly any left.
    assert!(evicted < 50, "{evicted}");
}

#[test]
fn a_table_that_nobody_sweeps_does_not_grow_for_the_dead() {
    let mut table = table(|builder| builder.max_sessions(100_000));
    for number in 0..10_000 {
        table.bind(&key(number), backend(0), at(0.0));
    }
    let bytes = table.bytes();
    for number in 10_000..100_000 {
        // A minute is 10,000 sessions, so as many live at any time.
        table.bind(&key(number), backend(0), at(number as f64 * 60.0 / 10_000.0));
    }
    // 16,384 buckets, of which seven in eight may be full.
    assert_eq!(table.bytes(), bytes);
    assert!(table.len() <= 14_336, "{}", table.len());
    assert_eq!(table.counters().evicted, 0);
}

#[test]
fn a_sweep_looks_at_no_more_than_it_may() {
    let mut table = table(|builder| builder);
    for number in 0..1_000 {
        table.bind(&key(number), backend(0), at(0.0));
    }
    let first = table.sweep(at(100.0), 100);
    assert_eq!(first.seen, 100);
    assert!(first.removed > 0 && first.removed <= 100, "{first:?}");
    let mut removed = first.removed;
    for _ in 1..2_048_usize.div_ceil(100) {
        let swept = table.sweep(at(100.0), 100);
        removed += swept.removed;
        assert!(swept.seen == 100 && swept.removed <= 100);
    }
    assert_eq!(removed, 1_000);
    assert!(table.is_empty());
}

#[test]
fn a_backend_too_many_is_refused_and_its_place_comes_back() {
    let mut table = table(|builder| builder.max_backends(3));
    for number in 0..3 {
        table.bind(&key(number), backend(number), at(0.0));
    }
    assert_eq!(table.bind(&key(9), backend(9), at(0.0)), backend(9));
    assert_eq!((table.lookup(&key(9), at(0.0)), table.counters().refused), (None, 1));
    assert_eq!(table.bind(&key(1), backend(9), at(0.0)), backend(1), "but it hears whose it is");
    // A backend without sessions needs no place, unbound or not.
    table.unbind_session(&key(1), at(0.0));
    assert_eq!(table.bind(&key(9), backend(9), at(0.0)), backend(9));
    assert_eq!(table.lookup(&key(9), at(0.0)), Some(backend(9)));
    assert_eq!(table.lookup(&key(2), at(0.0)), Some(backend(2)));
    table.unbind_backend(backend(2));
    assert_eq!(table.bind(&key(8), backend(8), at(0.0)), backend(8));
    assert_eq!(table.lookup(&key(8), at(0.0)), None, "a dead session still has the place");
    table.sweep(at(0.0), 100);
    table.bind(&key(8), backend(8), at(0.0));
    assert_eq!(table.lookup(&key(8), at(0.0)), Some(backend(8)));
}

#[test]
fn ten_thousand_backends_come_and_go() {
    let mut table = table(|builder| builder.max_backends(10).max_sessions(20));
    for number in 0..10_000 {
        table.bind(&key(number), backend(number), at(0.0));
        assert_eq!(table.lookup(&key(number), at(0.0)), Some(backend(number)));
        if number >= 5 {
            table.unbind_backend(backend(number - 5));
        }
        table.sweep(at(0.0), 100);
    }
    assert_eq!(table.counters().refused, 0);
}

#[test]
fn a_cap_in_bytes_is_one_on_growth() {
    let cap = 480_000;
    let config = TableConfig::builder().idle(MINUTE).max_bytes(cap).build().unwrap();
    let mut table = Table::new(&config);
    for number in 0..100_000 {
        table.bind(&key(number), backend(number % 7), at(0.0));
        assert!(table.bytes() <= cap);
        assert!(table.lookup(&key(number), at(0.0)).is_some());
    }
    // 8,192 buckets are 7 in 8 of that, with what clears their marks; they hold 7,168 sessions.
    assert!((5_500..7_200).contains(&table.len()), "{}", table.len());
}

#[test]
fn what_is_exported_is_the_same_elsewhere() {
    for lifetime in [None, Some(100 * MINUTE)] {
        let mut config = TableConfig::builder().idle(MINUTE);
        if let Some(lifetime) = lifetime {
            config = config.lifetime(lifetime);
        }
        let config = config.build().unwrap();
        let (mut here, mut there) = (Table::new(&config), Table::new(&config));
        for number in 0..100 {
            here.bind(&key(number), backend(number % 3), at(number as f64));
        }
        // Its clock has another start.
        let now = Instant::from_nanos(77);
        let mut exported: Vec<_> = here.iter(at(100.0)).collect();
        assert_eq!(exported.len(), 60);
        assert_eq!(there.import(exported.clone(), now).taken, 60);
        let mut again: Vec<_> = there.iter(now).collect();
        exported.sort_by_key(|session| session.key);
        again.sort_by_key(|session| session.key);
        assert_eq!(again, exported);
        // Once more changes nothing, and time goes on.
        assert_eq!(there.import(exported, now).known, 60);
        assert_eq!(there.iter(now + Duration::from_millis(30_500)).count(), 29);
    }
}

#[test]
fn of_two_imports_the_later_use_counts_in_any_order() {
    let session = |number, idle| Session {
        key: key(1),
        backend: backend(number),
        idle: Duration::from_secs(idle),
        age: None,
    };
    let cases = [
        (session(1, 5), session(2, 10), 1),
        (session(2, 5), session(1, 10), 2),
        (session(1, 5), session(2, 5), 1),
    ];
    for (a, b, expected) in cases {
        for order in [[a, b, a], [b, a, b]] {
            let mut table = table(|builder| builder);
            table.import(order, at(0.0));
            assert_eq!(table.lookup(&key(1), at(0.0)), Some(backend(expected)), "{order:?}");
            assert_eq!(table.len(), 1);
            assert_eq!(table.sessions_of(backend(3 - expected)), 0);
        }
    }
}

#[test]
fn an_import_obeys_time_and_caps() {
    let mut table = table(|builder| builder.max_sessions(10).lifetime(10 * MINUTE));
    let session = |number, idle, age: Option<u64>| Session {
        key: key(number),
        backend: backend(1),
        idle: Duration::from_secs(idle),
        age: age.map(Duration::from_secs),
    };
    let imported = table.import(
        [
            session(1, 61, None),
            session(2, 10, Some(601)),
            session(3, u64::MAX / 2, None),
            session(4, 10, Some(599)),
        ],
        at(0.0),
    );
    assert_eq!((imported.expired, imported.taken), (3, 1));
    assert_eq!(table.lookup(&key(4), at(2.0)), None);
    table.sweep(at(2.0), 100);
    for number in 10..20 {
        table.bind(&key(number), backend(1), at(2.0));
    }
    let imported = table.import((20..30).map(|number| session(number, 1, None)), at(2.0));
    assert_eq!((imported.refused, table.len()), (10, 10), "those that are here were used later");
    let imported = table.import((30..40).map(|number| session(number, 1, None)), at(10.0));
    assert_eq!((imported.taken, table.len()), (10, 10));
}

#[test]
fn deltas_tell_what_happened_in_order() {
    let mut table = table(|builder| builder.deltas(100).refreshes(true).max_sessions(2));
    let [a, b] = [1, 2].map(backend);
    table.bind(&key(1), a, at(0.0));
    table.bind(&key(1), b, at(0.1));
    table.rebind(&key(1), a, b, at(1.0));
    table.bind(&key(1), a, at(30.0));
    table.bind(&key(2), a, at(31.0));
    table.bind(&key(3), a, at(32.0));
    table.unbind_session(&key(3), at(32.0));
    table.unbind_backend(a);
    table.unbind_backend(a);
    table.sweep(at(200.0), 100);
    let removed = |number, backend, cause| Delta::Removed { key: key(number), backend, cause };
    let deltas = table.take_deltas();
    assert_eq!(
        deltas.changes,
        [
            Delta::Bound { key: key(1), backend: a },
            Delta::Rebound { key: key(1), from: a, to: b },
            Delta::Refreshed { key: key(1), backend: b },
            Delta::Bound { key: key(2), backend: a },
            removed(1, b, Removal::Evicted),
            Delta::Bound { key: key(3), backend: a },
            removed(3, a, Removal::Unbound),
            Delta::BackendUnbound { backend: a },
            removed(2, a, Removal::Expired),
        ]
    );
    assert_eq!((deltas.lost, table.take_deltas()), (0, Default::default()));
}

#[test]
fn who_follows_too_slowly_is_told() {
    let mut table = table(|builder| builder.deltas(10));
    for number in 0..25 {
        table.bind(&key(number), backend(1), at(0.0));
    }
    let deltas = table.take_deltas();
    assert_eq!(deltas.lost, 15);
    assert_eq!(deltas.changes[0], Delta::Bound { key: key(15), backend: backend(1) });
    assert_eq!(deltas.changes.len(), 10);
    table.bind(&key(99), backend(1), at(0.0));
    assert_eq!((table.take_deltas().lost, table.take_deltas().changes.len()), (0, 0));
}

#[test]
fn a_table_that_is_not_asked_keeps_no_deltas() {
    let mut table = table(|builder| builder);
    table.bind(&key(1), backend(1), at(0.0));
    assert_eq!(table.take_deltas(), Default::default());
}

#[cfg(feature = "serde")]
#[test]
fn sessions_and_settings_have_a_written_form() {
    let session = Session {
        key: SessionKey::from_bytes(*b"01234567"),
        backend: backend(7),
        idle: Duration::from_millis(1_500),
        age: None,
    };
    let text = serde_json::to_string(&session).unwrap();
    assert_eq!(text, r#"{"key":"3031323334353637","backend":7,"idle_ms":1500,"age_ms":null}"#);
    assert_eq!(serde_json::from_str::<Session>(&text).unwrap(), session);
    for wrong in [text.replace("30", "3g"), text.replace("30", "3"), text.replace("age_ms", "age")]
    {
        assert!(serde_json::from_str::<Session>(&wrong).is_err(), "{wrong}");
    }

    let config = TableConfig::builder().lifetime(60 * MINUTE).max_sessions(10).build().unwrap();
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<TableConfig>(&text).unwrap(), config);
    let read = |text| serde_json::from_str::<TableConfig>(text);
    assert_eq!(read("{}").unwrap(), TableConfig::default());
    for (text, field) in [
        (r#"{"idle_ms":0}"#, "idle: 0ns"),
        (r#"{"lifetime_ms":1}"#, "lifetime: 1ms"),
        (r#"{"max_sessions":0}"#, "max_sessions: 0"),
        (r#"{"max_bytes":1000}"#, "max_bytes: 1000"),
        (r#"{"max_backends":0}"#, "max_backends: 0"),
        (r#"{"deltas":99999999}"#, "deltas: 99999999"),
        (r#"{"idle":5}"#, "unknown field `idle`"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}
