//! From the configuration to the admin server.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::{AdminSection, AdminSettings, Pools, serve};
use crate::listen::{self, Inherited};
use crate::shutdown::Guard;
use crate::{StartError, flags::Flags, log};

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

    /// Takes its port, unless it is inherited. To be done before anything is served.
    ///
    /// # Errors
    /// It can't be had.
    pub fn bind(self, inherited: &mut Inherited) -> Result<(Self, TcpListener), StartError> {
        let listener = match inherited.take(&self.address().into())?.pop() {
            Some(socket) => TcpListener::from_std(socket.into())
                .map_err(|error| StartError::new("LISTEN_FDS: admin", error))?,
            None => listen::bind_one(self.address())?,
        };
        Ok((self, listener))
    }
}

/// Starts serving operators, and says where. Hands the socket out, for whoever takes it over.
pub fn start(
    program: &str,
    (settings, listener): (AdminSettings, TcpListener),
    pools: Arc<dyn Pools>,
    guard: Guard,
) -> Arc<TcpListener> {
    let address = listener.local_addr().unwrap_or(settings.address());
    let listener = Arc::new(listener);
    tokio::spawn(serve(Arc::clone(&listener), settings, pools, guard));
    log::line(format_args!("{program}: admin at http://{address}/backends"));
    listener
}
