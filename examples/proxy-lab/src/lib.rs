//! What the tests of the example proxies share. It is on std alone, with blocking sockets and
//! threads: nothing of what is tested tests itself. Only the program `echo-backend`, which takes thousands of
//! connections, is on tokio.
//!
//! | module | what it does |
//! |---|---|
//! | [`process`] | the proxy under test, as a process: its addresses, its log, its exit |
//! | [`python`] | `python3 -m http.server`, a backend that nobody here wrote |
//! | [`backend`] | backends that do as a test says, and count |
//! | [`client`] | requests and replies, byte by byte if need be |
//! | [`browser`] | a client that keeps its cookies |
//! | [`redis`] | a real Redis server |
//! | [`postgres`] | real PostgreSQL servers |
//! | [`server`] | any other real server, and what its clients say |
//! | [`fleet`] | a real nginx, HAProxy or Envoy beside ours |
//! | [`wait`](mod@wait) | for a condition, never for a time |
//! | [`demo`] | the demo backend, broken by request or as a process |
//! | [`echo`] | a backend as a process that gives back, makes and takes bytes, to be killed, hung and reset |
//! | [`dns`] | a name server that says what a test wants |
//! | [`load`] | clients that go on asking, and remember what they got |
//! | [`timeline`] | what became of each backend, and when |
//! | [`checks`] | the settings of a check, and the bounds that follow from them |
//! | [`health`] | a proxy over demo backends, with all of these |
//! | [`lab`] | what both proxies must do, whatever their layer |
//! | [`usage`] | descriptors, memory and processor time of a process |
//! | [`table`] | configurations that must be refused |
//!
//! Everything that it starts ends with its owner. Everything panics on failure: it is for tests.

pub mod backend;
pub mod browser;
pub mod checks;
pub mod client;
pub mod demo;
pub mod dns;
pub mod echo;
pub mod fleet;
pub mod health;
pub mod lab;
pub mod load;
pub mod postgres;
pub mod process;
pub mod python;
pub mod redis;
pub mod server;
pub mod table;
pub mod timeline;
pub mod usage;
pub mod wait;

/// How long anything may take before a test fails.
pub const LIMIT: std::time::Duration = std::time::Duration::from_secs(10);
