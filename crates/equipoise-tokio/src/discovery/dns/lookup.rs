//! One question to the name servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{ResolverBuilder, TokioResolver};

use crate::discovery::{DiscoveryError, LookupFailure};

/// Whom to ask.
#[derive(Clone)]
pub(super) enum Servers {
    /// The system's, which may change: read anew each time.
    System {
        timeout: Duration,
    },
    Given(Arc<TokioResolver>),
}

/// What came of a question.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The records of the kind that was asked for; none if the name has none of the kind.
    pub(super) data: Vec<RData>,
    /// How long it holds: the smallest TTL on the way. `None` if the server does not say.
    pub(super) ttl: Option<Duration>,
}

impl Servers {
    pub(super) fn new(
        given: Option<&[SocketAddr]>,
        timeout: Duration,
    ) -> Result<Self, DiscoveryError> {
        let Some(given) = given else {
            return Ok(Self::System { timeout });
        };
        let servers = given.iter().map(|server| {
            let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            for connection in &mut connections {
                connection.port = server.port();
            }
            NameServerConfig::new(server.ip(), true, connections)
        });
        let config = ResolverConfig::from_parts(None, vec![], servers.collect());
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        Ok(Self::Given(build(builder, timeout)?))
    }

    /// What asks them.
    pub(super) fn resolver(&self) -> Result<Arc<TokioResolver>, DiscoveryError> {
        match self {
            Self::Given(resolver) => Ok(resolver.clone()),
            Self::System { timeout } => {
                build(TokioResolver::builder_tokio().map_err(unknown)?, *timeout)
            }
        }
    }
}

fn build(
    mut builder: ResolverBuilder<TokioRuntimeProvider>,
    timeout: Duration,
) -> Result<Arc<TokioResolver>, DiscoveryError> {
    let options = builder.options_mut();
    options.timeout = timeout;
    // This many more.
    options.attempts = 1;
    // Whether an answer still holds is decided here, once.
    options.cache_size = 0;
    // Their TTLs count.
    options.preserve_intermediates = true;
    builder.build().map(Arc::new).map_err(unknown)
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` has")]
fn unknown(error: NetError) -> DiscoveryError {
    DiscoveryError::NameServers { reason: error.to_string() }
}

/// Asks one question.
pub(super) async fn ask(
    resolver: Arc<TokioResolver>,
    name: Name,
    kind: RecordType,
) -> Result<Answer, DiscoveryError> {
    let failure = match resolver.lookup(name.clone(), kind).await {
        Ok(lookup) => {
            let ttl = lookup.answers().iter().map(|record| u64::from(record.ttl)).min();
            let data = lookup.answers().iter().filter(|record| record.record_type() == kind);
            return Ok(Answer {
                data: data.map(|record| record.data.clone()).collect(),
                ttl: ttl.map(Duration::from_secs),
            });
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(no))) => match no.response_code {
            // A server that knows somebody who may know has not said that there is nothing.
            ResponseCode::NoError if no.ns.is_some() && no.soa.is_none() => {
                LookupFailure::Other("a referral to other name servers".into())
            }
            ResponseCode::NoError => {
                let ttl = no.negative_ttl.map(|ttl| Duration::from_secs(ttl.into()));
                return Ok(Answer { data: vec![], ttl });
            }
            ResponseCode::NXDomain => LookupFailure::NoSuchName,
            code => LookupFailure::Answered(code.to_string()),
        },
        Err(NetError::Dns(DnsError::ResponseCode(code))) => {
            LookupFailure::Answered(code.to_string())
        }
        Err(NetError::Timeout) => LookupFailure::Timeout,
        Err(error) => LookupFailure::Other(error.to_string()),
    };
    Err(DiscoveryError::Lookup { name: name.to_string(), record: kind.into(), failure })
}
