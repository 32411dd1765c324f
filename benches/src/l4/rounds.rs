//! The proxies take turns.

use crate::l4::proxies::Candidate;
use crate::l4::scenario::Scenario;
use crate::l4::turn::{Sample, Stage};
use crate::report::Figures;

/// What came of one proxy's turns.
#[derive(Clone, Debug)]
pub struct Row {
    /// The proxy.
    pub name: String,
    /// One a round.
    pub samples: Vec<Sample>,
    /// Why there are fewer, if there are.
    pub failure: Option<String>,
}

impl Row {
    /// A figure of all turns, of which there is at least one.
    pub fn figures(&self, of: impl Fn(&Sample) -> f64) -> Figures {
        Figures::of(self.samples.iter().map(of).collect())
    }

    /// The largest of a figure.
    pub fn most(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        self.samples.iter().map(of).fold(0.0, f64::max)
    }
}

/// In each round each proxy has its turn, so that a busy moment of the machine falls on all alike. One
/// that fails is left out from then on.
pub fn run(
    stage: &mut Stage,
    candidates: &[Candidate],
    scenario: Scenario,
    rounds: usize,
) -> Vec<Row> {
    let row = |candidate: &Candidate| Row {
        name: candidate.name.clone(),
        samples: Vec::new(),
        failure: None,
    };
    let mut rows: Vec<Row> = candidates.iter().map(row).collect();
    for round in 1..=rounds {
        for (candidate, row) in
            candidates.iter().zip(&mut rows).filter(|(_, row)| row.failure.is_none())
        {
            let (what, name) = (scenario.name(), &row.name);
            match stage.turn(candidate, scenario) {
                Ok(sample) => {
                    let Sample { outcome, micros, .. } = sample;
                    let rate = outcome.count / outcome.seconds;
                    eprintln!(
                        "{what} {round}/{rounds} {name}: {micros:.1} µs, {rate:.0}/s, {} errors",
                        outcome.errors
                    );
                    row.samples.push(sample);
                }
                Err(error) => {
                    eprintln!("{what} {round}/{rounds} {name}: {error}");
                    row.failure = Some(error.to_string());
                }
            }
        }
    }
    rows
}
