//! What the kernel knows of processes: their time, their memory, and who else was busy.

use std::collections::BTreeMap;
use std::fs;

/// The unit of times in `/proc`: `sysconf(_SC_CLK_TCK)`.
fn ticks(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// What `/proc/PID/stat` says: the parent, and the seconds of it and of its children that have ended.
fn stat(pid: u32) -> Option<(u32, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have spaces.
    let fields: Vec<_> = stat.rsplit(')').next()?.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let time = (11..15).map(number).sum::<Option<u64>>()?;
    Some((number(1)? as u32, ticks(time)))
}

/// The process, its children, and theirs.
pub fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some((pid, (parent, _))) = pid.and_then(|pid| Some((pid, stat(pid)?))) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut all = vec![root];
    let mut next = 0;
    while let Some(parent) = all.get(next) {
        all.extend(children.remove(parent).into_iter().flatten());
        next += 1;
    }
    all
}

/// The seconds that all of a process tree have been on a processor: `utime`, `stime`, and those of children that have ended.
pub fn cpu(root: u32) -> f64 {
    tree(root).into_iter().filter_map(stat).map(|(_, time)| time).sum()
}

/// The memory of a process tree.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// In KiB; pages that several have are shared out.
    pub pss: f64,
    /// In KiB; they count for each.
    pub rss: f64,
}

/// What `/proc/PID/smaps_rollup` says, over a process tree.
pub fn memory(root: u32) -> Memory {
    let mut sum = Memory::default();
    for pid in tree(root) {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let of = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            number.unwrap_or(0.0)
        };
        sum.pss += of("Pss:");
        sum.rss += of("Rss:");
    }
    sum
}

/// The seconds that all processors have been busy or were taken away.
pub fn busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let times: Vec<u64> = line.split_whitespace().skip(1).take(8).flat_map(str::parse).collect();
    // The fourth is idle, the fifth waits for a disk.
    let is_busy = |&(index, _): &(usize, &u64)| ![3, 4].contains(&index);
    ticks(times.iter().enumerate().filter(is_busy).map(|(_, time)| time).sum())
}

/// How many processors there are.
pub fn cores() -> usize {
    let online = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    online.lines().filter(|line| line.starts_with("processor")).count().max(1)
}
