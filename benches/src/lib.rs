//! What a pick costs, beside the peers and beside what the machine allows.
//!
//! Each workload is a [`Worker`](row::Worker), written once. Two programs drive them: `table` runs
//! all rows in turn, in short batches, so that a noisy moment of the machine falls on all of them
//! alike, and writes a Markdown table with ratios and targets; `cargo bench` gives criterion's
//! statistics of one row. The README has the rest.

pub mod floors;
pub mod hash;
#[cfg(target_os = "linux")]
pub mod l4;
pub mod ours;
pub mod peers;
pub mod report;
pub mod row;
pub mod rows;
pub mod sessions;
pub mod target;
