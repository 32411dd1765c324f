//! What is done to the backends, and when.
#![allow(clippy::disallowed_methods, reason = "a test measures real time")]

use std::time::{Duration, Instant};

use equipoise_core::Rng;
use parking_lot::Mutex;
use proxy_lab::echo::Echo;
use proxy_lab::table::ConfigFile;
use proxy_lab::timeline::shown;
use proxy_lab::wait;

use super::{BACKENDS, DETECTION, POOLS, World, absent, config};

/// What is done to a backend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Cause {
    /// SIGKILL, and it stays away for a while.
    Killed,
    /// SIGKILL, and it comes back at once.
    Restarted,
    /// SIGSTOP, and later SIGCONT.
    Hung,
    /// It resets all of its connections, and goes on.
    Reset,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Breakage {
    pub(super) cause: Cause,
    /// Its address.
    pub(super) backend: String,
    pub(super) process: u32,
    pub(super) from: Instant,
    /// When it was over in the eyes of the proxy, too.
    pub(super) until: Option<Instant>,
    /// For how long it was broken.
    pub(super) lasted: Duration,
}

/// All of them, in their order.
#[derive(Debug, Default)]
pub(super) struct Breakages(Mutex<Vec<Breakage>>);

impl Breakages {
    pub(super) fn all(&self) -> Vec<Breakage> {
        self.0.lock().clone()
    }

    fn push(&self, breakage: Breakage) -> usize {
        let mut all = self.0.lock();
        all.push(breakage);
        all.len() - 1
    }

    fn settle(&self, index: usize, now: Instant) {
        self.0.lock()[index].until = Some(now);
    }

    /// All are over.
    pub(super) fn settle_all(&self) {
        let now = Instant::now();
        for breakage in self.0.lock().iter_mut() {
            breakage.until.get_or_insert(now);
        }
    }
}

/// How a backend fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Well,
    /// Until then.
    Broken(usize, Instant),
    /// Since then, and the proxy may not know yet.
    Mended(usize, Instant),
}

/// Breaks backends, and mends them.
pub(super) struct Breaker<'a> {
    world: &'a World,
    backends: &'a mut [Echo],
    file: &'a ConfigFile,
    rng: Rng,
    states: [State; BACKENDS],
    reloads: usize,
    /// Whom the last configuration does not have.
    absent: Option<usize>,
}

/// How many are well, always.
const WELL: usize = 2;
/// For how long a backend is left alone once it is mended: a check has passed by then, and what failed before does not
/// count any more.
const AFTERWARDS: Duration = Duration::from_millis(1_600);

impl<'a> Breaker<'a> {
    pub(super) fn new(
        world: &'a World,
        backends: &'a mut [Echo],
        file: &'a ConfigFile,
        rng: Rng,
    ) -> Self {
        Self {
            world,
            backends,
            file,
            rng,
            states: [State::Well; BACKENDS],
            reloads: 0,
            absent: None,
        }
    }

    /// Breaks them for so long. What is done when follows from the seed alone; who is not well when it is due leaves
    /// it to the next one who is.
    pub(super) fn run(&mut self, time: Duration) {
        let began = Instant::now();
        let mut due = Duration::ZERO;
        while began.elapsed() < time {
            let well = self.look();
            if began.elapsed() >= due {
                due += self.millis(50, 500);
                let (reload, variant) = (self.rng.below(6) == 0, self.rng.below(100) as usize);
                let (cause, lasts) = self.draw();
                if reload {
                    // Who is removed is not asked any more, so that nobody would find out how it fares.
                    let absent = absent(variant).filter(|index| !well.contains(index));
                    self.reload(if absent.is_some() { variant + 1 } else { variant });
                } else if well.len() > WELL {
                    let next = (0..BACKENDS).map(|step| (variant + step) % BACKENDS);
                    let first = next.into_iter().find(|index| well.contains(index));
                    self.break_one(first.expect("some are well"), cause, lasts);
                }
            }
            wait::pause(Duration::from_millis(20));
        }
    }

    /// What is done, and for how long.
    fn draw(&mut self) -> (Cause, Duration) {
        let (short, kind) = (self.millis(50, 1_000), self.rng.below(8));
        match kind {
            0 | 1 => (Cause::Killed, 2 * short),
            2 => (Cause::Restarted, Duration::ZERO),
            // It may not be noticed,
            3 | 4 => (Cause::Hung, short),
            // or must be.
            5 => (Cause::Hung, DETECTION + short),
            _ => (Cause::Reset, Duration::ZERO),
        }
    }

    /// Mends all, and gives the number of reloads that there were.
    pub(super) fn mend(mut self) -> usize {
        for index in 0..BACKENDS {
            if let State::Broken(..) = self.states[index] {
                self.mend_one(index);
            }
        }
        wait::until("the reload before", || self.is_reloaded());
        self.reload(0);
        wait::until("the last reload", || self.is_reloaded());
        self.reloads
    }

    /// Mends those whose time is up. Who is well, in the eyes of the proxy, too?
    fn look(&mut self) -> Vec<usize> {
        let now = Instant::now();
        for index in 0..BACKENDS {
            if matches!(self.states[index], State::Broken(_, until) if until <= now) {
                self.mend_one(index);
            }
        }
        let shown = shown(self.world.admin);
        let (now, mut well) = (Instant::now(), Vec::new());
        for index in 0..BACKENDS {
            let address = &self.backends[index].address;
            let up = shown.iter().filter(|one| one.name == *address && one.state == "up").count();
            match self.states[index] {
                _ if up < POOLS.len() || self.absent == Some(index) => {}
                State::Well => well.push(index),
                State::Mended(breakage, since) if now - since > AFTERWARDS => {
                    self.world.breakages.settle(breakage, now);
                    self.states[index] = State::Well;
                }
                _ => {}
            }
        }
        well
    }

    fn break_one(&mut self, index: usize, cause: Cause, lasts: Duration) {
        let backend = &mut self.backends[index];
        let (address, process, from) = (backend.address.clone(), backend.id(), Instant::now());
        let breakage = self.world.breakages.push(Breakage {
            cause,
            backend: address,
            process,
            from,
            until: None,
            lasted: Duration::ZERO,
        });
        match cause {
            Cause::Killed | Cause::Restarted => backend.kill(),
            Cause::Hung => backend.signal("STOP"),
            Cause::Reset => backend.reset(),
        }
        self.states[index] = State::Broken(breakage, from + lasts);
    }

    fn mend_one(&mut self, index: usize) {
        let State::Broken(breakage, _) = self.states[index] else { return };
        let cause = {
            let mut all = self.world.breakages.0.lock();
            all[breakage].lasted = all[breakage].from.elapsed();
            all[breakage].cause
        };
        match cause {
            Cause::Killed | Cause::Restarted => self.backends[index].restart(),
            Cause::Hung => self.backends[index].signal("CONT"),
            Cause::Reset => {}
        }
        self.states[index] = State::Mended(breakage, Instant::now());
    }

    /// Unless the one before is still under way: several signals at a time are one.
    fn reload(&mut self, variant: usize) {
        if self.is_reloaded() {
            self.file.rewrite(&config(self.backends, variant));
            self.absent = absent(variant);
            self.world.proxy.signal("HUP");
            self.reloads += 1;
        }
    }

    fn is_reloaded(&self) -> bool {
        self.world.proxy.times_logged("reloaded: ") == self.reloads
    }

    fn millis(&mut self, least: u32, most: u32) -> Duration {
        Duration::from_millis(u64::from(least + self.rng.below(most - least)))
    }
}
