//! One client's connection.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use proxy_kit::shutdown::Guard;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::app::{App, Ending, Outcome};

/// For the head of a request, idle time between requests included.
const REQUEST_HEAD: Duration = Duration::from_secs(60);

const GARBAGE: &[u8] = b"\x16\x03\x01\x00 this is not HTTP \xff\xfe\x00\r\n\r\n";

/// Answers the requests of one connection, until the client, a shutdown or a fault ends it.
pub(crate) async fn serve(app: Arc<App>, stream: TcpStream, mut guard: Guard) {
    let (end, mut ended) = mpsc::channel(1);
    let service = service_fn(move |request| {
        let (app, end) = (Arc::clone(&app), end.clone());
        async move {
            match app.answer(request).await {
                Outcome::Answer(answer) => Ok::<_, Infallible>(answer),
                Outcome::End(ending) => {
                    let _ = end.send(ending).await;
                    pending().await
                }
            }
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut stopping = false;
    let ending = loop {
        tokio::select! {
            _ = &mut connection => return,
            Some(ending) = ended.recv() => break ending,
            () = guard.stopping(), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let mut stream = connection.into_parts().io.into_inner();
    // A client that has gone already needs no such end.
    let _ = match ending {
        Ending::Reset => stream.set_zero_linger(),
        Ending::Garbage => stream.write_all(GARBAGE).await,
    };
}
