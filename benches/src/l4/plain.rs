//! What one would write in an hour: tokio's `copy_bidirectional`, backends in turn, no health, no retries.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long a client's socket is kept when its backend says nothing.
const IDLE: Duration = Duration::from_secs(10);

/// Serves TCP and UDP on one thread until it is killed.
///
/// # Errors
/// Of the system: a port is taken.
pub fn serve(tcp: u16, udp: u16, backends: Vec<SocketAddr>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut turns = backends.clone().into_iter().cycle();
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, tcp).into())?;
        let listener = socket.listen(4096)?;
        tokio::spawn(datagrams(UdpSocket::bind((Ipv4Addr::LOCALHOST, udp)).await?, backends));
        loop {
            let (client, _) = listener.accept().await?;
            if let Some(backend) = turns.next() {
                tokio::spawn(relay(client, backend));
            }
        }
    })
}

async fn relay(mut client: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let mut backend = TcpStream::connect(backend).await?;
    client.set_nodelay(true)?;
    backend.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut backend).await?;
    Ok(())
}

async fn datagrams(socket: UdpSocket, backends: Vec<SocketAddr>) -> io::Result<()> {
    let socket = Arc::new(socket);
    let mut turns = backends.into_iter().cycle();
    let mut sessions: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let (n, client) = socket.recv_from(&mut buffer).await?;
        // Its task has ended if nobody else has it.
        let known = sessions.get(&client).filter(|session| Arc::strong_count(session) > 1);
        let session = match (known, turns.next()) {
            (Some(session), _) => session,
            (None, Some(backend)) => {
                let session = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                session.connect(backend).await?;
                let session = Arc::new(session);
                tokio::spawn(answers(Arc::clone(&session), Arc::clone(&socket), client));
                sessions.insert(client, session);
                &sessions[&client]
            }
            (None, None) => return Ok(()),
        };
        // Refused by a backend that is down: as lost as on the way.
        let _ = session.send(&buffer[..n]).await;
    }
}

async fn answers(session: Arc<UdpSocket>, socket: Arc<UdpSocket>, client: SocketAddr) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(Ok(n)) = timeout(IDLE, session.recv(&mut buffer)).await {
        if socket.send_to(&buffer[..n], client).await.is_err() {
            return;
        }
    }
}
