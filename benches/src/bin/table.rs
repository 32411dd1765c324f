//! Runs the rows in turn and writes the table. `table --help` says how.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::process::ExitCode;
use std::time::Duration;

use equipoise_benches::report::{self, Plan};
use equipoise_benches::row::Turn;
use equipoise_benches::rows::{Group, Only, Operation};

const HELP: &str = "\
usage: table [options]
  --op a,b          operations: pick, pick+drop, request, snapshot, join/leave, set_weight
  --n 10,100        sizes of the pool [10,100,1000,10000]
  --threads 1,2     threads [1,2]
  --only TEXT       only rows whose name contains it
  --row NAME        only that row
  --rounds R        batches of each row [41]
  --batch-us T      the length of a batch in microseconds [1500]
  --out FILE        write the table there too
  --count TIMES     run each row, so many operations after a warm-up, untimed: for callgrind";

#[derive(Debug)]
struct Options {
    operations: Vec<Operation>,
    sizes: Vec<usize>,
    threads: Vec<usize>,
    only: Only,
    plan: Plan,
    out: Option<String>,
    count: Option<u64>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            operations: Operation::ALL.to_vec(),
            sizes: vec![10, 100, 1_000, 10_000],
            threads: vec![1, 2],
            only: Only::All,
            plan: Plan { rounds: 41, batch: Duration::from_micros(1_500) },
            out: None,
            count: None,
        };
        while let Some(option) = args.next() {
            let value = args.next()?;
            match option.as_str() {
                "--op" => {
                    options.operations = value.split(',').map(operation).collect::<Option<_>>()?;
                }
                "--n" => options.sizes = numbers(&value)?,
                "--threads" => options.threads = numbers(&value)?,
                "--only" => options.only = Only::Containing(value),
                "--row" => options.only = Only::Named(value),
                "--rounds" => options.plan.rounds = value.parse().ok().filter(|&r| r > 0)?,
                "--batch-us" => options.plan.batch = Duration::from_micros(value.parse().ok()?),
                "--out" => options.out = Some(value),
                "--count" => options.count = Some(value.parse().ok()?),
                _ => return None,
            }
        }
        Some(options)
    }

    fn groups(&self) -> impl Iterator<Item = Group> + '_ {
        self.operations.iter().flat_map(move |&operation| {
            self.threads.iter().flat_map(move |&threads| {
                let sizes = self.sizes.iter().filter(move |&&n| operation.runs(n, threads));
                sizes.map(move |&n| Group::new(operation, n, threads, &self.only))
            })
        })
    }
}

fn numbers(list: &str) -> Option<Vec<usize>> {
    list.split(',').map(|number| number.parse().ok()).collect()
}

fn operation(name: &str) -> Option<Operation> {
    Operation::ALL.into_iter().find(|operation| operation.name() == name)
}

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("{HELP}");
        return ExitCode::FAILURE;
    };
    if let Some(times) = options.count {
        for mut group in options.groups() {
            for row in &mut group.rows {
                row.run(Turn { warm_up: 2_000, times });
            }
        }
        return ExitCode::SUCCESS;
    }
    print!("{}", report::HEADER);
    let mut table = report::HEADER.to_owned();
    for mut group in options.groups() {
        let figures = report::measure(&mut group, options.plan);
        let lines = report::lines(&group, &figures);
        print!("{lines}");
        table.push_str(&lines);
    }
    match options.out.map(|file| std::fs::write(file, table)) {
        Some(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
