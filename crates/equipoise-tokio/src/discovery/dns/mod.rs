//! Backends that a name server knows.

mod builder;
mod lookup;
mod pace;
mod records;
mod refresh;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use tokio::time::{Instant, sleep_until};

pub use builder::DnsBuilder;

use self::lookup::Servers;
use self::pace::Pace;
use self::refresh::{Known, Refreshed, Task};
use super::endpoint::checked;
use super::{Discover, DiscoveryError, Endpoint, NextSet};

/// Which addresses of a name are backends.
///
/// With [`Both`](Self::Both) a host that has an address of each family is two backends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum AddressFamily {
    /// A and AAAA records.
    #[default]
    Both,
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// Backends that a name server knows: the addresses of a name, or the targets of SRV records.
///
/// # What is a backend
/// Each address with a port, whatever the order in which a server lists them. Of a name, all have
/// the same port, weight 1 and tier 0. Of SRV records (RFC 2782), the port and the weight are those
/// of the record, and the tier is the rank of its priority among the priorities present: the lowest
/// is tier 0. A target with several addresses has the weight for each of them. Weight 0 counts as 1,
/// which gives one such record the chance that the RFC's algorithm does. An address and port that
/// comes twice has the sum of the weights if the tiers are the same, or else the better tier. A
/// target `.` is no backend.
///
/// # When it asks again
/// When the smallest TTL of the answers is over, CNAME records on the way included, clamped to a
/// range: neither does a TTL of 0 spin, nor one of a week hide a change. Answers are not cached
/// here.
///
/// # When it fails
/// A failure (SERVFAIL, no answer, no such name) is an error, and the last set stays. It asks again
/// after a pause that doubles from the shortest TTL of the range to the longest, half of it at
/// random, so that balancers which fail together do not ask together. When only a part fails,
/// one target say, the last answer stands in for that part; the rest is up to date. A name that
/// exists without addresses is no failure: the set is empty, and a [`Guard`](super::Guard) may
/// object.
///
/// ```no_run
/// use std::time::Duration;
/// use equipoise_tokio::discovery::{AddressFamily, Discover, Dns};
///
/// # async fn example() -> Result<(), equipoise_tokio::discovery::DiscoveryError> {
/// let mut source = Dns::service("_http._tcp.api.example.com")
///     .name_servers(vec!["10.0.0.53:53".parse().unwrap()])
///     .family(AddressFamily::V4)
///     .ttl(Duration::from_secs(5), Duration::from_secs(60))
///     .build()?;
/// let set = source.next().await?;
/// # Ok(())
/// # }
/// ```
pub struct Dns {
    task: Task,
    servers: Servers,
    pace: Pace,
    known: Known,
    last: Option<Vec<Endpoint>>,
    due: Option<Instant>,
    /// Kept here, so that a listener who stops waiting does not start the questions anew.
    running: Option<Pin<Box<dyn Future<Output = Refreshed> + Send>>>,
    /// News that has yet to be told.
    news: VecDeque<Result<Vec<Endpoint>, DiscoveryError>>,
}

impl Dns {
    /// The addresses of a name, all with this port.
    ///
    /// A name with a dot at its end is complete. Any other is also looked for in the system's search
    /// list, unless name servers are given.
    pub fn host(name: impl Into<String>, port: u16) -> DnsBuilder {
        DnsBuilder::host(name.into(), port)
    }

    /// The targets of the SRV records of a service, such as `_http._tcp.example.com`.
    pub fn service(name: impl Into<String>) -> DnsBuilder {
        DnsBuilder::service(name.into())
    }

    fn note(&mut self, refreshed: Refreshed) {
        let pause = self.pace.next(refreshed.ttl, refreshed.error.is_some());
        self.due = Some(Instant::now() + pause);
        self.known = refreshed.known;
        self.news.extend(refreshed.error.map(Err));
        match refreshed.set.map(checked) {
            Some(Ok(set)) if self.last.as_ref() != Some(&set) => {
                self.last = Some(set.clone());
                self.news.push_back(Ok(set));
            }
            Some(Err(error)) => self.news.push_back(Err(error)),
            Some(Ok(_)) | None => {}
        }
    }
}

impl Discover for Dns {
    fn next(&mut self) -> NextSet<'_> {
        Box::pin(async move {
            loop {
                if let Some(news) = self.news.pop_front() {
                    return news;
                }
                if let Some(due) = self.due {
                    sleep_until(due).await;
                }
                let running = self.running.get_or_insert_with(|| {
                    let (task, servers) = (self.task.clone(), self.servers.clone());
                    Box::pin(task.run(servers, std::mem::take(&mut self.known)))
                });
                let refreshed = running.await;
                self.running = None;
                self.note(refreshed);
            }
        })
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").field("task", &self.task).field("last", &self.last).finish()
    }
}
