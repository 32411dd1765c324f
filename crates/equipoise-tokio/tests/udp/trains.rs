//! Datagrams that come together leave together: none is lost, cut, joined, or out of order.

use std::time::Duration;

use equipoise_tokio::udp::UdpConfig;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::support::{Lab, client, echo};

/// Sends all at once; they must come back as they were.
async fn come_back(lab: &Lab, client: &UdpSocket, datagrams: &[Vec<u8>]) {
    for datagram in datagrams {
        client.send_to(datagram, lab.address).await.unwrap();
    }
    let mut buffer = vec![0; 1 << 16];
    for (at, datagram) in datagrams.iter().enumerate() {
        let answered = timeout(Duration::from_secs(5), client.recv_from(&mut buffer)).await;
        let (len, from) = answered.unwrap_or_else(|_| panic!("{at} is lost")).unwrap();
        assert_eq!(from, lab.address);
        assert!(buffer[..len] == *datagram, "{at}: {len} bytes, not {}", datagram.len());
    }
}

fn datagrams(sizes: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    let datagram = |(at, size)| (0..size).map(|byte| (at * 7 + byte) as u8).collect();
    sizes.into_iter().enumerate().map(datagram).collect()
}

#[tokio::test]
async fn of_one_size_or_of_many() {
    let (backend, _task) = echo(b"").await;
    let lab = Lab::new(vec![backend], UdpConfig::default()).await;
    let client = client().await;
    // The first ones wait for their backend, and leave as a train when they have one.
    for _ in 0..3 {
        come_back(&lab, &client, &datagrams([1_200; 40])).await;
        come_back(&lab, &client, &datagrams([200, 200, 200, 7, 200, 200, 201, 201, 9])).await;
        come_back(&lab, &client, &datagrams([0, 0, 5, 5, 0, 5, 0, 0])).await;
        come_back(&lab, &client, &datagrams((1..40).map(|at| at * 31 % 17))).await;
        // Two of them would be more than a piece can have.
        come_back(&lab, &client, &datagrams([40_000, 40_000])).await;
    }
}

/// What the second one gets from the first, and the first from the second, comes as a piece.
#[tokio::test]
async fn through_two_of_them() {
    let (backend, _task) = echo(b"").await;
    let behind = Lab::new(vec![backend], UdpConfig::default()).await;
    for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
        let mut lab = Lab::on(listen, vec![behind.address], UdpConfig::default()).await;
        lab.address.set_ip("127.0.0.1".parse().unwrap());
        let client = client().await;
        for _ in 0..3 {
            come_back(&lab, &client, &datagrams([1_200; 40])).await;
            come_back(&lab, &client, &datagrams([200, 200, 200, 7, 200, 200, 201, 201, 9])).await;
            come_back(&lab, &client, &datagrams([0, 0, 5, 5, 0, 5, 0, 0])).await;
        }
        assert_eq!((lab.counters.from_clients(), lab.counters.to_clients()), (171, 171));
        assert_eq!((lab.counters.from_backends(), lab.counters.to_backends()), (171, 171));
    }
}

#[tokio::test]
async fn of_two_clients_do_not_mix() {
    let (backend, _task) = echo(b"").await;
    let lab = Lab::new(vec![backend], UdpConfig::default()).await;
    let clients = [client().await, client().await];
    for round in 0..50_u8 {
        for number in 0..16 {
            for (name, client) in (0..).zip(&clients) {
                client.send_to(&[name, round, number], lab.address).await.unwrap();
                if number % 3 == 0 {
                    client.send_to(&[name, round, number, 1], lab.address).await.unwrap();
                }
            }
        }
        for (name, client) in (0..).zip(&clients) {
            for number in 0..16_u8 {
                let more = usize::from(number % 3 == 0);
                for expected in
                    [&[name, round, number][..], &[name, round, number, 1]].iter().take(1 + more)
                {
                    let mut buffer = [0; 16];
                    let answered = timeout(Duration::from_secs(5), client.recv(&mut buffer)).await;
                    let len = answered.unwrap_or_else(|_| panic!("{expected:?} is lost")).unwrap();
                    assert_eq!(buffer[..len], **expected);
                }
            }
        }
    }
    assert_eq!(lab.counters.sessions(), 2);
}
