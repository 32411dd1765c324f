//! The rows under criterion: `cargo bench -p equipoise-benches -- request/p2c`.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use equipoise_benches::row::Turn;
use equipoise_benches::rows::{Group, Only, Operation};

fn rows(criterion: &mut Criterion) {
    for operation in Operation::ALL {
        for threads in [1, 2] {
            for n in [10, 100, 1_000, 10_000] {
                if operation.runs(n, threads) {
                    run(criterion, &mut Group::new(operation, n, threads, &Only::All));
                }
            }
        }
    }
}

fn run(criterion: &mut Criterion, group: &mut Group) {
    let mut bench = criterion.benchmark_group(group.operation.name());
    bench.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for row in &mut group.rows {
        let size = format!("{} backends, {} threads", group.backends, group.threads);
        bench.bench_function(BenchmarkId::new(row.name, size), |bencher| {
            bencher.iter_custom(|times| row.run(Turn { warm_up: 2, times }));
        });
    }
    bench.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
