//! Whom the real nginx, HAProxy and Envoy chose, key for key. `golden/README.md` says how the vectors
//! are made and read; `cargo test -p equipoise-hash --test golden -- --nocapture` prints how many
//! keys agree.

use std::net::IpAddr;

use equipoise_hash::compat::{Server, Servers, envoy, haproxy, nginx};
use equipoise_hash::{BackendId, ConsistentHash, HashKey, Node, Weight};

/// One pool in one mode, and what the real server answered.
#[derive(Default)]
struct Case {
    mode: String,
    shape: String,
    param: String,
    names: Vec<String>,
    weights: Vec<u16>,
    down: Vec<usize>,
    rule: String,
    count: u64,
    /// How many answers there are for each key: in what order the server went on.
    picks: usize,
    answers: Vec<usize>,
}

// --- The file ---

/// The versions that were asked, and the cases.
fn parse(text: &str) -> (Vec<&str>, Vec<Case>) {
    let (mut versions, mut cases, mut packed) = (Vec::new(), Vec::new(), String::new());
    let mut case = Case::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (field, value) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = value.split_whitespace();
        match field {
            "server" => versions.push(value),
            "case" => {
                case = Case::default();
                let mut next = || words.next().unwrap_or_default().to_owned();
                (case.mode, case.shape, case.param) = (next(), next(), next());
                packed.clear();
            }
            "config" | "only" => {}
            "names" => case.names = words.map(str::to_owned).collect(),
            "weights" => case.weights = words.map(|word| word.parse().unwrap()).collect(),
            "down" => case.down = words.map(|word| word.parse().unwrap()).collect(),
            "keys" => {
                case.rule = words.next().unwrap().to_owned();
                case.count = words.next().unwrap().parse().unwrap();
            }
            "picks" => case.picks = value.parse().unwrap(),
            "end" => {
                let count = case.count as usize * case.picks;
                case.answers = unpack(&packed, case.names.len(), count);
                cases.push(std::mem::take(&mut case));
            }
            _ => packed.push_str(line),
        }
    }
    (versions, cases)
}

/// Groups of six base-64 digits, the lowest first: a number whose digits to the base n, the lowest
/// first, are as many answers as fit.
fn unpack(packed: &str, n: usize, count: usize) -> Vec<usize> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = packed.as_bytes().chunks(6);
    let numbers = group.map(|chars| {
        let digit = |&char: &u8| DIGITS.find(char as char).expect("a digit");
        chars.iter().rev().fold(0, |number, char| number << 6 | digit(char))
    });
    let each =
        (1_u32..).take_while(|&k| n.checked_pow(k).is_some_and(|all| all <= 1 << 36)).count();
    let answers = numbers.flat_map(|mut number| {
        (0..each).map(move |_| {
            let answer = number % n;
            number /= n;
            answer
        })
    });
    let answers: Vec<usize> = answers.take(count).collect();
    assert_eq!(answers.len(), count, "the vectors are whole");
    answers
}

// --- The keys: common.py makes the same ones ---

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn text_key(i: u64) -> Vec<u8> {
    let mut state = i;
    let r = splitmix(&mut state);
    match i % 8 {
        0 => i.to_string().into(),
        1 => format!("user-{i}").into(),
        2 => format!("/path/{}/index.html?id={i}&q=a%20b%2C", i * i).into(),
        3 => format!("ключ-{i}-日本語").into(),
        4 => format!("{i:x}.").repeat((i % 97 + 20) as usize).into(),
        5 => {
            let allowed = (0x21..=0xff_u8).filter(|byte| ![b',', 0x7f].contains(byte));
            let allowed: Vec<u8> = allowed.collect();
            let mut state = r;
            let byte = |_| allowed[(splitmix(&mut state) % allowed.len() as u64) as usize];
            (0..=r % 40).map(byte).collect()
        }
        6 => format!("10.{}.{}.{}", r & 255, r >> 8 & 255, r >> 16 & 255).into(),
        _ => format!("{r:016x}").into(),
    }
}

fn path_key(i: u64) -> Vec<u8> {
    let mut path = b"/".to_vec();
    for byte in text_key(i) {
        if byte.is_ascii_alphanumeric() || b"-._~/?=".contains(&byte) {
            path.push(byte);
        } else {
            path.extend(format!("%{byte:02X}").bytes());
        }
    }
    path
}

fn address_key(i: u64) -> IpAddr {
    let mut state = i;
    let r = splitmix(&mut state);
    if i.is_multiple_of(2) {
        IpAddr::V4(((r >> 32) as u32).into())
    } else {
        IpAddr::V6((u128::from(r) << 64 | u128::from(splitmix(&mut state))).into())
    }
}

impl Case {
    fn bytes(&self, i: u64) -> Vec<u8> {
        match self.rule.as_str() {
            "text" => text_key(i),
            "path" => path_key(i),
            "address" => address_key(i).to_string().into(),
            other => panic!("no such rule: {other}"),
        }
    }

    fn servers(&self) -> Servers {
        Servers::named(self.names.iter().map(String::as_str)).unwrap()
    }

    fn weights(&self) -> impl Iterator<Item = Weight> {
        self.weights.iter().copied().map(Weight::new)
    }

    // --- Whom our tables choose ---

    /// The number of keys on which the table agrees; it says of the first that does not what happened.
    fn agree(&self, table: &impl ConsistentHash, key: impl Fn(u64) -> HashKey) -> u64 {
        let mut agree = 0;
        for (i, want) in (0..self.count).zip(self.answers.chunks(self.picks)) {
            let key = key(i);
            let up = |node: usize| !self.down.contains(&node);
            let got: Vec<usize> = if self.picks > 1 {
                table.candidates(key).take(self.picks).collect()
            } else if self.down.is_empty() {
                table.lookup(key).into_iter().collect()
            } else {
                table.lookup_where(key, up).into_iter().collect()
            };
            agree += u64::from(got == want);
            if got != want && agree == i {
                let bytes = self.bytes(i);
                let bytes = bytes.escape_ascii();
                println!(
                    "{} {}: key {i} \"{bytes}\": {got:?} is not {want:?}",
                    self.mode, self.shape
                );
            }
        }
        agree
    }

    fn nginx(&self) -> u64 {
        let servers = self.servers();
        let nodes = servers.nodes(self.weights());
        match self.mode.as_str() {
            "hash-consistent" => {
                let table = nginx::Consistent::new(&servers, &nodes).unwrap();
                self.agree(&table, |i| nginx::Consistent::key(&text_key(i)).unwrap())
            }
            "hash" => {
                let table = nginx::PlainHash::new(&servers, &nodes).unwrap();
                self.agree(&table, |i| nginx::PlainHash::key(&text_key(i)).unwrap())
            }
            "ip-hash" => {
                let table = nginx::IpHash::new(&servers, &nodes).unwrap();
                self.agree(&table, |i| nginx::IpHash::key(address_key(i)))
            }
            other => panic!("no such mode: {other}"),
        }
    }

    fn haproxy(&self) -> u64 {
        let server = |(i, number): (usize, &String)| {
            let server = Server::new("").id(BackendId::new(i as u64));
            if number == "-" { server } else { server.number(number.parse().unwrap()) }
        };
        let servers = Servers::new(self.names.iter().enumerate().map(server)).unwrap();
        let nodes = servers.nodes(self.weights());
        let table = haproxy::Consistent::new(&servers, &nodes).unwrap();
        let mut hashing = haproxy::Hashing { avalanche: false, ..Default::default() };
        for word in self.param.split('-') {
            match word {
                "avalanche" => hashing.avalanche = true,
                "sdbm" => hashing.function = haproxy::Function::Sdbm,
                "djb2" => hashing.function = haproxy::Function::Djb2,
                "wt6" => hashing.function = haproxy::Function::Wt6,
                "crc32" => hashing.function = haproxy::Function::Crc32,
                other => assert_eq!(other, "", "such a word is not known"),
            }
        }
        self.agree(&table, |i| match self.rule.as_str() {
            "address" => hashing.source(address_key(i)),
            _ => hashing.key(&self.bytes(i)),
        })
    }

    fn envoy(&self) -> u64 {
        let servers = self.servers();
        let mut nodes = servers.nodes(self.weights());
        // Envoy makes a table without them.
        for &down in &self.down {
            nodes[down].weight = Weight::ZERO;
        }
        let key = |i| envoy::key(&self.bytes(i));
        match self.mode.as_str() {
            "ring-hash" => {
                let table = envoy::RingHash::new(&servers, &nodes, self.ring()).unwrap();
                self.agree(&table, key)
            }
            "maglev" => {
                let size = self.param.parse().unwrap();
                self.agree(&envoy::Maglev::new(&servers, &nodes, size).unwrap(), key)
            }
            other => panic!("no such mode: {other}"),
        }
    }

    /// As in `xx-100-150`: the function, the minimum, and the maximum if there is one.
    fn ring(&self) -> envoy::RingSettings {
        let mut words = self.param.split('-');
        let mut settings = envoy::RingSettings::default();
        if words.next() == Some("murmur2") {
            settings.function = envoy::RingFunction::MurmurHash2;
        }
        settings.minimum = words.next().unwrap().parse().unwrap();
        settings.maximum = words.next().map_or(settings.maximum, |word| word.parse().unwrap());
        settings
    }
}

// --- The tests ---

/// Every key of the file agrees; prints how many, by mode and shape.
fn check(text: &str, agree: impl Fn(&Case) -> u64) {
    let (versions, cases) = parse(text);
    println!("{}", versions.join(", "));
    let (mut all, mut agreeing) = (0, 0);
    for case in &cases {
        let got = agree(case);
        let Case { mode, shape, param, count, .. } = case;
        println!("  {mode:16} {param:15} {shape:18} {got:6} of {count} keys agree");
        (all, agreeing) = (all + count, agreeing + got);
    }
    println!("  {agreeing} of {all} keys agree in {} cases", cases.len());
    assert!(all >= 100_000, "only {all} keys");
    assert_eq!(agreeing, all);
}

#[test]
fn nginx_agrees() {
    check(include_str!("../golden/nginx.txt"), Case::nginx);
}

#[test]
fn haproxy_agrees() {
    check(include_str!("../golden/haproxy.txt"), Case::haproxy);
}

#[test]
fn envoy_agrees() {
    check(include_str!("../golden/envoy.txt"), Case::envoy);
}

/// An update gives the same table as starting anew, wherever the nodes stand in the list.
#[test]
fn an_update_is_a_new_table() {
    fn same<T: ConsistentHash>(servers: &Servers, make: impl Fn(&[Node]) -> T) {
        let all = servers.nodes([3, 1, 4, 1, 5].map(Weight::new));
        let (some, turned) = ([all[4], all[1], all[2]], [all[2], all[4], all[1]]);
        let (updated, new) = (make(&all).update(&some).unwrap(), make(&turned));
        for i in 0..5_000_u64 {
            let key = HashKey::new(i << 32 | u64::from((i as u32).wrapping_mul(0x9e37_79b9)));
            let id = |table: &T| table.lookup(key).map(|node| table.nodes()[node].id);
            assert!(id(&updated).is_some());
            assert_eq!(id(&updated), id(&new), "key {i}");
        }
    }
    let servers = Servers::named(["a:1", "b:2", "c:3", "d:4", "e:5"]).unwrap();
    same(&servers, |nodes| nginx::Consistent::new(&servers, nodes).unwrap());
    same(&servers, |nodes| nginx::PlainHash::new(&servers, nodes).unwrap());
    same(&servers, |nodes| nginx::IpHash::new(&servers, nodes).unwrap());
    same(&servers, |nodes| haproxy::Consistent::new(&servers, nodes).unwrap());
    let ring = envoy::RingSettings::default();
    same(&servers, |nodes| envoy::RingHash::new(&servers, nodes, ring).unwrap());
    same(&servers, |nodes| envoy::Maglev::new(&servers, nodes, 1009).unwrap());
}
