//! Probes that do as they are told, a clock that the runtime can wind on, and an observer that writes
//! everything down.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use equipoise_algorithms::RoundRobin;
use equipoise_core::{BackendId, Clock, Instant};
use equipoise_health::monitor::{MonitorConfig, Notice, State};
use equipoise_health::{CheckConfig, InitialHealth};
use equipoise_pool::Event;
use equipoise_tokio::control::{ControlSettings, Controller, Managed, Observer, Standing};
use equipoise_tokio::probe::{Answer, Asking, Probe, ProbeError, Target};
use parking_lot::Mutex;
use tokio::time;

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) type Control = Controller<Arc<str>, RoundRobin>;

/// The runtime's clock, which stands still while anybody is busy if the test wants it so.
pub(crate) struct RuntimeClock(pub(crate) time::Instant);

impl RuntimeClock {
    pub(crate) fn start() -> Self {
        Self(time::Instant::now())
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(1) + self.0.elapsed()
    }
}

/// What a backend does when it is asked.
#[derive(Clone, Copy)]
pub(crate) enum Does {
    Pass,
    Drain,
    Fail,
    /// This machine has no file left.
    Local,
    Hang,
    /// It passes, after this time.
    Slow(Duration),
    Panic,
}

/// Backends by the port of their check; those that nobody spoke of pass.
#[derive(Default)]
pub(crate) struct Script {
    does: Mutex<HashMap<u16, Does>>,
    asked: Mutex<BTreeMap<u16, u32>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl Script {
    pub(crate) fn set(&self, port: u16, does: Does) {
        self.does.lock().insert(port, does);
    }

    pub(crate) fn asked(&self, port: u16) -> u32 {
        self.asked.lock().get(&port).copied().unwrap_or(0)
    }

    /// How many probes there were at a time.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Probe for Script {
    fn probe<'a>(&'a self, target: &'a Target) -> Asking<'a> {
        let port = target.address().ip().unwrap().port();
        Box::pin(async move {
            *self.asked.lock().entry(port).or_default() += 1;
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            let _under_way = UnderWay(&self.under_way);
            self.most.fetch_max(now, Ordering::SeqCst);
            let does = self.does.lock().get(&port).copied();
            match does.unwrap_or(Does::Pass) {
                Does::Pass => Ok(Answer::Pass),
                Does::Drain => Ok(Answer::Drain),
                Does::Fail => Err(ProbeError::other("it says no")),
                Does::Local => Err(ProbeError::Local("too many open files".into())),
                Does::Hang => std::future::pending().await,
                Does::Slow(wait) => {
                    time::sleep(wait).await;
                    Ok(Answer::Pass)
                }
                Does::Panic => panic!("a probe of the user's"),
            }
        })
    }

    fn describe(&self) -> String {
        "script".to_owned()
    }
}

/// Writes down what it is told, and calls the controller back if it knows one.
#[derive(Clone, Default)]
pub(crate) struct Diary(pub(crate) Arc<Entries>);

#[derive(Default)]
pub(crate) struct Entries {
    lines: Mutex<Vec<String>>,
    pub(crate) calls_back: OnceLock<Control>,
}

impl Diary {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lines.lock().clone()
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.lines().iter().any(|known| known == line)
    }

    fn write(&self, line: String) {
        if let Some(control) = self.0.calls_back.get() {
            // Whatever takes a lock.
            control.standings();
            control.panic();
            control.check();
            let backends = control.standings().into_iter().map(|s| {
                let mut managed = backend(&s.name, s.name.parse::<u16>().unwrap() + 1);
                managed.weight = s.status.weight;
                managed
            });
            control.update(backends.collect()).unwrap();
        }
        self.0.lines.lock().push(line);
    }
}

impl Observer<Arc<str>> for Diary {
    fn on_notice(&self, backend: Option<(&str, &Arc<str>)>, _: &Notice, words: &str) {
        self.write(format!("{}: {words}", backend.map_or("pool", |(name, _)| name)));
    }

    fn on_event(&self, name: Option<&str>, event: &Event) {
        let what = match event {
            Event::Added { .. } => "added".to_owned(),
            Event::Removed { .. } => "removed".to_owned(),
            Event::AdmissionChanged { to, .. } => format!("admits {to:?}"),
            _ => return,
        };
        self.write(format!("{} {what}", name.unwrap_or("pool")));
    }

    fn on_close(&self, name: &str, backend: &Arc<str>, _: &Event) {
        self.write(format!("close {name} ({backend})"));
    }

    fn on_discovery(&self, error: &dyn fmt::Display) {
        self.write(format!("discovery: {error}"));
    }
}

/// A backend that is checked at a port; the value is its name and the word "value".
pub(crate) fn backend(name: &str, port: u16) -> Managed<Arc<str>> {
    let mut managed = Managed::new(name, Arc::from(format!("value of {name}")));
    managed.targets = vec![Target::new(([127, 0, 0, 1], port).into())];
    managed
}

pub(crate) fn id(name: &str) -> BackendId {
    BackendId::named(name)
}

/// Short intervals, and up from the start.
pub(crate) fn quick() -> CheckConfig {
    let check = CheckConfig::builder().up(100 * MS).going_down(40 * MS).down(100 * MS);
    check.timeout(30 * MS).initial(InitialHealth::Up).build().unwrap()
}

pub(crate) struct World {
    pub(crate) script: Arc<Script>,
    pub(crate) diary: Diary,
    pub(crate) control: Control,
}

impl World {
    /// Its control task is not running yet.
    pub(crate) fn new(monitor: MonitorConfig) -> Self {
        Self::with_places(monitor, 100)
    }

    pub(crate) fn with_places(monitor: MonitorConfig, concurrent_probes: usize) -> Self {
        let (script, diary) = (Arc::new(Script::default()), Diary::default());
        let settings =
            ControlSettings { monitor, probe: Arc::<Script>::clone(&script), concurrent_probes };
        let control =
            Controller::new(RoundRobin, 42, settings, RuntimeClock::start(), diary.clone());
        Self { script, diary, control }
    }

    /// With backends "0", "1" and so on, which are checked at ports 1, 2 and so on.
    pub(crate) fn running(monitor: MonitorConfig, n: u16) -> Self {
        let world = Self::new(monitor);
        world.control.update((0..n).map(|i| backend(&i.to_string(), i + 1)).collect()).unwrap();
        world.run();
        world
    }

    pub(crate) fn run(&self) -> tokio::task::JoinHandle<()> {
        let control = self.control.clone();
        tokio::spawn(async move { control.run().await })
    }

    pub(crate) fn standing(&self, name: &str) -> Standing {
        let standings = self.control.standings();
        standings.into_iter().find(|s| &*s.name == name).expect("it is there")
    }

    pub(crate) fn state(&self, name: &str) -> State {
        self.standing(name).report.state
    }

    /// Waits for something, and says how long it took. It has a minute.
    pub(crate) async fn until(&self, wanted: impl Fn(&Self) -> bool) -> Duration {
        let start = time::Instant::now();
        while !wanted(self) {
            assert!(start.elapsed() < Duration::from_secs(60), "{:#?}", self.diary.lines());
            time::sleep(MS).await;
        }
        start.elapsed()
    }
}
