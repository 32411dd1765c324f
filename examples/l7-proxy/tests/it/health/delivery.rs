//! A POST is never delivered twice.

use std::collections::BTreeMap;

use proxy_lab::checks::Checks;
use proxy_lab::client::Connection;
use proxy_lab::demo::Demo;
use proxy_lab::health::CLIENTS;
use proxy_lab::load::{Load, statuses};

use super::BENCH;
use crate::{PROXY, SCRATCH};

#[test]
fn an_order_is_never_delivered_twice_and_one_that_was_confirmed_is_there() {
    let mut demos = Demo::sharing(PROXY, SCRATCH, ["one", "two", "three"]);
    let checks = Checks::QUICK;
    let title = "orders under kills, resets, hangs and 500s";
    // What is not idempotent waits for its answer as long as it may: nobody else can be asked.
    let sections = checks.section("/live", "") + "[timeouts]\nresponse_head_ms = 1000\n";
    let watched = BENCH.watch(title, &demos, &sections);
    let timeline = &watched.timeline;
    // With a body and without: each could be sent again in a way of its own.
    let order = |number: usize| {
        let body = if number.is_multiple_of(2) { "tea" } else { "" };
        format!(
            "POST /orders HTTP/1.1\r\nHost: lab\r\nX-Request-Id: order-{number}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let load = Load::new(watched.proxy.address(), CLIENTS, order);

    // Orders go on all the time, so that some are under way whenever a fault begins.
    timeline.note("two", "POST /break/reset");
    demos[1].break_it("reset");
    load.more(20);
    demos[1].mend();
    timeline.note("three", "POST /break/500");
    demos[2].break_it("500");
    load.more(20);
    demos[2].mend();
    for _ in 0..2 {
        let killed = timeline.note("one", "kill -9");
        demos[0].kill();
        load.more(10);
        timeline.reaches("one", "down", "connection refused", killed, checks.detection());
        demos[0].restart();
        timeline.until("one", "up");
        load.more(10);
    }
    let stopped = timeline.note("two", "SIGSTOP");
    demos[1].signal("STOP");
    timeline.reaches("two", "down", "no answer", stopped, checks.detection());
    load.more(10);
    demos[1].signal("CONT");
    timeline.until("two", "up");
    let samples = load.end();
    timeline.note("-", &format!("{} orders: {:?}", samples.len(), statuses(&samples)));

    let mut ask = Connection::open(demos[1].address.parse().expect("an address"));
    let mut delivered = BTreeMap::new();
    for sample in &samples {
        let path = format!("/orders?id=order-{}", sample.number);
        let reply = ask.request(format!("GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n"));
        let count: u32 = reply.text().trim().parse().expect("a number");
        *delivered.entry((sample.status, count)).or_insert(0) += 1;
    }
    println!("how many had which status and are there so often: {delivered:?}");
    assert!(delivered.keys().all(|(_, count)| *count <= 1), "none twice");
    assert!(!delivered.contains_key(&(201, 0)), "none that was confirmed is lost");
    let uncertain = delivered.iter().filter(|((status, _), _)| *status != 201);
    assert!(uncertain.map(|(_, count)| count).sum::<i32>() > 0, "some met a fault");
}
