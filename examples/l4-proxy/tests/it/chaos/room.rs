//! Whether every counter is back to 0: by what is shown, and by whether all that there may be can be had again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use proxy_lab::timeline::until_idle;
use proxy_lab::usage::Usage;
use proxy_lab::wait;

use super::flows::Open;
use super::visits::open;
use super::{BACKENDS, MOST, QUEUE, SESSIONS, World};

/// No connection is counted, and no descriptor is left.
pub(super) fn is_as_before(world: &World, before: &Usage) {
    until_idle(world.admin);
    world.proxy.closes_all_but(before);
    println!("before: {before:?}\nafter:  {:?}", Usage::at_rest(world.proxy.id()));
}

/// As many connections, queued ones and sessions can be had as there may be, and no more: a place that was lost
/// would be missing, and one that was given back twice would be too many.
pub(super) fn is_all_there(world: &World) {
    let [web, tight] = [world.listeners[0], world.listeners[1]];
    let told = |what: &str| world.proxy.times_logged(what);

    // At the gate.
    let held: Vec<_> = (0..MOST).map(|_| greeted(open(world, web).0)).collect();
    let (mut waiting, _) = open(world, web);
    let limit = std::time::Duration::from_millis(300);
    waiting.get_ref().set_read_timeout(Some(limit)).expect("a timeout");
    waiting.read_exact(&mut [0]).expect_err("there is no place");
    waiting.get_ref().set_read_timeout(Some(super::PATIENCE)).expect("a timeout");
    drop(held);
    drop(greeted(waiting));

    // One for each backend, then the queue.
    let full = "end=\"every backend is full, and so is the queue\"";
    assert_eq!(told(full), 0);
    until_idle(world.admin);
    let mut served: Vec<_> = (0..BACKENDS).map(|_| greeted(open(world, tight).0)).collect();
    let queued: Vec<_> = (0..=QUEUE).map(|_| open(world, tight).0).collect();
    wait::until("one too many to be let go", || told(full) == 1);
    served.iter_mut().for_each(bye);
    drop(served);
    let mut came = 0;
    for mut stream in queued {
        if stream.read_line(&mut String::new()).is_ok_and(|length| length > 0) {
            bye(&mut stream);
            came += 1;
        }
    }
    assert_eq!(came, QUEUE);

    // Datagrams: no session is left of before, for all of that is longer ago than they last.
    until_idle(world.admin);
    let mut flows: Vec<_> = (0..SESSIONS).map(|_| Open::new(world)).collect();
    for flow in &mut flows {
        assert!(wait::for_some("an answer", || flow.ask(10).then_some(true)));
    }
    assert!(!Open::new(world).ask(10), "one session too many");
}

/// Waits until a backend has said who it is.
fn greeted(mut stream: BufReader<TcpStream>) -> BufReader<TcpStream> {
    let mut line = String::new();
    stream.read_line(&mut line).expect("a backend");
    assert!(line.ends_with('\n'), "{line:?}");
    stream
}

/// Goes in order.
fn bye(stream: &mut BufReader<TcpStream>) {
    let _ = stream.get_mut().write_all(b"bye\n");
    let _ = stream.read_to_end(&mut Vec::new());
}
