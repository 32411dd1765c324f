//! `--sticky`, as it is written.

use std::str::FromStr;

use super::{ModeKind, StickySection, StickySettings};
use crate::StartError;
use crate::keys::Sight;

/// `--sticky`, as it is written: `MODE` or `MODE=NAME`. All else is as it is by default.
#[derive(Clone, Debug)]
pub struct StickyFlag {
    mode: ModeKind,
    name: Option<String>,
}

impl StickyFlag {
    /// Checks it.
    ///
    /// # Errors
    /// As [`StickySettings::new`].
    pub fn settings(&self, sight: Sight) -> Result<StickySettings, StartError> {
        let section = StickySection::new(self.mode, self.name.clone());
        StickySettings::new("--sticky", &section, sight, &[])
    }
}

impl FromStr for StickyFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const MODES: [ModeKind; 5] = [
            ModeKind::Cookie,
            ModeKind::Client,
            ModeKind::Learn,
            ModeKind::Header,
            ModeKind::Prefix,
        ];
        let (mode, name) = text.split_once('=').map_or((text, None), |(m, n)| (m, Some(n)));
        let known = MODES.into_iter().find(|known| known.name() == mode);
        let mode = known.ok_or_else(|| {
            let names: Vec<_> = MODES.iter().map(|mode| mode.name()).collect();
            let names = names.join(", ");
            match mode {
                "route" => {
                    "mode `route` needs its `routes`: give it in the file of --config".to_owned()
                }
                _ => format!("no mode `{mode}`; allowed are {names}"),
            }
        })?;
        Ok(Self { mode, name: name.map(str::to_owned) })
    }
}
