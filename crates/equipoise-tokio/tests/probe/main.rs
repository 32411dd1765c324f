//! Probes against real servers, well, ill and hostile.

mod grpc;
mod hostile;
mod http;
mod http2;
mod script;
mod support;
mod tcp;
mod tls;
#[cfg(unix)]
mod unix;
