//! Three backends in this process, to have something to balance over.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use proxy_kit::backend::{Address, BackendSpec};
use proxy_kit::{StartError, listen};
use tokio::net::TcpListener;

const BACKENDS: usize = 3;

/// The demo backends, bound and not yet serving.
#[derive(Debug)]
pub(crate) struct Demo(Vec<(SocketAddr, TcpListener)>);

impl Demo {
    /// Takes a free port for each.
    pub(crate) fn bind() -> Result<Self, StartError> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listeners = listen::bind(&[any; BACKENDS])?;
        let with_address = |listener: TcpListener| {
            let address = listener.local_addr();
            Ok((address.map_err(|error| StartError::new("demo backend", error))?, listener))
        };
        listeners.into_iter().map(with_address).collect::<Result<_, _>>().map(Self)
    }

    /// The backends, as a configuration would have them.
    pub(crate) fn specs(&self) -> Result<Vec<BackendSpec>, StartError> {
        let spec = |(address, _): &(SocketAddr, TcpListener)| {
            let address: Result<Address, _> = address.to_string().parse();
            address.map(BackendSpec::new).map_err(StartError::plain)
        };
        self.0.iter().map(spec).collect()
    }

    /// Starts them.
    pub(crate) fn serve(self) {
        for (index, (address, listener)) in self.0.into_iter().enumerate() {
            let text = Bytes::from(format!("demo-{} at {address}\n", index + 1));
            tokio::spawn(backend(listener, text));
        }
    }
}

async fn backend(listener: TcpListener, text: Bytes) {
    while let Ok((stream, _)) = listener.accept().await {
        let text = text.clone();
        tokio::spawn(async move {
            let service = service_fn(|_| {
                let response = Response::new(Full::new(text.clone()));
                async { Ok::<_, Infallible>(response) }
            });
            let mut http = http1::Builder::new();
            let _ =
                http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
