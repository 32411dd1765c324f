//! What the clients saw, what the log says, and what was done: does it agree?

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Instant;

use proxy_lab::echo::Echo;

use super::breakage::{Breakage, Cause};
use super::flows::Flow;
use super::visits::{Ending, Visit};
use super::{DETECTION, World};

/// A line of the log about a connection or a session.
#[derive(Debug)]
struct Line {
    backend: String,
    end: String,
    is_udp: bool,
    /// Of UDP: how many the client sent, and how many it got.
    datagrams: (usize, usize),
}

impl Line {
    /// With the client's address, if it is such a line.
    fn read(line: &str) -> Option<(String, Self)> {
        let field = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}="))?;
            Some(rest.split(' ').next().unwrap_or(rest))
        };
        let (client, _) = line.split_once(" pool=")?;
        let (_, end) = line.split_once(" end=\"")?;
        let datagrams = field("datagrams").and_then(|both| both.split_once('/'));
        let number = |text: &str| text.parse().expect("a number");
        let line = Self {
            backend: field("backend")?.to_owned(),
            end: end.trim_end_matches('"').to_owned(),
            is_udp: datagrams.is_some(),
            datagrams: datagrams
                .map(|(sent, received)| (number(sent), number(received)))
                .unwrap_or_default(),
        };
        Some((client.to_owned(), line))
    }
}

const CLOSED: &str = "closed";
const BY_CLIENT: &str = "broken by client";
const BY_BACKEND: &str = "broken by backend";
const TAKEN_OUT: &str = "the backend was taken out";
const REFUSED: &str = "refused by backend";
const IDLE: &str = "idle";

struct Judge<'a> {
    breakages: Vec<Breakage>,
    backends: &'a [Echo],
    lines: BTreeMap<String, Vec<Line>>,
    violations: Vec<String>,
}

/// Holds the clients' word against the log's, and prints what it comes to.
pub(super) fn judge(world: &World, backends: &[Echo], reloads: usize) {
    let mut lines = BTreeMap::<_, Vec<_>>::new();
    for (client, line) in world.proxy.output().iter().filter_map(|line| Line::read(line)) {
        lines.entry(client).or_default().push(line);
    }
    let breakages = world.breakages.all();
    let mut judge = Judge { breakages, backends, lines, violations: Vec::new() };
    judge.events(world, reloads);
    judge.visits(&world.visits.lock());
    judge.flows(&world.flows.lock());
    let errors = world.proxy.errors();
    // Nothing but that the gate was full, and in the end UDP.
    let full = ["limits.max_connections", "max_sessions", "there is room"];
    let strange = errors.iter().filter(|line| !full.iter().any(|full| line.contains(full)));
    judge.violations.extend(strange.map(|line| format!("standard error: {line}")));
    println!("standard error: {} lines, all of limits", errors.len());
    let violations = &judge.violations;
    if !violations.is_empty() {
        let health = world.proxy.output().into_iter().filter(|line| line.starts_with("health "));
        health.for_each(|line| println!("{line}"));
        judge.breakages.iter().for_each(|breakage| println!("{breakage:?}"));
    }
    for violation in violations.iter().take(40) {
        println!("VIOLATION {violation}");
    }
    assert!(violations.is_empty(), "{} violations, see above", violations.len());
}

impl Judge<'_> {
    /// Each that must have been found out is in the log.
    fn events(&mut self, world: &World, reloads: usize) {
        let mut counts = BTreeMap::new();
        for breakage in &self.breakages {
            *counts.entry(breakage.cause).or_insert(0) += 1;
        }
        assert!(!counts.is_empty(), "nothing was broken");
        println!("done: {counts:?}, reloads {reloads}");
        let log = world.proxy.output();
        for backend in self.backends {
            let long = self.breakages.iter().filter(|one| {
                one.backend == backend.address && one.cause == Cause::Hung && one.lasted > DETECTION
            });
            let pieces = ["health pool=web", &backend.address, "down"];
            let told = log.iter().filter(|line| pieces.iter().all(|piece| line.contains(piece)));
            let (long, told) = (long.count(), told.count());
            if told < long {
                let name = &backend.name;
                self.violations.push(format!("{name} hung {long} times, told {told} times"));
            }
        }
        // Nobody was ever without a backend.
        let nobody = log.iter().filter(|line| line.contains("no backend takes new requests"));
        self.violations.extend(nobody.cloned());
    }

    fn visits(&mut self, visits: &[Visit]) {
        let mut endings = BTreeMap::new();
        let mut lost = BTreeMap::new();
        for visit in visits {
            let key = (visit.kind, word(&visit.ending));
            *endings.entry(key).or_insert(0) += 1;
            match self.visit(visit) {
                Ok(None) => {}
                Ok(Some(why)) => *lost.entry(why).or_insert(0) += 1,
                Err(why) => {
                    let line = self.lines.get(&visit.client.to_string());
                    self.violations.push(format!("{why}: {visit:?}, log: {line:?}"));
                }
            }
        }
        let whole = visits.iter().filter(|visit| visit.ending == Ending::Whole).count();
        assert!(whole > 100, "a run in which nothing happens shows nothing: {whole}");
        println!("connections: {}", visits.len());
        print_all(&endings);
        println!("lost, by what was done and what the log says:");
        print_all(&lost);
    }

    /// What a connection was lost to, if it was.
    fn visit(&self, visit: &Visit) -> Result<Option<(Cause, String)>, &'static str> {
        let lines = self.lines.get(&visit.client.to_string()).map_or(&[][..], Vec::as_slice);
        let [line] = lines else { return Err("not one line") };
        if let Some((name, _)) = &visit.backend
            && self.name(&line.backend) != Some(name)
        {
            return Err("another backend");
        }
        let end = line.end.as_str();
        let process = visit.backend.as_ref().map(|(_, process)| *process);
        let ended = match visit.ending {
            Ending::Lost => Some(visit.ended),
            // The backend has yet to hear of it, which may take as long as it hangs.
            _ => None,
        };
        let time = (visit.opened, ended);
        let excuse = self.excuse(&line.backend, process, time, end);
        match &visit.ending {
            Ending::Wrong(_) => Err("wrong"),
            _ if self.outlived_a_hang(&line.backend, visit) => Err("outlived a hang"),
            Ending::Whole if end == CLOSED => Ok(None),
            // It may not have had a backend yet.
            Ending::Left if [CLOSED, BY_CLIENT].contains(&end) => Ok(None),
            // The client has all of it, or did not wait for it.
            Ending::Whole | Ending::Left if excuse.is_some() => Ok(None),
            Ending::Whole | Ending::Left => Err("another end"),
            Ending::Lost => match excuse {
                Some(cause) => Ok(Some((cause, line.end.clone()))),
                None => Err("lost for no reason"),
            },
        }
    }

    /// What was done to this backend, and to this process if it is known, that makes a connection of this time end
    /// so.
    fn excuse(
        &self,
        backend: &str,
        process: Option<u32>,
        (opened, ended): (Instant, Option<Instant>),
        end: &str,
    ) -> Option<Cause> {
        let explains = |one: &&Breakage| {
            let is_of_time = ended.is_none_or(|ended| one.from <= ended)
                && one.until.is_none_or(|until| opened <= until);
            let is_of_process = process.is_none_or(|process| process == one.process);
            one.backend == backend
                && is_of_time
                && match (one.cause, end) {
                    (Cause::Killed | Cause::Restarted, BY_BACKEND | CLOSED | REFUSED) => {
                        is_of_process
                    }
                    (Cause::Reset, BY_BACKEND) => is_of_process,
                    // A check may find out late, when another process is there.
                    (Cause::Killed | Cause::Restarted | Cause::Hung, TAKEN_OUT) => true,
                    _ => false,
                }
        };
        self.breakages.iter().rev().find(explains).map(|one| one.cause)
    }

    /// Whether it was open before its backend hung, for longer than it takes to find that out, and after.
    fn outlived_a_hang(&self, backend: &str, visit: &Visit) -> bool {
        self.breakages.iter().any(|one| {
            one.backend == backend
                && one.cause == Cause::Hung
                && one.lasted > DETECTION
                && visit.opened < one.from
                && visit.ended > one.from + one.lasted
        })
    }

    fn flows(&mut self, flows: &[Flow]) {
        let (mut sent, mut lost, mut moves, mut sessions) = (0, 0, 0, 0);
        let mut ends = BTreeMap::new();
        for flow in flows {
            sent += flow.sent;
            lost += flow.unanswered.len();
            moves += flow.moves.len();
            for line in self.lines.get(&flow.client.to_string()).into_iter().flatten() {
                sessions += 1;
                *ends.entry(line.end.clone()).or_insert(0) += 1;
            }
            if let Err(why) = self.flow(flow) {
                let lines = self.lines.get(&flow.client.to_string());
                self.violations.push(format!("{why}: {flow:?}, log: {lines:?}"));
            }
        }
        println!(
            "flows: {}, sessions {sessions}, datagrams {sent}, lost {lost}, moves {moves}",
            flows.len()
        );
        print_all(&ends);
    }

    fn flow(&self, flow: &Flow) -> Result<(), String> {
        if let Some(wrong) = &flow.wrong {
            return Err(wrong.clone());
        }
        let lines = self.lines.get(&flow.client.to_string());
        let lines = lines.ok_or_else(|| "no session".to_owned())?;
        let passed: usize = lines.iter().map(|line| line.datagrams.0).sum();
        if passed > flow.sent {
            return Err(format!("{passed} datagrams of {}", flow.sent));
        }
        let broken = |backend: &str, (from, until): (Instant, Instant)| {
            self.breakages.iter().any(|one| {
                one.backend == backend
                    && one.cause != Cause::Reset
                    && one.from <= until
                    && one.until.is_none_or(|over| from <= over)
            })
        };
        for &at in &flow.unanswered {
            let until = at + super::flows::LATE;
            if !lines.iter().any(|line| broken(&line.backend, (at, until))) {
                return Err("a datagram lost for no reason".to_owned());
            }
        }
        for (before, last, first) in &flow.moves {
            let address = self.backends.iter().find(|one| one.name == *before);
            if !address.is_some_and(|one| broken(&one.address, (*last, *first))) {
                return Err(format!("{before} left for no reason"));
            }
        }
        for line in lines {
            let known = [IDLE, REFUSED, TAKEN_OUT, "cut by shutdown"];
            if !line.is_udp || !known.contains(&&*line.end) {
                return Err(format!("ended so: {}", line.end));
            }
        }
        Ok(())
    }

    fn name(&self, address: &str) -> Option<&String> {
        self.backends.iter().find(|one| one.address == address).map(|one| &one.name)
    }
}

fn word(ending: &Ending) -> &'static str {
    match ending {
        Ending::Whole => "whole",
        Ending::Left => "left by the client",
        Ending::Lost => "lost",
        Ending::Wrong(_) => "WRONG",
    }
}

fn print_all(counts: &BTreeMap<impl Debug, usize>) {
    for (what, count) in counts {
        println!("{count:>7}  {what:?}");
    }
}
