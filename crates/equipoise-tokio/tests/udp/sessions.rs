//! From a session's first datagram to its end.

use std::num::NonZeroU32;
use std::time::Duration;

use equipoise_tokio::udp::{Dropped, End, UdpConfig};

use crate::support::{Lab, answer, ask, client, echo};

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
    let responses = NonZeroU32::new(1);
    let lab = Lab::new(vec![backend], UdpConfig { responses, ..<_>::default() }).await;
    let client = client().await;
    assert!(ask(&lab, &client, b"a").await.is_some());
    lab.until(&[(0, End::Answered)]).await;
    assert_eq!((lab.counters.opened(), lab.counters.ended(End::Answered)), (1, 1));
    assert_eq!(lab.counters.ended(End::Idle), 0);
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

/// As the resolver of glibc asks for A and AAAA: two questions from one port, before the first answer.
#[tokio::test]
async fn each_question_that_is_under_way_gets_its_answer() {
    let (backend, _task) = echo(b"").await;
    let responses = NonZeroU32::new(1);
    let lab = Lab::new(vec![backend], UdpConfig { responses, ..<_>::default() }).await;
    let client = client().await;
    for round in 0..20 {
        client.send_to(b"A", lab.address).await.unwrap();
        client.send_to(b"AAAA", lab.address).await.unwrap();
        for number in 0..2 {
            assert!(answer(&lab, &client).await.is_some(), "round {round}, answer {number}");
        }
    }
}
