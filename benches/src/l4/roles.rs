//! What the program starts itself as.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::l4::child::become_pinned;
use crate::l4::clients::{self, Work};
use crate::l4::outcome::{Meter, Outcome};
use crate::l4::{backend, datagrams, idle, plain};

/// Before anything is counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// A load, as the command line has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Load {
    /// Clients over TCP, so many.
    Clients(Work, usize),
    /// Flows, with so many datagrams under way each.
    Datagrams(usize, usize),
    /// Connections on which nothing happens.
    Idle(usize),
}

impl Load {
    /// How the program has to be started.
    pub fn args(self, port: u16, seconds: u64) -> Vec<String> {
        let (name, number, window) = match self {
            Self::Clients(Work::RoundTrips, clients) => ("ping", clients, 0),
            Self::Clients(Work::Connections, clients) => ("connect", clients, 0),
            Self::Clients(Work::Bulk, clients) => ("bulk", clients, 0),
            Self::Datagrams(flows, window) => ("udp", flows, window),
            Self::Idle(connections) => ("idle", connections, 0),
        };
        let numbers = [usize::from(port), number, window, seconds as usize];
        let numbers = numbers.map(|number| number.to_string());
        ["load".to_owned(), name.to_owned()].into_iter().chain(numbers).collect()
    }

    fn run(name: &str, [port, number, window, seconds]: [usize; 4]) -> io::Result<()> {
        let target = loopback(port)?;
        let meter = || Meter::new(WARM_UP, Duration::from_secs(seconds as u64));
        let tell = |outcome: Outcome| println!("{outcome}");
        let work = match name {
            "ping" => Work::RoundTrips,
            "connect" => Work::Connections,
            "bulk" => Work::Bulk,
            "udp" => return datagrams::load(target, number, window, meter()).map(tell),
            "idle" => {
                return idle::hold(target, number, |outcome| {
                    tell(outcome);
                    // They stay until the input ends.
                    let _ = io::stdin().read(&mut [0]);
                });
            }
            _ => return Err(io::Error::other(format!("no load is called `{name}`"))),
        };
        clients::load(work, target, number, meter()).map(tell)
    }
}

/// A port of this machine.
fn loopback(port: usize) -> io::Result<SocketAddr> {
    let port = u16::try_from(port).map_err(io::Error::other)?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

/// Runs the role that the arguments name, if they name one.
pub fn run(args: &[String]) -> Option<io::Result<()>> {
    let numbers = |args: &[String]| {
        let numbers: Result<Vec<usize>, _> = args.iter().map(|arg| arg.parse()).collect();
        numbers.map_err(io::Error::other)
    };
    let bad = || io::Error::other("not so many arguments");
    let (role, rest) = args.split_first()?;
    let done = match (role.as_str(), rest) {
        ("on", [core, program, args @ ..]) => core
            .parse()
            .map_err(io::Error::other)
            .and_then(|core| Err(become_pinned(core, OsStr::new(program), args))),
        ("backend", [port]) => port.parse().map_err(io::Error::other).and_then(backend::serve),
        ("load", [name, rest @ ..]) => numbers(rest)
            .and_then(|numbers| Load::run(name, numbers.try_into().map_err(|_| bad())?)),
        ("plain", rest) => numbers(rest).and_then(|ports| {
            let ports: Vec<_> = ports.into_iter().map(loopback).collect::<Result<_, _>>()?;
            let [tcp, udp, backends @ ..] = &ports[..] else { return Err(bad()) };
            plain::serve(tcp.port(), udp.port(), backends.to_vec())
        }),
        _ => return None,
    };
    Some(done)
}
