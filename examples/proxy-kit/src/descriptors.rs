//! File descriptors: as many as may be had, and how many clients they are enough for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::listen::Limit;
use crate::log;

/// For listeners, health checks, Redis, the log, and what libraries open.
const RESERVE: usize = 64;

/// Takes as many file descriptors as this process may without asking anybody (`RLIMIT_NOFILE`, the hard limit of
/// setrlimit(2)), and returns how many. None: without limit.
///
/// The soft limit is for programs that use select(2), which can't count beyond 1,024; none of ours does.
pub fn raise() -> Option<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// So many are for clients, of so many in all. None: without limit.
pub fn limit(descriptors: Option<usize>) -> Limit {
    descriptors.map_or(Limit::None, |all| Limit::Descriptors(all.saturating_sub(RESERVE)))
}

/// Says so when the limits that are configured promise more than there are descriptors for.
pub fn warn_of_too_few(program: &str, descriptors: usize, connections: usize, sessions: usize) {
    let needed = connections.saturating_mul(2).saturating_add(sessions).saturating_add(RESERVE);
    if needed > descriptors {
        log::warn(format_args!(
            "{program}: {connections} connections and {sessions} UDP sessions at a time would need {needed} file \
             descriptors; this process may have {descriptors}, see ulimit -n"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_may_be_had_is_had() {
        let limit = raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
        assert_eq!(limit.map(|limit| limit as u64), now.maximum);
    }
}
