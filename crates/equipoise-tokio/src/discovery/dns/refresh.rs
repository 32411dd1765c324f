//! One round of questions: all that a set is made of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::task::JoinSet;

use super::AddressFamily;
use super::lookup::{Answer, Servers, ask};
use super::records::{Service, of_host, of_services};
use crate::discovery::{DiscoveryError, Endpoint, LookupFailure, MAX_ENDPOINTS};

/// The most targets that SRV records may have. An answer has room for about twice as many.
const MAX_TARGETS: usize = 1_024;
/// How many questions are under way at once.
const CONCURRENCY: usize = 16;

/// What is asked, again and again.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) name: Name,
    /// `None`: the SRV records say.
    pub(super) port: Option<u16>,
    pub(super) family: AddressFamily,
}

/// The last good answers, by question: they stand in for those that fail.
pub(super) type Known = BTreeMap<(Name, RecordType), Vec<IpAddr>>;

/// What came of a round.
pub(super) struct Refreshed {
    /// The set; `None` if there is too little to make one of.
    pub(super) set: Option<Vec<Endpoint>>,
    /// How long the answers hold that came.
    pub(super) ttl: Option<Duration>,
    /// The first failure: of a thousand targets that fail, one is enough to read.
    pub(super) error: Option<DiscoveryError>,
    pub(super) known: Known,
}

impl Task {
    pub(super) async fn run(self, servers: Servers, known: Known) -> Refreshed {
        let mut round = Round { known, ttl: None, error: None };
        let set = match servers.resolver() {
            Ok(resolver) => self.ask(&resolver, &mut round).await,
            Err(error) => Err(error),
        };
        let set = set.map_err(|error| round.error = Some(error)).ok().flatten();
        Refreshed { set, ttl: round.ttl, error: round.error, known: round.known }
    }

    async fn ask(
        &self,
        resolver: &Arc<TokioResolver>,
        round: &mut Round,
    ) -> Result<Option<Vec<Endpoint>>, DiscoveryError> {
        if let Some(port) = self.port {
            let is_whole =
                round.addresses(resolver, [self.name.clone()].into(), self.family).await?;
            let set = of_host(round.known.values().flatten().copied(), port);
            return Ok((is_whole || !set.is_empty()).then_some(set));
        }
        let records = round.services(resolver, self.name.clone()).await?;
        let services: Vec<(Service, Name)> = records.iter().filter_map(service).collect();
        let targets: BTreeSet<Name> = services.iter().map(|(_, target)| target.clone()).collect();
        if targets.len() > MAX_TARGETS {
            return Err(DiscoveryError::TooMany { limit: MAX_TARGETS });
        }
        let is_whole = round.addresses(resolver, targets, self.family).await?;
        let known = &round.known;
        let set = of_services(services.iter().map(|(service, target)| {
            let kinds = kinds(self.family).iter();
            let addresses = kinds.filter_map(|kind| known.get(&(target.clone(), *kind)));
            (*service, addresses.flatten().copied().collect::<BTreeSet<_>>())
        }));
        Ok((is_whole || !set.is_empty()).then_some(set))
    }
}

/// The longest chain of names that is followed to SRV records.
const MAX_CHAIN: u32 = 8;

/// A round under way.
struct Round {
    known: Known,
    ttl: Option<Duration>,
    error: Option<DiscoveryError>,
}

impl Round {
    /// Asks for SRV records.
    ///
    /// The resolver follows a chain of names for addresses, but answers that there are no SRV
    /// records where a CNAME stands before them. So when it does, it is asked for the CNAME.
    async fn services(
        &mut self,
        resolver: &Arc<TokioResolver>,
        mut name: Name,
    ) -> Result<Vec<RData>, DiscoveryError> {
        for _ in 0..MAX_CHAIN {
            let answer = ask(resolver.clone(), name.clone(), RecordType::SRV).await?;
            self.note_ttl(&answer);
            if !answer.data.is_empty() {
                return Ok(answer.data);
            }
            let answer = ask(resolver.clone(), name, RecordType::CNAME).await?;
            self.note_ttl(&answer);
            let Some(RData::CNAME(target)) = answer.data.into_iter().next_back() else {
                return Ok(vec![]);
            };
            name = target.0;
            name.set_fqdn(true);
        }
        let failure = LookupFailure::Other(format!("a chain of more than {MAX_CHAIN} names"));
        Err(DiscoveryError::Lookup { name: name.to_string(), record: "CNAME", failure })
    }

    /// Asks for the addresses of all names. Afterwards `known` has the questions of this round, and
    /// no others; whether each was answered, by now or before, is what it returns.
    ///
    /// # Errors
    /// More addresses than a set may have.
    async fn addresses(
        &mut self,
        resolver: &Arc<TokioResolver>,
        names: BTreeSet<Name>,
        family: AddressFamily,
    ) -> Result<bool, DiscoveryError> {
        let mut before = std::mem::take(&mut self.known);
        let questions = names
            .into_iter()
            .flat_map(|name| kinds(family).iter().map(move |kind| (name.clone(), *kind)));
        let mut questions: VecDeque<(Name, RecordType)> = questions.collect();
        let (mut is_whole, mut count) = (true, 0_usize);
        // Dropping the set ends its tasks.
        let mut running = JoinSet::new();
        loop {
            while running.len() < CONCURRENCY
                && let Some((name, kind)) = questions.pop_front()
            {
                let resolver = resolver.clone();
                running.spawn(async move {
                    let answer = ask(resolver, name.clone(), kind).await;
                    ((name, kind), answer)
                });
            }
            let Some(done) = running.join_next().await else {
                return Ok(is_whole);
            };
            // A task that panics or is cancelled leaves its question unanswered.
            let Ok((question, answer)) = done else {
                is_whole = false;
                continue;
            };
            let found = match answer {
                Ok(answer) => {
                    self.note_ttl(&answer);
                    Some(answer.data.iter().filter_map(RData::ip_addr).collect::<Vec<_>>())
                }
                Err(error) => {
                    self.error.get_or_insert(error);
                    before.remove(&question)
                }
            };
            match found {
                Some(addresses) => {
                    count += addresses.len();
                    if count > MAX_ENDPOINTS {
                        return Err(DiscoveryError::TooMany { limit: MAX_ENDPOINTS });
                    }
                    self.known.insert(question, addresses);
                }
                None => is_whole = false,
            }
        }
    }

    fn note_ttl(&mut self, answer: &Answer) {
        self.ttl = self.ttl.into_iter().chain(answer.ttl).min();
    }
}

const fn kinds(family: AddressFamily) -> &'static [RecordType] {
    match family {
        AddressFamily::Both => &[RecordType::A, RecordType::AAAA],
        AddressFamily::V4 => &[RecordType::A],
        AddressFamily::V6 => &[RecordType::AAAA],
    }
}

/// A record with a target that can be: `.` says that there is no such service, and nobody listens
/// on port 0.
fn service(data: &RData) -> Option<(Service, Name)> {
    let RData::SRV(record) = data else { return None };
    if record.target.is_root() || record.port == 0 {
        return None;
    }
    let mut target = record.target.clone();
    target.set_fqdn(true);
    let service = Service { priority: record.priority, weight: record.weight, port: record.port };
    Some((service, target))
}
