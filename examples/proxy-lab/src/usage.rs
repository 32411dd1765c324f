//! What a process uses, as Linux tells it in `/proc`.

use std::fs;
use std::time::Duration;

/// What a process uses at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// File descriptors of pipes, two for each.
    pub pipes: usize,
    /// All other file descriptors.
    pub descriptors: usize,
    /// KiB of memory that is there.
    pub memory: usize,
    /// On the processor since its start, in steps of 10 ms.
    pub cpu: Duration,
}

impl Usage {
    /// What this process uses now.
    ///
    /// # Panics
    /// If there is none.
    pub fn of(process: u32) -> Self {
        let at = |file: &str| format!("/proc/{process}/{file}");
        let links = fs::read_dir(at("fd")).expect("a process");
        // Some are closed while we look.
        let targets = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
        let (mut pipes, mut descriptors) = (0, 0);
        for target in targets {
            let is_pipe = target.to_string_lossy().starts_with("pipe:");
            *(if is_pipe { &mut pipes } else { &mut descriptors }) += 1;
        }
        let status = fs::read_to_string(at("status")).expect("a process");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
        Self { pipes, descriptors, memory: memory.expect("a size"), cpu: cpu(&at("stat")) }
    }

    /// The least descriptors and pipes that it has within a short time: health checks come and go.
    ///
    /// # Panics
    /// If there is no such process.
    pub fn at_rest(process: u32) -> Self {
        let mut least = Self::of(process);
        for _ in 0..50 {
            crate::wait::pause(Duration::from_millis(5));
            let now = Self::of(process);
            let (pipes, descriptors) = (now.pipes, now.descriptors);
            least = Self {
                pipes: least.pipes.min(pipes),
                descriptors: least.descriptors.min(descriptors),
                ..now
            };
        }
        least
    }
}

/// In the kernel and outside of it, from `/proc/N/stat`: proc_pid_stat(5).
fn cpu(stat: &str) -> Duration {
    let text = fs::read_to_string(stat).expect("a process");
    // The name, in brackets, may have spaces; what follows begins with field 3.
    let (_, fields) = text.rsplit_once(')').expect("a name");
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    // USER_HZ is 100 on all that Linux runs on here.
    Duration::from_millis(ticks * 10)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn what_is_opened_and_worked_is_seen() {
        let process = std::process::id();
        let before = Usage::of(process);
        let held: Vec<_> = (0..10).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let opened = Usage::of(process);
        assert!(opened.descriptors >= before.descriptors + held.len());
        assert!(opened.memory > 100);
        crate::wait::until("some work", || {
            std::hint::black_box((0..1_000_000_u64).fold(0, |sum, n| sum ^ n));
            Usage::of(process).cpu > before.cpu
        });
    }
}
