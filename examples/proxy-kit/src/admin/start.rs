//! From the configuration to the admin server.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::{AdminSection, AdminSettings, Pools, serve};
use crate::shutdown::Guard;
use crate::{StartError, flags::Flags, listen, log};

impl AdminSettings {
    /// From the section of a file, if there is one.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_section(section: Option<&AdminSection>) -> Result<Option<Self>, StartError> {
        section.map(Self::new).transpose()
    }

    /// From the flags, if they ask for it.
    ///
    /// # Errors
    /// As [`from_flag`](Self::from_flag).
    pub fn from_flags(flags: &Flags) -> Result<Option<Self>, StartError> {
        flags.admin.map(Self::from_flag).transpose()
    }

    /// Takes its port. To be done before anything is served.
    ///
    /// # Errors
    /// It can't be had.
    pub async fn bind(self) -> Result<(Self, TcpListener), StartError> {
        let mut bound = listen::bind(&[self.address()]).await?;
        let listener = bound.pop().ok_or_else(|| StartError::new("admin.address", "not bound"))?;
        Ok((self, listener))
    }
}

/// Starts serving operators, and says where.
pub fn start(
    program: &str,
    (settings, listener): (AdminSettings, TcpListener),
    pools: Arc<dyn Pools>,
    guard: Guard,
) {
    let address = listener.local_addr().unwrap_or(settings.address());
    tokio::spawn(serve(listener, settings, pools, guard));
    log::line(format_args!("{program}: admin at http://{address}/backends"));
}
