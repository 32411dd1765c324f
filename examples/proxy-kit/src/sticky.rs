//! `[pools.NAME.sticky]`: how a pool keeps a session's requests together, as it is written, checked, and
//! at work. What the settings mean is said in `docs/sessions.md`.

mod memory;
mod pins;
mod report;
mod settings;
mod work;

pub use memory::Memory;
pub use pins::{Brought, Pins, Session};
pub use report::{RedisReport, SessionsReport, TableReport};
pub use settings::{By, ModeKind, StickyFlag, StickySection, StickySettings, SurplusSection};
pub use work::{Sticky, Way};
