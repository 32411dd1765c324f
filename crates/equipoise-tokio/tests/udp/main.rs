//! Sessions of UDP clients, over real sockets.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use equipoise_core::BackendId;
use equipoise_tokio::udp::{
    Counters, Dropped, End, Held, Listener, Serve, Traffic, UdpConfig, connect,
};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

type Ends = Arc<Mutex<Vec<(u64, End)>>>;

/// The first backend that is not to be avoided.
struct First {
    backends: Vec<SocketAddr>,
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
        _: SocketAddr,
        avoid: Option<BackendId>,
    ) -> Option<(UdpSocket, Session)> {
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

struct Lab {
    address: SocketAddr,
    counters: Arc<Counters>,
    ends: Ends,
    gone: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
}

impl Lab {
    async fn new(backends: Vec<SocketAddr>, config: UdpConfig) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (counters, ends, gone) = (Arc::default(), Ends::default(), Arc::new(Notify::new()));
        let serve = Arc::new(First { backends, ends: ends.clone(), gone: gone.clone() });
        let listener =
            Listener::new(Arc::new(socket), serve, config, Arc::clone(&counters)).unwrap();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(listener.run(async { drop(stopped.await) }));
        Self { address, counters, ends, gone, stop: Some(stop) }
    }

    async fn until(&self, ends: &[(u64, End)]) {
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
async fn echo(name: &'static [u8]) -> (SocketAddr, JoinHandle<()>) {
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

async fn client() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

/// An answer, which must come from the listener's address.
async fn answer(lab: &Lab, client: &UdpSocket) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 1 << 16];
    let (len, from) =
        timeout(Duration::from_millis(500), client.recv_from(&mut buffer)).await.ok()?.unwrap();
    assert_eq!(from, lab.address);
    Some(buffer[..len].to_vec())
}

async fn ask(lab: &Lab, client: &UdpSocket, question: &[u8]) -> Option<Vec<u8>> {
    client.send_to(question, lab.address).await.unwrap();
    answer(lab, client).await
}

#[tokio::test]
async fn datagrams_of_any_size_come_back_whole_from_the_listeners_address() {
    let (backend, _task) = echo(b"").await;
    let mut lab = Lab::new(vec![backend], UdpConfig::default()).await;
    let client = client().await;
    for size in [0, 1, 512, 1_200, 1_500, 65_507] {
        let question: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        assert_eq!(ask(&lab, &client, &question).await, Some(question), "{size}");
    }
    assert_eq!(lab.counters.sessions(), 1);
    lab.stop.take();
    lab.until(&[(0, End::Stopped)]).await;
}

#[tokio::test]
async fn a_burst_of_a_thousand_is_answered() {
    let (backend, _task) = echo(b"").await;
    let lab = Lab::new(vec![backend], UdpConfig::default()).await;
    let client = client().await;
    for number in 0..1_000_u32 {
        client.send_to(&number.to_be_bytes(), lab.address).await.unwrap();
        // The sockets' own buffers hold fewer, on some machines.
        if number % 100 == 99 {
            for number in number - 99..=number {
                assert_eq!(answer(&lab, &client).await, Some(number.to_be_bytes().to_vec()));
            }
        }
    }
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_makes_place() {
    let (backend, _task) = echo(b"").await;
    let idle = Duration::from_millis(300);
    let lab = Lab::new(vec![backend], UdpConfig { idle, max_sessions: 1, ..<_>::default() }).await;
    let (first, second) = (client().await, client().await);
    assert!(ask(&lab, &first, b"a").await.is_some());
    second.send_to(b"b", lab.address).await.unwrap();
    tokio::time::sleep(idle / 2).await;
    assert_eq!(lab.counters.dropped(Dropped::Full), 1);
    // The one that lives stays, and what it sends puts its end off.
    assert!(ask(&lab, &first, b"a").await.is_some());
    tokio::time::sleep(idle * 3 / 4).await;
    assert_eq!(lab.counters.sessions(), 1);
    lab.until(&[(0, End::Idle)]).await;
    assert!(ask(&lab, &second, b"b").await.is_some());
}

#[tokio::test]
async fn a_session_ends_after_its_answers() {
    let (backend, _task) = echo(b"").await;
    let responses = NonZeroU32::new(2);
    let lab = Lab::new(vec![backend], UdpConfig { responses, ..<_>::default() }).await;
    let client = client().await;
    assert!(ask(&lab, &client, b"a").await.is_some());
    assert_eq!(lab.counters.sessions(), 1);
    assert!(ask(&lab, &client, b"b").await.is_some());
    lab.until(&[(0, End::Answered)]).await;
}

#[tokio::test]
async fn a_backend_that_refuses_is_left_for_another() {
    let [(dead, first), (alive, _second)] = [echo(b"1").await, echo(b"2").await];
    let lab = Lab::new(vec![dead, alive], UdpConfig::default()).await;
    let client = client().await;
    assert_eq!(ask(&lab, &client, b"a").await.as_deref(), Some(&b"1a"[..]));
    first.abort();
    let _ = first.await;
    assert_eq!(ask(&lab, &client, b"b").await, None);
    lab.until(&[(0, End::Refused)]).await;
    assert_eq!(ask(&lab, &client, b"c").await.as_deref(), Some(&b"2c"[..]));
}

#[tokio::test]
async fn a_backend_that_is_gone_ends_its_sessions() {
    let (backend, _task) = echo(b"").await;
    let lab = Lab::new(vec![backend], UdpConfig::default()).await;
    let client = client().await;
    assert!(ask(&lab, &client, b"a").await.is_some());
    lab.gone.notify_waiters();
    lab.until(&[(0, End::TakenOut)]).await;
}

#[tokio::test]
async fn who_gets_no_backend_is_counted_and_leaves_nothing() {
    let lab = Lab::new(Vec::new(), UdpConfig::default()).await;
    let client = client().await;
    assert_eq!(ask(&lab, &client, b"a").await, None);
    assert_eq!(lab.counters.dropped(Dropped::Unserved), 1);
    lab.until(&[]).await;
}
