//! TLS that ends here: certificates, chosen by the name that a client asks for and read anew while the
//! proxy runs, and the handshake.
//!
//! A [`ServerSection`] as it is written becomes [`ServerSettings`], which can't be wrong; these become a
//! [`Terminator`], once their files are read. A [`Keeper`] has an eye on the files.
//!
//! rustls with ring: TLS 1.2 and 1.3. Sessions are resumed from memory, 256 of them; there is no early
//! data, which could be replayed. No key is in a log or in what `Debug` writes.

mod certificates;
mod failure;
mod pair;
mod reload;
mod settings;
mod stream;
mod terminator;

pub use failure::HandshakeError;
pub use reload::Keeper;
pub use settings::{ServerSection, ServerSettings};
pub use stream::ServerStream;
pub use terminator::{Counts, Terminator};

#[cfg(test)]
mod tests;
