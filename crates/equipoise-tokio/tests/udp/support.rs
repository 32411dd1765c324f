//! A listener, backends that answer, and clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use equipoise_core::BackendId;
use equipoise_tokio::udp::{Counters, End, Held, Listener, Serve, Traffic, UdpConfig, connect};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

type Ends = Arc<Mutex<Vec<(u64, End)>>>;

/// The first backend that is not to be avoided.
struct First {
    backends: Vec<SocketAddr>,
    locals: Arc<Mutex<Vec<SocketAddr>>>,
    ends: Ends,
    gone: Arc<Notify>,
}

struct Session {
    backend: u64,
    ends: Ends,
    gone: Arc<Notify>,
}

impl Serve for First {
    type Held = Session;

    async fn open(
        &self,
        _: SocketAddr,
        local: SocketAddr,
        avoid: Option<BackendId>,
    ) -> Option<(UdpSocket, Session)> {
        self.locals.lock().push(local);
        let (backend, address) =
            (0..).zip(&self.backends).find(|(id, _)| avoid != Some(BackendId::new(*id)))?;
        let held = Session { backend, ends: self.ends.clone(), gone: self.gone.clone() };
        Some((connect(*address).await.ok()?, held))
    }
}

impl Held for Session {
    fn backend(&self) -> BackendId {
        BackendId::new(self.backend)
    }

    async fn gone(&self) {
        self.gone.notified().await;
    }

    fn end(self, end: End, _: &Traffic) {
        self.ends.lock().push((self.backend, end));
    }
}

pub(crate) struct Lab {
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<Counters>,
    /// Where clients send to, as the backends' finder was told.
    pub(crate) locals: Arc<Mutex<Vec<SocketAddr>>>,
    ends: Ends,
    pub(crate) gone: Arc<Notify>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
}

impl Lab {
    pub(crate) async fn new(backends: Vec<SocketAddr>, config: UdpConfig) -> Self {
        Self::on("127.0.0.1:0", backends, config).await
    }

    pub(crate) async fn on(listen: &str, backends: Vec<SocketAddr>, config: UdpConfig) -> Self {
        let socket = UdpSocket::bind(listen).await.unwrap();
        let address = socket.local_addr().unwrap();
        let (counters, ends, gone) = (Arc::default(), Ends::default(), Arc::new(Notify::new()));
        let locals = Arc::<Mutex<Vec<_>>>::default();
        let serve = Arc::new(First {
            backends,
            locals: locals.clone(),
            ends: ends.clone(),
            gone: gone.clone(),
        });
        let listener =
            Listener::new(Arc::new(socket), serve, config, Arc::clone(&counters)).unwrap();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(listener.run(async { drop(stopped.await) }));
        Self { address, counters, locals, ends, gone, stop: Some(stop) }
    }

    pub(crate) async fn until(&self, ends: &[(u64, End)]) {
        for _ in 0..500 {
            if *self.ends.lock() == ends && self.counters.sessions() == 0 {
                assert_eq!(self.counters.waiting(), 0);
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}, {} sessions", self.ends.lock(), self.counters.sessions());
    }
}

/// Answers with what it gets, and its name before that.
pub(crate) async fn echo(name: &'static [u8]) -> (SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let answer = [name, &buffer[..len]].concat();
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    (address, task)
}

pub(crate) async fn client() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

/// An answer, which must come from the listener's address.
pub(crate) async fn answer(lab: &Lab, client: &UdpSocket) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 1 << 16];
    let (len, from) =
        timeout(Duration::from_millis(500), client.recv_from(&mut buffer)).await.ok()?.unwrap();
    assert_eq!(from, lab.address);
    Some(buffer[..len].to_vec())
}

pub(crate) async fn ask(lab: &Lab, client: &UdpSocket, question: &[u8]) -> Option<Vec<u8>> {
    client.send_to(question, lab.address).await.unwrap();
    answer(lab, client).await
}
