//! From the flags to a running application.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use proxy_kit::run::until_stopped;
use proxy_kit::shutdown::{Guard, Shutdown, Signals};
use proxy_kit::{StartError, listen, log};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::NAME;
use crate::app::App;
use crate::config::Cli;
use crate::control::mend_all;
use crate::database::Database;
use crate::faults::Faults;
use crate::server::serve;
use crate::sessions::Sessions;

/// How long requests in flight may take at the end.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Runs the application until it is told to stop.
pub(crate) async fn start(cli: Cli) -> Result<(), StartError> {
    let listeners = listen::bind(&[cli.listen])?;
    let app = Arc::new(App {
        name: cli.name,
        database: Database::open(cli.database, cli.database_timeout_ms).await?,
        sessions: Sessions::new(cli.sessions, cli.database_timeout_ms),
        faults: Faults::none(),
        control: Mutex::new(()),
        warm: AtomicBool::new(cli.warm_up_ms.is_none()),
        served: AtomicU64::new(0),
    });
    let signals = Signals::install().map_err(|error| StartError::new("signals", error))?;
    let shutdown = Shutdown::new();
    for listener in listeners {
        let address = listener.local_addr().map_err(|error| StartError::new("listener", error))?;
        let app = Arc::clone(&app);
        tokio::spawn(listen::accept(listener, shutdown.guard(), move |stream, _, guard| {
            serve(Arc::clone(&app), stream, guard)
        }));
        log::line(format_args!("{NAME}: listening on {address}"));
    }
    if let Some(time) = cli.warm_up_ms {
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            sleep(time).await;
            app.warm.store(true, Relaxed);
        });
    }
    let mending = tokio::spawn(mend_at_the_end(app, shutdown.guard()));
    until_stopped(NAME, signals, shutdown, SHUTDOWN).await;
    let mended = mending.await.map_err(|error| StartError::new("mend", error))?;
    mended.map_err(|wrong| StartError::new("mend", wrong))
}

/// Requests that hang are answered then, and the database is not left away: it may be somebody else's too.
async fn mend_at_the_end(app: Arc<App>, mut guard: Guard) -> Result<(), String> {
    guard.stopping().await;
    mend_all(&app).await
}
