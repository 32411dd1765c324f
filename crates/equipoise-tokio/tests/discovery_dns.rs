//! Discovery by DNS, against a name server that answers as the test says.
#![cfg(feature = "dns")]

mod discovery_support;
#[path = "discovery_support/server.rs"]
mod server;

use std::time::Duration;

use discovery_support::{names, names_after_errors, next};
use equipoise_tokio::discovery::{
    AddressFamily, Discover, DiscoveryError, Dns, DnsBuilder, Endpoint, Guard, GuardSettings,
    Guarded, LookupFailure,
};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType::{self, A, AAAA, CNAME, SRV};
use server::{Reply, Server, cname, srv, v4, v6};
use tokio::time::{Instant, timeout};

const API: &str = "api.test.";
const HTTP: &str = "_http._tcp.test.";

/// TTLs of whole seconds are long for a test: 20 to 50 ms.
fn quick(builder: DnsBuilder, server: &Server) -> DnsBuilder {
    builder
        .name_servers(vec![server.address])
        .ttl(Duration::from_millis(20), Duration::from_millis(50))
        .timeout(Duration::from_millis(200))
        .seed(1)
}

fn host(server: &Server) -> Dns {
    quick(Dns::host(API, 80), server).family(AddressFamily::V4).build().unwrap()
}

fn service(server: &Server) -> Dns {
    quick(Dns::service(HTTP), server).family(AddressFamily::V4).build().unwrap()
}

fn failure(result: Result<Vec<Endpoint>, DiscoveryError>) -> (String, &'static str, LookupFailure) {
    match result {
        Err(DiscoveryError::Lookup { name, record, failure }) => (name, record, failure),
        other => panic!("{other:?}"),
    }
}

/// Waits until a question has been asked this many times more.
async fn asked_again(server: &Server, source: &mut Dns, kind: RecordType, name: &str, more: usize) {
    let goal = server.asked(name, kind) + more;
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.asked(name, kind) < goal {
        assert!(Instant::now() < deadline);
        let news = timeout(Duration::from_millis(5), source.next()).await;
        assert!(news.is_err(), "{news:?}");
    }
}

#[tokio::test]
async fn the_addresses_of_a_name_are_followed() {
    let server = Server::start().await;
    server.set_v4(API, 0, &[2, 1]);
    let mut source = host(&server);
    assert_eq!(names(&mut source).await, ["10.0.0.1:80", "10.0.0.2:80"]);
    server.set_v4(API, 0, &[3, 2]);
    assert_eq!(names(&mut source).await, ["10.0.0.2:80", "10.0.0.3:80"]);
}

#[tokio::test]
async fn another_order_is_no_news() {
    let server = Server::start().await;
    server.set_v4(API, 0, &[1, 2, 3]);
    let mut source = host(&server);
    names(&mut source).await;
    for order in [[2, 3, 1], [3, 2, 1]] {
        server.set_v4(API, 0, &order);
        asked_again(&server, &mut source, A, API, 2).await;
    }
}

#[tokio::test]
async fn the_family_says_which_addresses_count() {
    let server = Server::start().await;
    server.set_v4(API, 0, &[1]);
    server.set(API, AAAA, Reply::Records(vec![v6(API, 0, 1)]));
    for (family, expected) in [
        (AddressFamily::Both, &["10.0.0.1:80", "[fd00::1]:80"][..]),
        (AddressFamily::V4, &["10.0.0.1:80"]),
        (AddressFamily::V6, &["[fd00::1]:80"]),
    ] {
        let mut source = quick(Dns::host(API, 80), &server).family(family).build().unwrap();
        assert_eq!(names(&mut source).await, expected);
    }
}

#[tokio::test]
async fn a_ttl_of_0_does_not_spin_and_a_ttl_of_a_week_hides_nothing() {
    for ttl in [0, 604_800] {
        let server = Server::start().await;
        server.set_v4(API, ttl, &[1]);
        let mut source = host(&server);
        names(&mut source).await;
        assert!(timeout(Duration::from_millis(500), source.next()).await.is_err());
        // Every 20 ms, or every 50 ms; a busy machine asks less often.
        let (most, asked) = (if ttl == 0 { 26 } else { 11 }, server.asked(API, A));
        assert!((2..=most).contains(&asked), "{ttl}: {asked}");
        server.set_v4(API, ttl, &[2]);
        assert_eq!(names(&mut source).await, ["10.0.0.2:80"]);
    }
}

#[tokio::test]
async fn the_ttl_itself_counts_between_the_clamps() {
    let server = Server::start().await;
    server.set_v4(API, 1, &[1]);
    let builder = quick(Dns::host(API, 80), &server).family(AddressFamily::V4);
    let long = Duration::from_secs(300);
    let mut source = builder.ttl(Duration::from_millis(20), long).build().unwrap();
    names(&mut source).await;
    let start = Instant::now();
    server.set_v4(API, 300, &[2]);
    assert_eq!(names(&mut source).await, ["10.0.0.2:80"]);
    let passed = start.elapsed();
    assert!(passed >= Duration::from_millis(900) && passed < Duration::from_secs(5), "{passed:?}");
}

/// Envoy once took the TTL of the address for that of the name (envoy#28925).
#[tokio::test]
async fn the_smallest_ttl_of_a_chain_of_names_counts() {
    for is_one_answer in [true, false] {
        let server = Server::start().await;
        let chain = vec![cname(API, 300, "b.test."), cname("b.test.", 0, "c.test.")];
        let address = v4("c.test.", 300, 1);
        if is_one_answer {
            server.set(API, A, Reply::Records([chain, vec![address]].concat()));
        } else {
            server.set(API, A, Reply::Records(chain[..1].to_vec()));
            server.set("b.test.", A, Reply::Records(chain[1..].to_vec()));
            server.set("c.test.", A, Reply::Records(vec![address]));
        }
        let builder = quick(Dns::host(API, 80), &server).family(AddressFamily::V4);
        let long = Duration::from_secs(300);
        let mut source = builder.ttl(Duration::from_millis(20), long).build().unwrap();
        assert_eq!(names(&mut source).await, ["10.0.0.1:80"]);
        server.set(API, A, Reply::Records(vec![cname(API, 300, "d.test."), v4("d.test.", 0, 2)]));
        server.set("d.test.", A, Reply::Records(vec![v4("d.test.", 0, 2)]));
        assert_eq!(names(&mut source).await, ["10.0.0.2:80"], "one answer: {is_one_answer}");
    }
}

#[tokio::test]
async fn a_failure_is_told_and_keeps_the_set() {
    let server = Server::start().await;
    server.set_v4(API, 0, &[1]);
    let mut source = host(&server);
    names(&mut source).await;
    let servfail = LookupFailure::Answered(ResponseCode::ServFail.to_string());
    let refused = LookupFailure::Answered(ResponseCode::Refused.to_string());
    for (reply, expected) in [
        (Reply::Code(ResponseCode::ServFail), servfail),
        (Reply::Code(ResponseCode::Refused), refused),
        (Reply::Code(ResponseCode::NXDomain), LookupFailure::NoSuchName),
        (Reply::Silence, LookupFailure::Timeout),
    ] {
        server.set(API, A, reply);
        // What was on its way may come first.
        let told = loop {
            let told = failure(next(&mut source).await);
            assert_eq!((told.0.as_str(), told.1), (API, "A"));
            if told.2 == expected {
                break told;
            }
        };
        assert_eq!(told.2, expected);
    }
    server.set(API, A, Reply::Garbage);
    failure(next(&mut source).await);
    // The set that was kept is no news when it comes again; another is.
    server.set_v4(API, 0, &[1]);
    while let Ok(news) = timeout(Duration::from_millis(500), source.next()).await {
        failure(news);
    }
    server.set_v4(API, 0, &[2]);
    assert_eq!(names_after_errors(&mut source).await, ["10.0.0.2:80"]);
}

/// A name that does not exist was asked for without a pause (envoy#7808).
#[tokio::test]
async fn failures_are_not_a_storm() {
    let server = Server::start().await;
    server.set(API, A, Reply::Code(ResponseCode::NXDomain));
    let builder = quick(Dns::host(API, 80), &server).family(AddressFamily::V4);
    let long = Duration::from_secs(60);
    let mut source = builder.ttl(Duration::from_millis(20), long).build().unwrap();
    let end = Instant::now() + Duration::from_millis(700);
    while let Ok(news) = tokio::time::timeout_at(end, source.next()).await {
        assert_eq!(failure(news).2, LookupFailure::NoSuchName);
    }
    // Pauses of at least 10, 20, 40, 80, 160, 320 and 640 ms.
    let asked = server.asked(API, A);
    assert!((2..=7).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_name_without_addresses_is_an_empty_set_and_a_guard_may_object() {
    let server = Server::start().await;
    server.set_v4(API, 0, &[1, 2]);
    let mut plain = host(&server);
    let mut guarded = Guarded::new(host(&server), Guard::new(GuardSettings::default()));
    names(&mut plain).await;
    names(&mut guarded).await;
    server.set(API, A, Reply::Records(vec![]));
    assert_eq!(next(&mut plain).await, Ok(vec![]));
    let Err(DiscoveryError::Refused(refusal)) = next(&mut guarded).await else { panic!() };
    assert_eq!((refusal.offered, refusal.kept), (0, 2));
}

#[tokio::test]
async fn what_does_not_fit_into_udp_comes_over_tcp() {
    let server = Server::start().await;
    let records = (0..=255).map(|n| v4(API, 0, n)).collect();
    server.set(API, A, Reply::TooBig(records));
    assert_eq!(next(&mut host(&server)).await.unwrap().len(), 256);
}

#[tokio::test]
async fn a_family_that_fails_keeps_its_last_addresses() {
    let server = Server::start().await;
    server.set_v4(API, 0, &[1]);
    server.set(API, AAAA, Reply::Records(vec![v6(API, 0, 1)]));
    let mut source = quick(Dns::host(API, 80), &server).build().unwrap();
    assert_eq!(names(&mut source).await, ["10.0.0.1:80", "[fd00::1]:80"]);
    server.set(API, AAAA, Reply::Code(ResponseCode::ServFail));
    assert_eq!(failure(next(&mut source).await).1, "AAAA");
    server.set_v4(API, 0, &[2]);
    assert_eq!(names_after_errors(&mut source).await, ["10.0.0.2:80", "[fd00::1]:80"]);

    // One that never answered has none to keep.
    let mut source = quick(Dns::host(API, 80), &server).build().unwrap();
    assert_eq!(failure(next(&mut source).await).1, "AAAA");
    assert_eq!(names_after_errors(&mut source).await, ["10.0.0.2:80"]);
}

#[tokio::test]
async fn srv_records_have_ports_weights_and_tiers() {
    let server = Server::start().await;
    let records = [(20, 5, 81, "c.test."), (10, 0, 80, "a.test."), (10, 60, 80, "B.test.")];
    server.set(HTTP, SRV, Reply::Records(records.map(|r| srv(HTTP, 0, r)).to_vec()));
    for (n, target) in ["a.test.", "b.test.", "c.test."].into_iter().enumerate() {
        server.set_v4(target, 300, &[n as u8 + 1]);
    }
    let mut source = service(&server);
    let set = next(&mut source).await.unwrap();
    let short: Vec<_> = set.iter().map(|e| (e.name.as_str(), e.weight.get(), e.tier)).collect();
    let expected = [("10.0.0.1:80", 1, 0), ("10.0.0.2:80", 60, 0), ("10.0.0.3:81", 5, 1)];
    assert_eq!(short, expected);

    // The same records in another order are no news; another weight is, of the same backend.
    let mut again = records.map(|r| srv(HTTP, 0, r)).to_vec();
    again.reverse();
    server.set(HTTP, SRV, Reply::Records(again));
    asked_again(&server, &mut source, SRV, HTTP, 2).await;
    server.set(HTTP, SRV, Reply::Records(vec![srv(HTTP, 0, (10, 61, 80, "b.test."))]));
    let after = next(&mut source).await.unwrap();
    assert_eq!((after[0].id(), after[0].weight.get()), (set[1].id(), 61));
}

#[tokio::test]
async fn a_target_that_fails_keeps_its_addresses_while_others_change() {
    let server = Server::start().await;
    let records = ["a.test.", "b.test."].map(|target| srv(HTTP, 0, (1, 1, 80, target)));
    server.set(HTTP, SRV, Reply::Records(records.to_vec()));
    server.set_v4("a.test.", 0, &[1]);
    server.set_v4("b.test.", 0, &[2]);
    let mut source = service(&server);
    assert_eq!(names(&mut source).await, ["10.0.0.1:80", "10.0.0.2:80"]);
    server.set("a.test.", A, Reply::Code(ResponseCode::ServFail));
    assert_eq!(failure(next(&mut source).await).0, "a.test.");
    server.set_v4("b.test.", 0, &[3]);
    assert_eq!(names_after_errors(&mut source).await, ["10.0.0.1:80", "10.0.0.3:80"]);
    // Once the record is gone, so is the backend.
    server.set(HTTP, SRV, Reply::Records(records[1..].to_vec()));
    assert_eq!(names_after_errors(&mut source).await, ["10.0.0.3:80"]);
}

#[tokio::test]
async fn srv_records_that_fail_keep_the_set_and_a_dot_empties_it() {
    let server = Server::start().await;
    server.set(HTTP, SRV, Reply::Records(vec![srv(HTTP, 0, (1, 1, 80, "a.test."))]));
    server.set_v4("a.test.", 0, &[1]);
    let mut source = service(&server);
    names(&mut source).await;
    server.set(HTTP, SRV, Reply::Code(ResponseCode::NXDomain));
    let (name, record, why) = failure(next(&mut source).await);
    assert_eq!((name.as_str(), record, why), (HTTP, "SRV", LookupFailure::NoSuchName));
    // Nor is a port of 0 one to connect to.
    let nobody = [(0, 0, 80, "."), (1, 1, 0, "a.test.")];
    server.set_v4(".", 0, &[7]);
    server.set(HTTP, SRV, Reply::Records(nobody.map(|record| srv(HTTP, 0, record)).to_vec()));
    assert!(names_after_errors(&mut source).await.is_empty());
}

#[tokio::test]
async fn srv_records_behind_a_chain_of_names_are_found() {
    let server = Server::start().await;
    let real = "_http._tcp.real.test.";
    let records = vec![cname(HTTP, 0, real), srv(real, 300, (1, 1, 80, "a.test."))];
    server.set(HTTP, SRV, Reply::Records(records.clone()));
    server.set(HTTP, CNAME, Reply::Records(records[..1].to_vec()));
    server.set(real, SRV, Reply::Records(vec![srv(real, 0, (1, 1, 80, "a.test."))]));
    server.set_v4("a.test.", 0, &[1]);
    assert_eq!(names(&mut service(&server)).await, ["10.0.0.1:80"]);

    // A chain that goes in a circle is an error, not an empty set.
    server.set(real, SRV, Reply::Records(vec![]));
    server.set(real, CNAME, Reply::Records(vec![cname(real, 0, HTTP)]));
    assert_eq!(failure(next(&mut service(&server)).await).1, "CNAME");
}

#[tokio::test]
async fn a_referral_is_a_failure_and_not_an_empty_set() {
    let server = Server::start().await;
    server.set(API, A, Reply::Referral);
    let (_, record, why) = failure(next(&mut host(&server)).await);
    let referral = LookupFailure::Other("a referral to other name servers".into());
    assert_eq!((record, why), ("A", referral));
}

#[tokio::test]
async fn a_listener_who_never_waits_for_long_gets_there() {
    let server = Server::start().await;
    server.set_v4(API, 0, &[1]);
    let mut source = host(&server);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < deadline);
        if let Ok(set) = timeout(Duration::from_micros(1), source.next()).await {
            assert_eq!(set.unwrap()[0].name, "10.0.0.1:80");
            return;
        }
    }
}

#[tokio::test]
async fn a_listener_who_stops_waiting_does_not_start_the_questions_anew() {
    let server = Server::start().await;
    server.set(API, A, Reply::Silence);
    let mut source = quick(Dns::host(API, 80), &server)
        .family(AddressFamily::V4)
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap();
    for _ in 0..100 {
        assert!(timeout(Duration::from_millis(1), source.next()).await.is_err());
    }
    // Once, and perhaps again where the machine was slow.
    assert!((1..10).contains(&server.asked(API, A)), "{}", server.asked(API, A));
}

#[tokio::test]
async fn a_second_name_server_answers_for_one_that_is_silent() {
    let (silent, server) = (Server::start().await, Server::start().await);
    silent.set(API, A, Reply::Silence);
    server.set_v4(API, 0, &[1]);
    let builder = quick(Dns::host(API, 80), &server).family(AddressFamily::V4);
    let both = vec![silent.address, server.address];
    let mut source = builder.name_servers(both).build().unwrap();
    assert_eq!(names_after_errors(&mut source).await, ["10.0.0.1:80"]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_system_knows_itself() {
    let mut source = Dns::host("localhost", 80).family(AddressFamily::V4).build().unwrap();
    assert_eq!(names(&mut source).await, ["127.0.0.1:80"]);
}

#[tokio::test]
async fn more_targets_than_the_limit_are_an_error() {
    let server = Server::start().await;
    let records = (0..1_025).map(|n| srv(HTTP, 0, (1, 1, 80, &format!("t{n}.test."))));
    server.set(HTTP, SRV, Reply::TooBig(records.collect()));
    let error = next(&mut service(&server)).await.unwrap_err();
    assert_eq!(error, DiscoveryError::TooMany { limit: 1_024 });
}
