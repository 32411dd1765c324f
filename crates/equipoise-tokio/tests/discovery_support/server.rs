//! A name server that answers as the test says.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, NS, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// What becomes of a question.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Records(Vec<Record>),
    /// The records over TCP; over UDP, word that they do not fit.
    TooBig(Vec<Record>),
    Code(ResponseCode),
    /// Ask somebody else.
    Referral,
    Garbage,
    Silence,
}

type Zone = HashMap<(String, RecordType), Reply>;

/// It lives on loopback, over UDP and TCP. What the zone does not have is NODATA.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            // The same port may be taken for TCP.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let (zone, asked) = (Arc::<Mutex<Zone>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let mut tasks = JoinSet::new();
        let answer = {
            let (zone, asked) = (zone.clone(), asked.clone());
            move |question: &[u8], is_udp| answer(&zone, &asked, question, is_udp)
        };
        let over_tcp = answer.clone();
        tasks.spawn(async move {
            let mut buffer = [0; 4_096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                if let Some(bytes) = answer(&buffer[..length], true) {
                    udp.send_to(&bytes, from).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let answer = over_tcp.clone();
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut question = vec![0; length.into()];
                        stream.read_exact(&mut question).await.unwrap();
                        let Some(bytes) = answer(&question, false) else { continue };
                        stream.write_u16(bytes.len() as u16).await.unwrap();
                        stream.write_all(&bytes).await.unwrap();
                    }
                });
            }
        });
        Self { address, zone, asked, _tasks: tasks }
    }

    pub(crate) fn set(&self, name: &str, kind: RecordType, reply: Reply) {
        self.zone.lock().insert((name.to_string(), kind), reply);
    }

    /// Sets the A records of a name.
    pub(crate) fn set_v4(&self, of: &str, ttl: u32, last: &[u8]) {
        let records = last.iter().map(|n| v4(of, ttl, *n)).collect();
        self.set(of, RecordType::A, Reply::Records(records));
    }

    /// How often a question was asked.
    pub(crate) fn asked(&self, name: &str, kind: RecordType) -> usize {
        self.asked.lock().iter().filter(|(n, k)| n == name && *k == kind).count()
    }
}

fn answer(
    zone: &Mutex<Zone>,
    asked: &Mutex<Vec<(String, RecordType)>>,
    question: &[u8],
    is_udp: bool,
) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let key = (query.name().to_lowercase().to_string(), query.query_type());
    asked.lock().push(key.clone());
    let reply = zone.lock().get(&key).cloned().unwrap_or(Reply::Records(vec![]));
    let mut message = Message::response(question.id, OpCode::Query);
    message.metadata.authoritative = true;
    message.add_query(query);
    match reply {
        Reply::Records(records) => drop(message.add_answers(records)),
        Reply::TooBig(_) if is_udp => message.metadata.truncation = true,
        Reply::TooBig(records) => drop(message.add_answers(records)),
        Reply::Code(code) => message.metadata.response_code = code,
        Reply::Referral => {
            let other = RData::NS(NS(name("ns.test.")));
            message.add_authority(Record::from_rdata(name("test."), 300, other));
        }
        Reply::Garbage => return Some(vec![0xff; 50]),
        Reply::Silence => return None,
    }
    Some(message.to_vec().unwrap())
}

pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// An A record with the address 10.0.0.`last`.
pub(crate) fn v4(of: &str, ttl: u32, last: u8) -> Record {
    Record::from_rdata(name(of), ttl, RData::A(A(Ipv4Addr::new(10, 0, 0, last))))
}

/// An AAAA record with the address fd00::`last`.
pub(crate) fn v6(of: &str, ttl: u32, last: u16) -> Record {
    let address = [0xfd00, 0, 0, 0, 0, 0, 0, last].into();
    Record::from_rdata(name(of), ttl, RData::AAAA(AAAA(address)))
}

pub(crate) fn cname(of: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(of), ttl, RData::CNAME(CNAME(name(target))))
}

/// Priority, weight, port, target.
pub(crate) fn srv(
    of: &str,
    ttl: u32,
    (priority, weight, port, target): (u16, u16, u16, &str),
) -> Record {
    let data = SRV::new(priority, weight, port, name(target));
    Record::from_rdata(name(of), ttl, RData::SRV(data))
}
