//! Backends that are killed, hung, reset and restarted at random, under load.
//!
//! What must hold: a connection is lost only where its backend died, hung or reset it; no byte is ever wrong; new
//! connections find a backend; at the end every counter is back to 0; and the log says what happened. The short
//! run is a test like any other. For a longer one, with another seed:
//!
//! ```console
//! $ EQUIPOISE_CHAOS_SECONDS=60 EQUIPOISE_CHAOS_SEED=7 cargo test -p l4-proxy --test it -- chaos --nocapture
//! ```
//!
//! The seed decides what is done and when; what it meets is up to the machine.

mod breakage;
mod flows;
mod judge;
mod room;
mod visits;

use std::env;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use equipoise_core::Rng;
use parking_lot::Mutex;
use proxy_lab::echo::Echo;
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::timeline::{admin_address, shown};
use proxy_lab::usage::Usage;
use proxy_lab::wait;

use self::breakage::{Breakages, Breaker};
use self::flows::Flow;
use self::visits::{Kind, Visit};
use crate::{PROXY, SCRATCH};

const BACKENDS: usize = 8;
/// The pools, each with all backends: as many connections as come, one at a time for each backend, datagrams.
const POOLS: [&str; 3] = ["web", "tight", "dgrams"];
/// `max_connections`, `queue`, and `max_sessions` of UDP.
const MOST: usize = 24;
const QUEUE: usize = 10;
const SESSIONS: usize = 16;
/// How long a client waits for anything. A backend that hangs is found out long before.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who visits, and by which listener: by the second no more than may queue, for at times nobody has a place.
const CLIENTS: [(usize, Kind, usize); 7] = [
    (0, Kind::Short, 6),
    (0, Kind::PingPong, 8),
    (0, Kind::Bulk, 2),
    (0, Kind::Silent, 1),
    (1, Kind::Short, 6),
    (1, Kind::PingPong, 2),
    (1, Kind::Bulk, 2),
];
const FLOWS: usize = 6;

/// What the threads of a run share.
struct World {
    proxy: Proxy,
    /// The listeners of the first two pools.
    listeners: Vec<SocketAddr>,
    udp: SocketAddr,
    admin: SocketAddr,
    breakages: Breakages,
    visits: Mutex<Vec<Visit>>,
    flows: Mutex<Vec<Flow>>,
    stop: AtomicBool,
    clients: AtomicU32,
}

impl World {
    /// An address that no client has had: the log's lines are told apart by it.
    fn client_address(&self) -> SocketAddr {
        let [_, a, b, c] = self.clients.fetch_add(1, Relaxed).to_be_bytes();
        ([127, 16 | a, b, c], 0).into()
    }

    fn is_over(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

/// The run is over, also when it fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Which backend is not there in a variant of the configuration, if one is not.
fn absent(variant: usize) -> Option<usize> {
    (variant % 8 == 7).then_some(variant % BACKENDS)
}

/// The configuration, in one of its variants: 0 is the one that it begins and ends with.
fn config(backends: &[Echo], variant: usize) -> String {
    let policy = ["round_robin", "least_conn", "p2c"][variant % 3];
    let absent = absent(variant);
    let list = |more: &str| {
        let there = backends.iter().enumerate().filter(|(index, _)| Some(*index) != absent);
        let written: Vec<_> =
            there.map(|(_, backend)| format!("{}{more}", backend.address)).collect();
        format!("{written:?}")
    };
    format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"web\"\n\
         [[listeners]]\naddress = \"127.0.0.2:0\"\npool = \"tight\"\n\
         [[udp]]\naddress = \"127.0.0.1:0\"\npool = \"dgrams\"\nidle_ms = 2000\nmax_sessions = {SESSIONS}\n\
         [admin]\naddress = \"127.0.0.1:0\"\n\
         [limits]\nmax_connections = {MOST}\nqueue = {QUEUE}\nqueue_ms = 60000\n\
         [health.check]\ntype = \"script\"\nscript = [{{ expect_prefix = 'b' }}]\nfall = 2\nrise = 1\n\
         interval_ms = 1000\nfast_interval_ms = 1000\ndown_interval_ms = 1000\ntimeout_ms = 1000\n\
         [pools.web]\npolicy = \"{policy}\"\nbackends = {}\n\
         [pools.tight]\nbackends = {}\n\
         [pools.dgrams]\nbackends = {}\n",
        list(""),
        list(",max=1"),
        list(""),
    )
}

/// A backend that hangs is found out within (1.1 × (1000 + 1000) + 1000) ms, and what a busy machine may add. One that
/// hangs for longer than that must have been.
const DETECTION: Duration = Duration::from_millis(3_200 + 500);

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn a_connection_is_lost_only_with_its_backend() {
    let seconds = setting("EQUIPOISE_CHAOS_SECONDS", 8);
    let seed = setting("EQUIPOISE_CHAOS_SEED", 1);
    println!("chaos: seed {seed}, {seconds} s");
    let mut backends: Vec<_> =
        (0..BACKENDS).map(|index| Echo::start(PROXY, &format!("b{index}"))).collect();
    let file = ConfigFile::new(SCRATCH, "chaos", &config(&backends, 0));
    let proxy = Proxy::start(PROXY, 2, ["--config", file.path()]);
    let line = proxy.logged(&["serving udp "]);
    let mut world = World {
        listeners: proxy.addresses.clone(),
        udp: line.split_once("serving udp ").unwrap().1.parse().unwrap(),
        admin: admin_address(&proxy),
        breakages: Breakages::default(),
        visits: Mutex::default(),
        flows: Mutex::default(),
        stop: AtomicBool::new(false),
        clients: AtomicU32::new(1),
        proxy,
    };
    all_up(&world);
    let before = Usage::at_rest(world.proxy.id());
    let mut reloads = 0;
    thread::scope(|scope| {
        let mut rng = Rng::seeded(seed);
        for (listener, kind, count) in CLIENTS {
            for _ in 0..count {
                let (world, rng) = (&world, Rng::seeded(rng.next_u64()));
                scope.spawn(move || visits::go_on(world, listener, kind, rng));
            }
        }
        for _ in 0..FLOWS {
            let (world, rng) = (&world, Rng::seeded(rng.next_u64()));
            scope.spawn(move || flows::go_on(world, rng));
        }
        let _over = Over(&world.stop);
        let mut breaker = Breaker::new(&world, &mut backends, &file, rng);
        breaker.run(Duration::from_secs(seconds));
        reloads = breaker.mend();
        all_up(&world);
        world.breakages.settle_all();
    });
    room::is_as_before(&world, &before);
    room::is_all_there(&world);
    world.proxy.signal("TERM");
    assert_eq!(world.proxy.ended().code(), Some(0));
    world.proxy.logged(&["l4-proxy: stopped"]);
    judge::judge(&world, &backends, reloads);
}

/// Waits until all backends are well in the eyes of all pools.
fn all_up(world: &World) {
    wait::until("all backends to be up", || {
        let shown = shown(world.admin);
        shown.len() == BACKENDS * POOLS.len() && shown.iter().all(|one| one.state == "up")
    });
}
