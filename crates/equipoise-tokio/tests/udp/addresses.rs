//! A listener on all addresses of the machine: an answer comes from the address that was asked.

use std::net::SocketAddr;
use std::time::Duration;

use equipoise_tokio::udp::{End, UdpConfig};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::support::{Lab, echo};

/// Asks, and says who answers and with what.
async fn ask(client: &UdpSocket, to: SocketAddr, question: &[u8]) -> (SocketAddr, Vec<u8>) {
    client.send_to(question, to).await.unwrap();
    let mut buffer = vec![0; 1 << 16];
    let answered = timeout(Duration::from_secs(5), client.recv_from(&mut buffer));
    let (len, from) = answered.await.unwrap_or_else(|_| panic!("no answer from {to}")).unwrap();
    (from, buffer[..len].to_vec())
}

async fn answers_come_from_where_they_were_asked(listen: &str, clients: &str, asked: &[&str]) {
    let (backend, _task) = echo(b"").await;
    let mut lab = Lab::on(listen, vec![backend], UdpConfig::default()).await;
    let client = UdpSocket::bind(clients).await.unwrap();
    let asked: Vec<_> = asked
        .iter()
        .map(|address| SocketAddr::new(address.parse().unwrap(), lab.address.port()))
        .collect();
    // The second time there is a session, and then there are trains.
    for size in [3, 700, 65_000] {
        for &to in &asked {
            let question = vec![b'q'; size];
            assert_eq!(ask(&client, to, &question).await, (to, question));
        }
    }
    assert_eq!(lab.counters.sessions(), asked.len(), "one for each address");
    let locals = std::mem::take(&mut *lab.locals.lock());
    let seen: Vec<_> = locals.iter().map(|local| canonical(*local)).collect();
    assert_eq!(seen, asked);
    drop(lab.stop.take());
    lab.until(&vec![(0, End::Stopped); asked.len()]).await;
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[tokio::test]
async fn of_all_ipv4_addresses() {
    let asked = ["127.0.0.1", "127.0.0.2", "127.9.8.7"];
    answers_come_from_where_they_were_asked("0.0.0.0:0", "127.0.0.1:0", &asked).await;
}

#[tokio::test]
async fn of_all_ipv6_addresses() {
    answers_come_from_where_they_were_asked("[::]:0", "[::1]:0", &["::1"]).await;
}

/// A socket of IPv6 takes clients of IPv4, too, and names their addresses as `::ffff:127.0.0.2`.
#[tokio::test]
async fn of_ipv4_addresses_through_ipv6() {
    let asked = ["127.0.0.1", "127.0.0.2"];
    answers_come_from_where_they_were_asked("[::]:0", "127.0.0.1:0", &asked).await;
}

#[tokio::test]
async fn clients_behind_a_firewall_get_a_train_from_where_they_asked() {
    let (backend, _task) = echo(b"").await;
    let lab = Lab::on("0.0.0.0:0", vec![backend], UdpConfig::default()).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // Connected, it takes what comes from there and nothing else.
    client.connect(("127.0.0.3", lab.address.port())).await.unwrap();
    for round in 0..20_u8 {
        for number in 0..30 {
            client.send(&[round, number, 0, 0]).await.unwrap();
        }
        for number in 0..30 {
            let mut buffer = [0; 16];
            let answered = timeout(Duration::from_secs(5), client.recv(&mut buffer)).await;
            let len = answered.unwrap_or_else(|_| panic!("{round}, {number}")).unwrap();
            assert_eq!(buffer[..len], [round, number, 0, 0]);
        }
    }
}
