//! A controller that checks a real fleet: one process listens, another checks.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use equipoise_algorithms::RoundRobin;
use equipoise_core::{Admission, Clock};
use equipoise_health::{CheckConfig, OutlierConfig};
use equipoise_tokio::control::{ControlSettings, Controller, Managed, Silent};
use equipoise_tokio::probe::{Asking, Probe, Target, Tcp};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::process;

/// Runs `fleet`, if that is the command.
pub(crate) fn command(args: &[String]) -> Option<ExitCode> {
    let number = |i: usize, default| args.get(i).map_or(Some(default), |arg| arg.parse().ok());
    let done = match args.first().map(String::as_str)? {
        "fleet" => serve(number(1, 10_000)?, number(2, 20)?),
        // What `fleet` starts: it checks, and prints the table.
        "prober" => check(number(1, 0)?, number(2, 0)?, number(3, 0)?),
        _ => return None,
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// The addresses of the backends: all of the loopback network, all with the same port.
fn address(i: usize, port: u16) -> SocketAddr {
    let [_, b, c, d] = (i as u32 + 1).to_be_bytes();
    (Ipv4Addr::new(127, 1 + b, c, d), port).into()
}

fn runtime() -> Result<tokio::runtime::Runtime, std::io::Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn serve(backends: usize, seconds: usize) -> Result<(), Box<dyn Error>> {
    runtime()?.block_on(async {
        let first = TcpListener::bind(address(0, 0)).await?;
        let port = first.local_addr()?.port();
        let mut listeners = vec![first];
        for i in 1..backends {
            listeners.push(TcpListener::bind(address(i, port)).await?);
        }
        for listener in listeners {
            tokio::spawn(async move {
                loop {
                    drop(listener.accept().await);
                }
            });
        }
        let args = [usize::from(port), backends, seconds].map(|number| number.to_string());
        let mut prober = Command::new(std::env::current_exe()?);
        let mut prober = prober.arg("prober").args(args).stdin(Stdio::null()).spawn()?;
        while prober.try_wait()?.is_none() {
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    })
}

/// Counts probes, and the time from one start to the next.
#[derive(Debug, Default)]
struct Counted {
    done: AtomicU64,
    failed: AtomicU64,
    under_way: AtomicUsize,
    most: AtomicUsize,
    /// By the number of the backend.
    starts: Mutex<Vec<Option<Instant>>>,
    longest: Mutex<[Duration; 2]>,
}

impl Counted {
    fn reset(&self) {
        self.done.store(0, Ordering::Relaxed);
        self.failed.store(0, Ordering::Relaxed);
        self.most.store(0, Ordering::Relaxed);
        *self.longest.lock() = [Duration::ZERO; 2];
    }
}

impl Probe for Counted {
    fn probe<'a>(&'a self, target: &'a Target) -> Asking<'a> {
        Box::pin(async {
            let Some(SocketAddr::V4(address)) = target.address().ip() else {
                unreachable!("all are IPv4")
            };
            let index = (address.ip().to_bits() & 0xff_ffff) as usize - 0x1_0001;
            let start = Instant::now();
            {
                let mut starts = self.starts.lock();
                let last = starts[index].replace(start);
                let gap = last.map_or(Duration::ZERO, |last| start - last);
                let mut longest = self.longest.lock();
                longest[0] = longest[0].max(gap);
            }
            let now = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(now, Ordering::Relaxed);
            let answer = Tcp.probe(target).await;
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            self.done.fetch_add(1, Ordering::Relaxed);
            self.failed.fetch_add(u64::from(answer.is_err()), Ordering::Relaxed);
            let mut longest = self.longest.lock();
            longest[1] = longest[1].max(start.elapsed());
            answer
        })
    }

    fn describe(&self) -> String {
        Tcp.describe()
    }
}

struct Monotonic(Instant);

impl Clock for Monotonic {
    fn now(&self) -> equipoise_core::Instant {
        equipoise_core::Instant::ZERO + self.0.elapsed()
    }
}

fn check(port: usize, backends: usize, seconds: usize) -> Result<(), Box<dyn Error>> {
    let port = u16::try_from(port)?;
    runtime()?.block_on(async {
        let bare = process::resident();
        let config = CheckConfig::default();
        let probe = Arc::new(Counted::default());
        probe.starts.lock().resize(backends, None);
        let mut settings =
            ControlSettings { probe: Arc::<Counted>::clone(&probe), ..ControlSettings::default() };
        settings.monitor.check = Some(config.clone());
        settings.monitor.outlier = Some(OutlierConfig::default());
        let clock = Monotonic(Instant::now());
        let control = Controller::new(RoundRobin, 7, settings, clock, Silent);

        let start = Instant::now();
        let fleet = (0..backends).map(|i| {
            let address = address(i, port);
            let mut managed = Managed::new(&address.to_string(), address);
            managed.targets = vec![Target::new(address)];
            managed
        });
        control.update(fleet.collect())?;
        let joined = start.elapsed();
        tokio::spawn({
            let control = control.clone();
            async move { control.run().await }
        });
        let all_up = || control.pool().backends().iter().all(|s| s.admission == Admission::New);
        while !all_up() {
            sleep(Duration::from_millis(20)).await;
        }
        let (up, up_cpu) = (start.elapsed(), process::cpu_time());
        // One round more, until the start has been forgotten.
        sleep(Duration::from_secs(5)).await;

        probe.reset();
        let (from, cpu) = (Instant::now(), process::cpu_time());
        sleep(Duration::from_secs(seconds as u64)).await;
        let (took, cpu) = (from.elapsed().as_secs_f64(), process::cpu_time() - cpu);
        let memory = process::resident();
        let [gap, answer] = *probe.longest.lock();
        let latest = config.up().mul_f64(1.0 + config.jitter());
        let done = probe.done.load(Ordering::Relaxed);
        let share = cpu.as_secs_f64() / took;
        println!("| checked backends | {backends} |");
        println!("|---|---:|");
        println!("| taken in | {joined:.1?} |");
        println!("| all up after | {up:.1?}, {up_cpu:.1?} of CPU |");
        println!("| probes a second | {:.0} |", done as f64 / took);
        println!("| of them failed | {} |", probe.failed.load(Ordering::Relaxed));
        println!("| most at a time | {} |", probe.most.load(Ordering::Relaxed));
        println!("| CPU, of one core | {:.1} % |", share * 100.0);
        println!("| CPU for a probe | {:.1?} |", cpu.div_f64(done.max(1) as f64));
        println!("| resident memory | {:.1} MiB |", memory as f64 / 1024.0);
        let each = memory.saturating_sub(bare) * 1024 / backends.max(1) as u64;
        println!("| of it for a backend | {each} bytes |");
        println!("| longest delay of a probe | {:.1?} |", gap.saturating_sub(latest));
        println!("| longest answer | {answer:.1?} |");
        println!("| load of the machine | {} |", process::load());
        Ok(())
    })
}
