//! Bounded stickiness: a backend that joins gets its share of the sessions, if that is wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use proxy_lab::backend::Backend;
use proxy_lab::browser::Browser;
use proxy_lab::client::Connection;
use proxy_lab::process::Proxy;
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use super::lost::List;
use super::{Answer, NAMES, ask, get};
use crate::{PROXY, SCRATCH};

/// So many that chance hardly ever brings one of three backends from its share above the cap.
const SESSIONS: usize = 120;
const SURPLUS: &str = "mode = \"header\"\nname = \"x-user\"\n\
     [pools.a.sticky.surplus]\ncap = 1.45\ninterval_ms = 300\nidle_ms = 0";

/// Clients that are asked for in turn, and where each was last.
struct Clients {
    connection: Connection,
    at: Vec<String>,
    /// From where to where sessions went.
    moves: BTreeMap<(String, String), usize>,
}

impl Clients {
    fn new(proxy: &Proxy) -> Self {
        let connection = Connection::open(proxy.address());
        let at = vec![String::new(); SESSIONS];
        let mut clients = Self { connection, at, moves: BTreeMap::new() };
        clients.round("new");
        clients
    }

    /// Each asks once; who has not moved must hear this.
    fn round(&mut self, word: &str) {
        for n in 0..SESSIONS {
            let request = get("/", &format!("X-User: user-{n}\r\n"));
            let answer = Answer(self.connection.request(request));
            let backend = answer.backend();
            if answer.word() == "repin" {
                let from = std::mem::replace(&mut self.at[n], backend.clone());
                *self.moves.entry((from, backend)).or_insert(0) += 1;
            } else {
                assert_eq!(answer.word(), word);
                assert!(word == "new" || self.at[n] == backend, "{n}: {} {backend}", self.at[n]);
                self.at[n] = backend;
            }
        }
    }

    fn count(&self, name: &str) -> usize {
        self.at.iter().filter(|at| *at == name).count()
    }

    /// All go on for five intervals at least.
    fn for_a_while(&mut self) {
        for _ in 0..25 {
            self.round("hit");
            wait::pause(Duration::from_millis(60));
        }
    }
}

#[test]
fn a_backend_that_joins_gets_its_share_of_the_sessions_and_nobody_else_moves() {
    let backends = NAMES.map(Backend::named);
    let list = List::new(&backends[..2]);
    let proxy = list.proxy(SURPLUS);
    let mut clients = Clients::new(&proxy);
    assert_eq!((clients.count("one"), clients.count("two")), (SESSIONS / 2, SESSIONS / 2));
    clients.for_a_while();
    assert_eq!(clients.moves, BTreeMap::new(), "both are below the cap");

    list.says(&backends);
    // The old ones have 1.5 times their share now, and the third one hardly ever gets less than this.
    wait::until("the third one to have sessions", || {
        clients.round("hit");
        clients.count("three") >= SESSIONS / 6
    });
    clients.for_a_while();
    let moves = &clients.moves;
    println!("moves: {moves:?}");
    assert!(moves.keys().all(|(_, to)| to == "three"), "{moves:?}");
    assert!(moves.keys().all(|(from, _)| from != "three"), "{moves:?}");
    assert!((SESSIONS / 6..=SESSIONS / 2).contains(&clients.count("three")), "{moves:?}");
}

#[test]
fn without_it_a_backend_that_joins_gets_new_sessions_only() {
    let backends = NAMES.map(Backend::named);
    let list = List::new(&backends[..2]);
    let proxy = list.proxy("mode = \"header\"\nname = \"x-user\"");
    let mut clients = Clients::new(&proxy);
    list.says(&backends);
    let mut strangers = 0..;
    wait::until("the third one to get a new session", || {
        let line = format!("X-User: stranger-{}\r\n", strangers.next().unwrap_or(0));
        ask(&proxy, "/", &line).backend() == "three"
    });
    clients.for_a_while();
    assert_eq!((clients.count("three"), &clients.moves), (0, &BTreeMap::new()));
}

#[test]
fn a_backup_is_no_place_to_move_to() {
    let backends = NAMES.map(Backend::named);
    let [one, two, backup] = backends.each_ref().map(|backend| backend.address.as_str());
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [pools.a]\nbackends = [\"{one}\", \"{two}\", \"{backup},backup\"]\n\
         [pools.a.sticky]\nreport = \"x-session\"\n{SURPLUS}\n"
    );
    let config = ConfigFile::new(SCRATCH, "surplus", &text);
    let proxy = Proxy::start(PROXY, 1, ["--config", config.path()]);
    let mut clients = Clients::new(&proxy);
    clients.for_a_while();
    assert_eq!(clients.moves, BTreeMap::new());
}

/// All of them are born in a second or two, and on one backend: their tokens differ all the same, and so
/// they don't move together, nor again and again.
#[test]
fn sessions_in_cookies_move_one_by_one() {
    let backends = NAMES.map(Backend::named);
    let list = List::new(&backends[..1]);
    let proxy = list.proxy(
        "mode = \"cookie\"\n[pools.a.sticky.surplus]\ncap = 1.45\ninterval_ms = 300\nidle_ms = 0",
    );
    let mut browsers: Vec<_> = (0..SESSIONS).map(|_| Browser::new(proxy.address())).collect();
    let mut moves = 0;
    let mut round = |browsers: &mut Vec<Browser>| {
        let mut at = BTreeMap::new();
        for browser in browsers {
            let reply = browser.get("/");
            moves += usize::from(reply.header("x-session") == Some("repin"));
            *at.entry(reply.text()).or_insert(0) += 1;
        }
        (at, moves)
    };
    round(&mut browsers);
    list.says(&backends[..2]);
    wait::until("the second one to have its share", || {
        let (at, _) = round(&mut browsers);
        at.get("two").is_some_and(|count| *count >= SESSIONS / 4)
    });
    for _ in 0..10 {
        round(&mut browsers);
        wait::pause(Duration::from_millis(60));
    }
    let (at, moves) = round(&mut browsers);
    println!("{at:?} after {moves} moves");
    assert!(at.values().all(|count| *count >= SESSIONS / 4) && at.len() == 2, "{at:?}");
    assert!(moves < SESSIONS, "half of them is enough: {moves}");
}
