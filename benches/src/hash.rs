//! Consistent hashing: our structures beside the crates that one would use today.
//!
//! Everybody gets the same keys and the same servers, and answers with a server's address: so
//! hashing the key, and looking up who an index stands for, count for everyone. The list of all rows
//! is in [`rows`]; the program is `hash`, and `plots` draws what it has measured.

pub mod balance;
pub mod candidate;
pub mod keys;
pub mod measure;
pub mod ours;
pub mod peers;
pub mod pools;
pub mod record;
pub mod report;
pub mod rows;
pub mod servers;
pub mod subject;
pub mod target;
