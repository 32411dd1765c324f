//! `psql`, and two PostgreSQL servers that know nothing of each other.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use proxy_lab::checks::Checks;
use proxy_lab::health::Watched;
use proxy_lab::postgres::{Postgres, are_installed, psql};
use proxy_lab::process::Proxy;
use proxy_lab::server::{send_signal, text_of};
use proxy_lab::table::ConfigFile;
use proxy_lab::wait;

use super::{BENCH, numbered};
use crate::{PROXY, SCRATCH};

/// The check of `docs/health.md`: SSLRequest.
const SSL_REQUEST: &str = "type = \"script\"\n\
     script = [{ send = '\\x00\\x00\\x00\\x08\\x04\\xd2\\x16\\x2f' }, { expect_regex = '^[SN]', within = 1 }]\n";

/// What `psql` says to this command, with this on its standard input.
fn ask(address: SocketAddr, command: &str, input: &str) -> String {
    text_of("psql", &psql(address, &["-c", command]), input)
}

/// A `psql` that waits for the next command.
struct Session {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Session {
    fn open(address: SocketAddr) -> Self {
        let mut child = Command::new("psql")
            .args(psql(address, &[]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, commands, answers }
    }

    /// The first line of the answer; none when the session has ended.
    fn ask(&mut self, command: &str) -> Option<String> {
        let _ = writeln!(self.commands, "{command}");
        self.answers.next().map(Result::unwrap)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pool that keeps each client on one server, so that a request to cancel reaches the server that has the
/// query: it comes on a connection of its own.
fn kept_together(servers: &[Postgres; 2]) -> Proxy {
    let backends = servers.each_ref().map(|server| server.address.to_string());
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\npool = \"db\"\n[pools.db]\n\
         backends = {backends:?}\nsticky = {{ mode = \"client\" }}\n[health.check]\n{SSL_REQUEST}"
    );
    Proxy::configured(PROXY, 1, ConfigFile::new(SCRATCH, "postgres", &config))
}

#[test]
fn queries_copies_transactions_and_cancels_pass() {
    if !are_installed() {
        return;
    }
    let servers = Postgres::start(["one", "two"]);
    let proxy = kept_together(&servers);
    let address = proxy.address();
    let name = ask(address, "show cluster_name", "");
    let home = servers.iter().find(|server| name == format!("{}\n", server.name)).unwrap();
    assert_eq!(ask(address, "select 6 * 7, 'größer ' || U&'\\65E5'", ""), "42|größer 日\n");

    // Several megabytes in, counted by the server itself, and out again.
    let rows = numbered(150_000);
    ask(address, "create table lines (number int primary key, text text)", "");
    ask(address, "copy lines from stdin", &rows);
    assert_eq!(ask(home.address, "select count(*), max(number) from lines", ""), "150000|149999\n");
    let back = ask(address, "copy (select * from lines order by number) to stdout", "");
    assert!(back == rows, "{} bytes in, {} bytes out", rows.len(), back.len());
    for field in ["sent=", "received="] {
        wait::until("a line of the log with all that", || {
            let log = proxy.output();
            let fields = log.iter().flat_map(|line| line.split(' '));
            let mut values = fields.filter_map(|word| word.strip_prefix(field)?.parse().ok());
            values.any(|bytes: usize| bytes > rows.len())
        });
    }

    // A transaction over statements and time, which nobody else sees before its end.
    let count = "select count(*) from lines where number < 0;";
    let mut session = Session::open(address);
    assert_eq!(session.ask("begin; select pg_current_xact_id() is not null;").unwrap(), "t");
    assert_eq!(session.ask(&format!("insert into lines values (-1, 'a'); {count}")).unwrap(), "1");
    assert_eq!(ask(address, count, ""), "0\n");
    assert_eq!(session.ask(&format!("rollback; {count}")).unwrap(), "0");
    assert_eq!(session.ask("begin; insert into lines values (-2, 'b'); select 1;").unwrap(), "1");
    assert_eq!(session.ask(&format!("commit; {count}")).unwrap(), "1");
    assert_eq!(ask(address, count, ""), "1\n");

    // Ctrl-C.
    let query = Command::new("psql")
        .args(psql(address, &["-c", "select pg_sleep(60)"]))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let running = "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'";
    wait::until("the query to run", || ask(home.address, running, "") == "1\n");
    assert!(send_signal(query.id(), "INT"));
    let output = query.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    let cancelled = "Cancel request sent\nERROR:  canceling statement due to user request\n";
    assert_eq!(said, cancelled);
    assert_eq!(session.ask("select 'still here';").unwrap(), "still here");
}

#[test]
fn new_connections_go_on_when_one_of_two_is_killed() {
    if !are_installed() {
        return;
    }
    let mut servers = Postgres::start(["one", "two"]);
    let checks = Checks::QUICK;
    let labels = servers.iter().map(|server| (server.address.to_string(), server.name.to_owned()));
    let backends = servers.each_ref().map(|server| server.address.to_string());
    let watched = BENCH.watch_pool(
        "l4: psql, one of two killed",
        labels.collect(),
        &format!("backends = {backends:?}\n"),
        &checks.asking(SSL_REQUEST),
    );
    let Watched { timeline, proxy, .. } = &watched;
    let address = proxy.address();
    let name = "show cluster_name;";
    let session_on = |wanted: &str| {
        wait::for_some(&format!("a session on {wanted}"), || {
            let mut session = Session::open(address);
            (session.ask(name).unwrap() == wanted).then_some(session)
        })
    };
    let (mut stays, mut breaks) = (session_on("one"), session_on("two"));
    let names = || [(); 4].map(|()| ask(address, name, ""));

    let killed = timeline.note("two", "SIGQUIT");
    servers[1].kill();
    assert_eq!(names(), ["one\n"; 4]);
    timeline.reaches("two", "down", "connection refused", killed, checks.detection());
    assert_eq!(stays.ask(name).unwrap(), "one");
    assert_eq!(breaks.ask(name), None);

    let start = timeline.note("two", "start");
    servers[1].restart();
    let took = timeline.note("two", "ready") - start;
    timeline.reaches("two", "up", "", start, took + checks.recovery());
    assert!(names().contains(&"two\n".to_owned()));
}
