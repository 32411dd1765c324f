//! Lookups never allocate, and nothing else does once a table has its size.
#![cfg(feature = "std")]

use allocation_counter::measure;
use equipoise_core::{BackendId, Instant};
use equipoise_sticky::{SessionHasher, ShardedTable, Table, TableConfig};

const START: Instant = Instant::from_nanos(1 << 50);

#[test]
fn to_look_up_and_to_bind_allocates_nothing() {
    let config = TableConfig::builder().max_sessions(20_000).build().unwrap();
    let hasher = SessionHasher::new([9; 16]);
    let key = |number: u64| hasher.key(&number.to_le_bytes()).unwrap();
    let [a, b] = [1, 2].map(BackendId::new);
    let (shared, mut alone) = (ShardedTable::new(&config), Table::new(&config));
    let growth = measure(|| {
        for number in 0..20_000 {
            shared.bind(&key(number), a, START);
            alone.bind(&key(number), a, START);
        }
        shared.rebind(&key(0), a, b, START);
        alone.rebind(&key(0), a, b, START);
    });
    assert!(growth.count_total > 0, "the counter counts");
    let later = START + core::time::Duration::from_secs(600);
    let used = measure(|| {
        for number in 0..40_000 {
            shared.lookup(&key(number), later);
            alone.lookup(&key(number), later);
            alone.lookup_idle(&key(number), later);
        }
        for number in 0..5_000 {
            shared.unbind_session(&key(number), later);
            alone.unbind_session(&key(number), later);
            assert_eq!(shared.bind(&key(100_000 + number), b, later), b);
            assert_eq!(alone.bind(&key(100_000 + number), b, later), b);
            // These evict.
            shared.bind(&key(200_000 + number), b, later);
            alone.bind(&key(200_000 + number), b, later);
            shared.rebind(&key(200_000 + number), b, a, later);
        }
        shared.unbind_backend(b);
        shared.sweep(later, usize::MAX);
        alone.sweep(later, usize::MAX);
    });
    assert_eq!(used.count_total, 0);
    assert!(shared.counters().evicted > 4_000 && alone.counters().evicted > 4_000);
}
