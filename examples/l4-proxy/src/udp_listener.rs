//! `[[udp]]`, as it is written and checked.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};

use equipoise_hash::key::KeyKind;
use equipoise_tokio::udp::UdpConfig;
use proxy_kit::StartError;
use proxy_kit::settings::{PoolSettings, listen_addresses, millis, pool_index};
use serde::Deserialize;

/// `[[udp]]`, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UdpSection {
    address: String,
    pool: String,
    idle_ms: Option<u64>,
    max_sessions: Option<NonZeroUsize>,
    responses: Option<NonZeroU32>,
}

/// Where datagrams come in, the index of the pool that takes them, and the limits of their sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct UdpListener {
    pub(crate) address: SocketAddr,
    pub(crate) pool: usize,
    pub(crate) config: UdpConfig,
}

impl UdpListener {
    /// Checks all sections.
    pub(crate) fn all(
        sections: &[UdpSection],
        pools: &[PoolSettings],
    ) -> Result<Vec<Self>, StartError> {
        let addresses = sections.iter().map(|section| section.address.as_str());
        let addresses = listen_addresses("udp", addresses)?;
        let default = UdpConfig::default();
        let check = |(index, (section, address)): (usize, (&UdpSection, SocketAddr))| {
            let at = format!("udp[{index}]");
            let pool = pool_index(&format!("{at}.pool"), &section.pool, pools)?;
            if let Some(unix) = pools[pool].backends().iter().find(|it| it.address.unix().is_some())
            {
                let wrong = format!("backend `{}` of the pool takes no datagrams", unix.address);
                return Err(StartError::new(format!("{at}.pool"), wrong));
            }
            // What could not be so is not let pass without a word.
            let unfit = if pools[pool].send_proxy().is_some() {
                Some("`send_proxy`, which datagrams can't carry")
            } else if pools[pool].key().is_some_and(|key| key.looks_at(KeyKind::Sni)) {
                Some("a key of `sni`, which datagrams don't have")
            } else {
                None
            };
            if let Some(unfit) = unfit {
                let wrong = format!("the pool has {unfit}; give `[[udp]]` another one");
                return Err(StartError::new(format!("{at}.pool"), wrong));
            }
            let config = UdpConfig {
                idle: millis(&format!("{at}.idle_ms"), section.idle_ms, default.idle)?,
                max_sessions: section.max_sessions.map_or(default.max_sessions, NonZeroUsize::get),
                responses: section.responses,
            };
            Ok(Self { address, pool, config })
        };
        sections.iter().zip(addresses).enumerate().map(check).collect()
    }
}
