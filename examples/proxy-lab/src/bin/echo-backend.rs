//! A backend that says who it is and then does as its client says, until it is told to reset its connections, or
//! killed: [`proxy_lab::echo`] starts it, and says what it understands.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use proxy_lab::echo::Pattern;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::Notify;

/// Room for one read, and one write.
const BUFFER: usize = 32 * 1024;
/// Connections that the system keeps while it hangs.
const BACKLOG: u32 = 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, name] = args.as_slice() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "ADDRESS NAME"));
    };
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let name: Arc<str> = format!("{name} {}", std::process::id()).into();
    let listener = listen(address)?;
    let datagrams = UdpSocket::bind(address).await?;
    let reset = Arc::new(Notify::new());
    obey(Arc::clone(&reset));
    println!("listening on {address}");
    tokio::spawn(answer(datagrams, Arc::clone(&name)));
    loop {
        let (mut stream, _) = listener.accept().await?;
        let (name, reset) = (Arc::clone(&name), Arc::clone(&reset));
        tokio::spawn(async move {
            tokio::select! {
                // What is wrong is the client's business.
                _ = serve(&mut stream, &name) => {}
                () = reset.notified() => {
                    let _ = stream.set_zero_linger();
                }
            }
        });
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // It comes back to where it was.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Does as the lines of the standard input say, and ends with them.
fn obey(reset: Arc<Notify>) {
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if line == "reset" {
                reset.notify_waiters();
                println!("reset");
                let _ = io::stdout().flush();
            }
        }
        std::process::exit(0);
    });
}

/// Answers each datagram with its name and what came.
async fn answer(socket: UdpSocket, name: Arc<str>) {
    let mut buffer = vec![0; 65_536];
    loop {
        if let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let answer = [name.as_bytes(), b"\n", &buffer[..length]].concat();
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

async fn serve(stream: &mut TcpStream, name: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(BUFFER, stream);
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    let mut line = String::new();
    // A client may send anything; a line is short.
    (&mut stream).take(64).read_line(&mut line).await?;
    let words: Vec<_> = line.split_whitespace().collect();
    match words.as_slice() {
        ["echo"] => echo(&mut stream).await?,
        ["make", seed, length] => make(&mut stream, number(seed)?, number(length)?).await?,
        ["take", seed] => take(&mut stream, number(seed)?).await?,
        _ => return Ok(()),
    }
    stream.shutdown().await?;
    // The client's end, so that nothing of its is left unread, which would be a reset.
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(io::Error::other)
}

/// Gives back what comes.
async fn echo(stream: &mut BufReader<&mut TcpStream>) -> io::Result<()> {
    loop {
        let came = stream.fill_buf().await?.to_vec();
        if came.is_empty() {
            return Ok(());
        }
        stream.consume(came.len());
        stream.write_all(&came).await?;
    }
}

/// Sends so many bytes of a pattern.
async fn make(stream: &mut BufReader<&mut TcpStream>, seed: u64, length: u64) -> io::Result<()> {
    let (mut pattern, mut left, mut buffer) = (Pattern::new(seed), length, vec![0; BUFFER]);
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        pattern.fill(&mut buffer[..part]);
        stream.write_all(&buffer[..part]).await?;
        left -= part as u64;
    }
    Ok(())
}

/// Reads a pattern to the client's end, and says how much of it was right.
async fn take(stream: &mut BufReader<&mut TcpStream>, seed: u64) -> io::Result<()> {
    let (mut pattern, mut right) = (Pattern::new(seed), true);
    loop {
        let came = stream.fill_buf().await?;
        let length = came.len();
        if length == 0 {
            break;
        }
        right &= pattern.matches(came);
        stream.consume(length);
    }
    let word = if right { "right" } else { "wrong" };
    stream.write_all(format!("{word} {}\n", pattern.length()).as_bytes()).await
}
