//! Session tables: ours, and the maps and caches that one would use in its place.

pub mod measure;
pub mod ours;
#[cfg(feature = "session-peers")]
pub mod peers;
pub mod report;
pub mod subject;
