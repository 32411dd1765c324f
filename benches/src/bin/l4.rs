//! Measures L4 proxies side by side. `l4 --help` says how.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("l4: this bench needs Linux: it reads /proc, and pins processes to cores");
    ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
mod linux {
    use std::error::Error;
    use std::fmt::Write as _;
    use std::process::ExitCode;

    use equipoise_benches::l4::options::{BACKENDS, HELP, Options, POLICIES};
    use equipoise_benches::l4::proxies::{OURS, find};
    use equipoise_benches::l4::scenario::Scenario;
    use equipoise_benches::l4::turn::Stage;
    use equipoise_benches::l4::{additions, process, report, roles, rounds};

    pub(super) fn main() -> ExitCode {
        let args: Vec<_> = std::env::args().skip(1).collect();
        let done = match roles::run(&args) {
            Some(done) => done.map_err(Into::into),
            None => match Options::parse(args.into_iter()) {
                Some(options) => bench(&options),
                None => Err(HELP.into()),
            },
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn bench(options: &Options) -> Result<(), Box<dyn Error>> {
        let (candidates, missing) = find(&options.proxies, &options.programs);
        let Options { seconds, rounds, .. } = *options;
        let mut stage = Stage::new(seconds)?;
        let (mut tables, mut verdicts) = (String::new(), String::new());
        for scenario in Scenario::ALL {
            if !options.wants(scenario.name()) {
                continue;
            }
            let mut able = candidates.clone();
            able.retain(|candidate| candidate.has_udp || scenario != Scenario::Udp);
            let rows = rounds::run(&mut stage, &able, scenario, rounds);
            tables += &report::table(scenario, &rows);
            verdicts.extend(report::verdict(scenario, &rows));
        }
        let port = stage.any_backend();
        if let Some(ours) = candidates.iter().find(|candidate| candidate.name == OURS) {
            let parts = [
                (BACKENDS, "Ours alone: backends", additions::backends(ours, port)),
                (POLICIES, "Ours alone: policies, 100 backends", additions::policies(ours, port)),
            ];
            for (_, title, rows) in parts.into_iter().filter(|(name, ..)| options.wants(name)) {
                let rows = rounds::run(&mut stage, &rows, Scenario::Connect, rounds);
                tables += &report::additions(title, &rows);
            }
        }
        let mut page = format!(
            "# The L4 proxy beside others\n\n{} cores, the proxy pinned to the first, load and backends to the last; \
             {rounds} rounds of {seconds} s, medians.\n",
            process::cores()
        );
        for candidate in candidates.iter().filter(|candidate| !candidate.version.is_empty()) {
            let _ = writeln!(page, "* {}: {}", candidate.name, candidate.version);
        }
        if !missing.is_empty() {
            let _ = writeln!(page, "* not found, and left out: {}", missing.join(", "));
        }
        if !verdicts.is_empty() {
            page += "\n## Targets\n\n| | target, same run | measured | |\n|---|---|---|---|\n";
            page += &verdicts;
        }
        let page = page + "\n" + tables.trim_end() + "\n";
        print!("{page}");
        if let Some(file) = &options.out {
            std::fs::write(file, page)?;
        }
        Ok(())
    }
}
