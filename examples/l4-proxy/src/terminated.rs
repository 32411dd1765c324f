//! Bytes both ways, for a client whose TLS ends here.

use proxy_kit::tls::ServerStream;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::counted::Counted;
use crate::relay::{Bytes, End};

/// Relays until both directions have ended, as [`relay`](crate::relay::relay) does. The bytes are those
/// within TLS.
///
/// An end of the connection without TLS's own (`close_notify`) is a break: somebody in between may have
/// cut it, RFC 8446, 6.1. The backend sees a reset, not the end of what the client had to say.
pub(crate) async fn relay(
    client: ServerStream,
    backend: TcpStream,
    bytes: &Bytes,
    gone: impl Future<Output = ()>,
) -> End {
    let mut client = Counted::new(client, Vec::new(), &bytes.from_client);
    let mut backend = Counted::new(backend, Vec::new(), &bytes.from_backend);
    let copied = tokio::select! {
        copied = copy_bidirectional(&mut client, &mut backend) => Some(copied.is_ok()),
        () = gone => None,
    };
    if copied == Some(true) {
        return End::Closed;
    }
    let _ = client.stream.get_ref().0.socket().set_zero_linger();
    let _ = backend.stream.set_zero_linger();
    if copied.is_none() {
        End::TakenOut
    } else if backend.broken {
        End::BrokenByBackend
    } else {
        End::BrokenByClient
    }
}
