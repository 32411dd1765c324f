//! The command line.

use std::path::PathBuf;

use crate::l4::proxies;
use crate::l4::scenario::Scenario;

/// How to call the program.
pub const HELP: &str = "\
usage: l4 [options]
  --seconds S         how long each turn lasts [5]
  --rounds R          turns of each proxy [5]
  --only SCENARIO     ping, bulk, connect, udp, idle, kill; backends, policies (l4-proxy alone);
                      may be given several times [all]
  --proxies LIST      of l4-proxy, tokio loop, nginx, haproxy, haproxy-splice, envoy, traefik, sozu,
                      with commas between them [all that are found]
  --program NAME=PATH where a program is, unless on PATH; l4-proxy is looked for in target/release
  --out FILE          write the tables there too";

/// What ours alone is measured for, by the name of the option.
pub const BACKENDS: &str = "backends";
/// The same.
pub const POLICIES: &str = "policies";

/// What to run.
#[derive(Debug)]
pub struct Options {
    /// How long each turn lasts.
    pub seconds: u64,
    /// How often each proxy has its turn.
    pub rounds: usize,
    /// The names of scenarios; none is all.
    pub only: Vec<String>,
    /// The names of proxies.
    pub proxies: Vec<String>,
    /// Where programs are.
    pub programs: Vec<(String, PathBuf)>,
    /// Where the tables go, too.
    pub out: Option<String>,
}

impl Options {
    /// From the command line; none if it is not as [`HELP`] has it.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            seconds: 5,
            rounds: 5,
            only: Vec::new(),
            proxies: proxies::names().into_iter().map(str::to_owned).collect(),
            programs: Vec::new(),
            out: None,
        };
        while let Some(option) = args.next() {
            let value = args.next()?;
            match option.as_str() {
                "--seconds" => options.seconds = value.parse().ok().filter(|&s| s > 0)?,
                "--rounds" => options.rounds = value.parse().ok().filter(|&r| r > 0)?,
                "--only" if is_scenario(&value) => options.only.push(value),
                "--proxies" => {
                    options.proxies = value.split(',').map(|name| name.trim().to_owned()).collect();
                    let known = proxies::names();
                    options
                        .proxies
                        .iter()
                        .all(|name| known.contains(&name.as_str()))
                        .then_some(())?;
                }
                "--program" => {
                    let (name, path) = value.split_once('=')?;
                    options.programs.push((name.to_owned(), path.into()));
                }
                "--out" => options.out = Some(value),
                _ => return None,
            }
        }
        Some(options)
    }

    /// Whether it is to be run.
    pub fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == scenario)
    }
}

fn is_scenario(name: &str) -> bool {
    [BACKENDS, POLICIES].contains(&name) || Scenario::ALL.iter().any(|one| one.name() == name)
}
