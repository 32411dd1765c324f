//! Redis: a server, connected to for each question, so that an answer tells of the server that is there now.

use std::net::{Ipv4Addr, SocketAddr};

use hyper::body::Bytes;
use parking_lot::Mutex;
use proxy_kit::backend::Address;
use tokio::net::TcpSocket;

use super::Question;
use crate::down::Down;
use crate::resp::{Client, Value, unexpected};

/// All keys begin so: the server may have others.
const ORDERS: &str = "demo-backend:orders";
const CHECK: &str = "demo-backend:check";

/// A server.
#[derive(Debug)]
pub(super) struct Redis {
    address: Address,
    /// While the server is taken away: a port that is bound, so that nobody else can listen on it, and on
    /// which we do not listen either. Connections to it are refused, as by a server that has died.
    closed: Mutex<Option<TcpSocket>>,
}

impl Redis {
    pub(super) fn new(address: Address) -> Self {
        Self { address, closed: Mutex::new(None) }
    }

    pub(super) async fn ask(&self, question: Question) -> Result<u64, Down> {
        let mut client = self.connect().await?;
        let value = match question {
            Question::Orders => client.call(&[b"GET", ORDERS.as_bytes()]).await?,
            Question::OrdersOf { id } => client.call(&[b"LLEN", list(&id).as_bytes()]).await?,
            Question::Append { id, by, body } => return append(&mut client, &id, &by, &body).await,
            Question::Check { name } => return check(&mut client, &name).await,
        };
        number(&value)
    }

    /// From now on, connections go to a closed port.
    pub(super) fn take_away(&self) -> Result<(), Down> {
        let mut closed = self.closed.lock();
        if closed.is_none() {
            let socket = TcpSocket::new_v4().map_err(Down::new)?;
            socket.bind((Ipv4Addr::LOCALHOST, 0).into()).map_err(Down::new)?;
            *closed = Some(socket);
        }
        Ok(())
    }

    pub(super) fn bring_back(&self) {
        *self.closed.lock() = None;
    }

    async fn connect(&self) -> Result<Client, Down> {
        let closed: Option<SocketAddr> = self
            .closed
            .lock()
            .as_ref()
            .map(TcpSocket::local_addr)
            .transpose()
            .map_err(Down::new)?;
        match closed {
            Some(address) => Client::connect(address).await,
            None => Client::connect(self.address.as_str()).await,
        }
    }
}

/// The key of the list of the orders with this id.
fn list(id: &str) -> String {
    format!("{ORDERS}:{id}")
}

/// The order and the count of orders, both or neither.
async fn append(client: &mut Client, id: &str, by: &str, body: &Bytes) -> Result<u64, Down> {
    let order = [by.as_bytes(), b"\n", body].concat();
    client.call(&[b"MULTI"]).await?;
    client.call(&[b"RPUSH", list(id).as_bytes(), &order]).await?;
    client.call(&[b"INCR", ORDERS.as_bytes()]).await?;
    match client.call(&[b"EXEC"]).await? {
        Value::Array(values) => values.last().map_or_else(|| unexpected(&values), number),
        other => unexpected(&other),
    }
}

/// A write, and a read that must give what was written. A server that is out of memory, that can't save, or that
/// is a read-only replica answers PING all the same.
async fn check(client: &mut Client, name: &str) -> Result<u64, Down> {
    match client.call(&[b"PING"]).await? {
        Value::Simple(text) if text == "PONG" => {}
        other => return unexpected(&other),
    }
    let key = format!("{CHECK}:{name}");
    client.call(&[b"SET", key.as_bytes(), name.as_bytes()]).await?;
    match client.call(&[b"GET", key.as_bytes()]).await? {
        Value::Bulk(Some(bytes)) if bytes == name.as_bytes() => Ok(1),
        other => unexpected(&other),
    }
}

/// A missing counter is zero.
fn number(value: &Value) -> Result<u64, Down> {
    let number = match value {
        Value::Bulk(None) => Some(0),
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Bulk(Some(bytes)) => str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()),
        Value::Simple(_) | Value::Array(_) => None,
    };
    number.map_or_else(|| unexpected(value), Ok)
}
