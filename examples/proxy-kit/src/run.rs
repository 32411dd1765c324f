//! From `main` to the exit code.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use crate::flags::Flags;
use crate::shutdown::{Shutdown, Signals};
use crate::{StartError, log};

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
    let result = runtime.block_on(start);
    // Connections that shutdown left are cut here. Each still writes its line to the log.
    runtime.shutdown_timeout(Duration::from_secs(1));
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

/// Serves until a signal, then lets the requests in hand finish.
pub async fn until_stopped(
    program: &str,
    mut signals: Signals,
    shutdown: Shutdown,
    limit: Duration,
) {
    signals.next().await;
    log::line(format_args!("{program}: stopping; a second signal stops at once"));
    match shutdown.finish(limit, &mut signals).await {
        0 => log::line(format_args!("{program}: stopped")),
        cut => log::line(format_args!("{program}: stopped; connections cut: {cut}")),
    }
}
