//! From `main` to the exit code.

use std::future::Future;
use std::os::fd::BorrowedFd;
use std::process::ExitCode;
use std::time::Duration;

use crate::flags::Flags;
use crate::shutdown::{Asked, Shutdown, Signals};
use crate::{StartError, handover, log};

/// Runs a proxy: `main` returns what this returns.
///
/// Exit code 0 after a shutdown, 2 when the proxy does not start, 1 when the system fails it.
pub fn run(program: &str, start: impl Future<Output = Result<(), StartError>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            log::warn(format_args!("{program}: runtime: {error}"));
            return ExitCode::from(1);
        }
    };
    let log = log::in_background();
    let result = runtime.block_on(start);
    // Connections that shutdown left are cut here. Each still writes its line to the log.
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(log);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::warn(format_args!("{program}: {error}"));
            ExitCode::from(2)
        }
    }
}

/// The answer to `--check`.
pub fn report_checked(program: &str, flags: &Flags) {
    let source = flags.config.as_ref().map(|path| path.display().to_string());
    let source = source.unwrap_or_else(|| "command line".to_owned());
    log::line(format_args!("{program}: {source}: ok"));
}

/// Says which of these settings a reload has read in vain: those that are others than at the start.
pub fn report_fixed(program: &str, are_others: &[(&str, bool)]) {
    for (setting, _) in are_others.iter().filter(|(_, is_other)| *is_other) {
        log::warn(format_args!(
            "{program}: {setting}: stays as it was at the start; a hand-over takes another"
        ));
    }
}

/// A proxy at work.
pub trait Running {
    /// Reads the configuration again and does as it says from now on. What it has changed, in words.
    ///
    /// Dropped before it is ready, it has changed nothing.
    ///
    /// # Errors
    /// What is wrong with the configuration, or can't be had; nothing has changed.
    fn reload(&mut self) -> impl Future<Output = Result<String, StartError>>;

    /// The sockets that clients come to.
    fn sockets(&self) -> Vec<BorrowedFd<'_>>;

    /// Another process has these sockets now.
    fn handed_over(&mut self);

    /// How long shutdown waits for what is in hand.
    fn shutdown_limit(&self) -> Duration;
}

/// Serves until it is to stop, or another process has taken over; then lets the requests in hand
/// finish.
pub async fn until_replaced(
    program: &str,
    mut signals: Signals,
    shutdown: Shutdown,
    mut running: impl Running,
) {
    handover::say_ready(program);
    loop {
        match signals.next().await {
            Asked::Stop => break,
            Asked::Reload => {
                let reloaded = tokio::select! {
                    reloaded = running.reload() => reloaded,
                    () = signals.stop() => break,
                };
                match reloaded {
                    Ok(what) => log::line(format_args!("{program}: reloaded: {what}")),
                    Err(error) => {
                        log::warn(format_args!("{program}: reload: {error}; nothing has changed"));
                    }
                }
            }
            Asked::HandOver => {
                let taken_over = tokio::select! {
                    taken_over = handover::hand_over(running.sockets()) => taken_over,
                    () = signals.stop() => break,
                };
                match taken_over {
                    Ok(process) => {
                        running.handed_over();
                        log::line(format_args!("{program}: process {process} has taken over"));
                        break;
                    }
                    Err(error) => {
                        log::warn(format_args!("{program}: hand-over: {error}; this one goes on"));
                    }
                }
            }
        }
    }
    let limit = running.shutdown_limit();
    // It accepts no more, and whoever has the sockets now does.
    drop(running);
    finish(program, signals, shutdown, limit).await;
}

/// Serves until it is to stop, then lets the requests in hand finish.
pub async fn until_stopped(
    program: &str,
    mut signals: Signals,
    shutdown: Shutdown,
    limit: Duration,
) {
    signals.stop().await;
    finish(program, signals, shutdown, limit).await;
}

async fn finish(program: &str, mut signals: Signals, shutdown: Shutdown, limit: Duration) {
    log::line(format_args!("{program}: stopping; a second signal stops at once"));
    match shutdown.finish(limit, &mut signals).await {
        0 => log::line(format_args!("{program}: stopped")),
        cut => log::line(format_args!("{program}: stopped; connections cut: {cut}")),
    }
}
