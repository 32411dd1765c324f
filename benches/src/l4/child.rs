//! Processes that are pinned to a core, and end with the one that started them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::l4::process::{cpu, tree};

/// How long a process may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(1);

/// The cores that there are for this: the first for the proxy, the last for all else.
pub fn cores() -> io::Result<(usize, usize)> {
    let set = sched_getaffinity(None)?;
    let mut allowed = (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core));
    let first = allowed.next().unwrap_or(0);
    Ok((first, allowed.next_back().unwrap_or(first)))
}

/// From now on this process has no other core.
///
/// # Errors
/// There is no such core for it.
pub fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Becomes another program on that core, which is told to end when its parent does. It returns only if it can't.
pub fn become_pinned(core: usize, program: &OsStr, args: &[String]) -> io::Error {
    let ready = pin(core).and_then(|()| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
    ready.err().unwrap_or_else(|| Command::new(program).args(args).exec())
}

/// A child; it ends, and its children with it, when it is dropped.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    lines: Option<BufReader<ChildStdout>>,
}

impl Child {
    fn start(
        core: usize,
        program: &Path,
        args: &[String],
        set: impl FnOnce(&mut Command),
    ) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("on").arg(core.to_string()).arg(program).args(args).stdin(Stdio::null());
        set(&mut command);
        let mut process = command.spawn()?;
        let lines = process.stdout.take().map(BufReader::new);
        Ok(Self { process, lines })
    }

    /// A program whose words go to a file.
    ///
    /// # Errors
    /// It can't be started.
    pub fn program(core: usize, program: &Path, args: &[String], log: &Path) -> io::Result<Self> {
        let log = File::create(log)?;
        let error = log.try_clone()?;
        Self::start(core, program, args, |command| _ = command.stdout(log).stderr(error))
    }

    /// This program in another role; its lines can be read, and it reads the end of its input when it is dropped.
    ///
    /// # Errors
    /// It can't be started.
    pub fn role(core: usize, args: &[String]) -> io::Result<Self> {
        Self::start(core, &std::env::current_exe()?, args, |command| {
            command.stdout(Stdio::piped()).stdin(Stdio::piped());
        })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The seconds that it and its children have been on a core.
    pub fn cpu(&self) -> f64 {
        cpu(self.id())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// The next line that it says; empty when it has ended.
    ///
    /// # Errors
    /// Of the pipe.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if let Some(lines) = &mut self.lines {
            lines.read_line(&mut line)?;
        }
        Ok(line.trim_end().to_owned())
    }

    /// Kills it, without a word.
    ///
    /// # Errors
    /// Of the system.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.kill()?;
        self.process.wait().map(drop)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        let all = tree(self.id());
        let signal = |pid: u32, signal| {
            // Who has ended meanwhile needs no signal.
            let _ = Pid::from_raw(pid as i32).map(|pid| kill_process(pid, signal));
        };
        signal(self.id(), Signal::TERM);
        let end = Instant::now() + GRACE;
        while !self.has_ended() && Instant::now() < end {
            sleep(Duration::from_millis(5));
        }
        for pid in tree(self.id()).into_iter().chain(all.into_iter().skip(1)) {
            if !self.has_ended() || pid != self.id() {
                signal(pid, Signal::KILL);
            }
        }
        let _ = self.process.wait();
    }
}
