//! Whatever is called in whatever order, at whatever times: the caps hold, and who binds is answered.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use equipoise_core::{BackendId, Instant};
use equipoise_sticky::{Session, SessionKey, ShardedTable, TableConfig};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Settings {
    idle_ms: u16,
    lifetime_ms: Option<u32>,
    max_sessions: u8,
    max_backends: u8,
    kib: Option<u8>,
    deltas: u8,
}

#[derive(Arbitrary, Debug)]
enum Op {
    /// Any reading of the clock.
    Now(u64),
    Later(u32),
    Lookup(u8),
    Bind(u8, u8),
    Rebind(u8, u8, u8),
    UnbindSession(u8),
    UnbindBackend(u8),
    Sweep(u8),
    Import(u8, u8, u64, Option<u64>),
    Reimport,
    TakeDeltas,
}

fn key(number: u8) -> SessionKey {
    // Hostile: keys that meet in one place, as nobody can make them without the secret.
    SessionKey::from_bytes([0, number, 0, 0, 0, 0, 0, 0])
}

fuzz_target!(|input: (Settings, Vec<Op>)| {
    let (settings, ops) = input;
    let backend = |number: u8| BackendId::new(number.into());
    let builder = TableConfig::builder()
        .idle(Duration::from_millis(settings.idle_ms.into()))
        .max_sessions(settings.max_sessions.into())
        .max_backends(settings.max_backends.into())
        .deltas(settings.deltas.into())
        .refreshes(settings.deltas > 100);
    let builder = match settings.lifetime_ms {
        Some(lifetime) => builder.lifetime(Duration::from_millis(lifetime.into())),
        None => builder,
    };
    let builder = match settings.kib {
        Some(kib) => builder.max_bytes(usize::from(kib) << 10),
        None => builder,
    };
    let Ok(config) = builder.build() else { return };
    let table = ShardedTable::new(&config);
    let mut now = Instant::from_nanos(1 << 60);
    for op in ops {
        match op {
            Op::Now(nanos) => now = Instant::from_nanos(nanos),
            Op::Later(micros) => now = now + Duration::from_micros(micros.into()),
            Op::Lookup(number) => _ = table.lookup_idle(&key(number), now),
            Op::Bind(number, id) => {
                let refused = table.counters().refused;
                let winner = table.bind(&key(number), backend(id), now);
                if table.counters().refused == refused {
                    assert_eq!(table.lookup(&key(number), now), Some(winner));
                }
            }
            Op::Rebind(number, from, to) => {
                let winner = table.rebind(&key(number), backend(from), backend(to), now);
                assert!(winner != backend(from) || from == to || table.counters().refused > 0);
            }
            Op::UnbindSession(number) => {
                table.unbind_session(&key(number), now);
                assert_eq!(table.lookup(&key(number), now), None);
            }
            Op::UnbindBackend(id) => _ = table.unbind_backend(backend(id)),
            Op::Sweep(budget) => _ = table.sweep(now, budget.into()),
            Op::Import(number, id, idle, age) => {
                let (idle, age) = (Duration::from_nanos(idle), age.map(Duration::from_nanos));
                table.import([Session { key: key(number), backend: backend(id), idle, age }], now);
            }
            Op::Reimport => {
                let sessions: Vec<_> = table.iter(now).collect();
                table.import(sessions, now);
            }
            Op::TakeDeltas => assert!(table.take_deltas().changes.len() <= config.deltas()),
        }
        assert!(table.len() <= config.max_sessions());
        assert!(table.iter(now).count() <= table.len());
        assert!(config.max_bytes().is_none_or(|max| table.bytes() <= max));
    }
});
