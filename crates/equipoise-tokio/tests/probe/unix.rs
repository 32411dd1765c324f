//! The same questions over Unix sockets.

use std::env::temp_dir;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use equipoise_tokio::probe::{Answer, Grpc, Http, Probe, ProbeError, Script, Target, Tcp, Tls};
use equipoise_tokio::socket::UnixPath;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

use crate::grpc::{SERVING, answers};
use crate::support::{answer, ask, backend, drain, replies, words};
use crate::tls::Authority;

/// A Unix socket in front of a target; its file goes with it.
struct Door(PathBuf, Target);

impl Door {
    fn to(name: &str, target: &Target) -> Self {
        let path = temp_dir().join(format!("probe-{}-{name}.sock", std::process::id()));
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let to = target.address().ip().unwrap();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(to).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
            }
        });
        let target = Target::unix(UnixPath::new(&path).unwrap());
        Self(path, target)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn probes_of_all_kinds_pass() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(Arc::new(authority.server("localhost", 2000, 4000)));
    let over_tls = backend(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                drain(&mut stream).await;
            }
        }
    });
    let pongs = backend(|mut stream| async move {
        stream.read_exact(&mut [0; 6]).await.unwrap();
        stream.write_all(b"+PONG\r\n").await.unwrap();
    });
    let http = Http::get("/").build().unwrap();
    let script = Script::builder().send(b"PING\r\n").expect_prefix(b"+PONG").build().unwrap();
    let probes: [(&str, Box<dyn Probe>, Target); 5] = [
        ("tcp", Box::new(Tcp), replies("")),
        ("tls", Box::new(Tls::new(authority.client())), over_tls),
        ("http", Box::new(http), replies(answer(200, b"ok"))),
        ("script", Box::new(script), pongs),
        ("grpc", Box::new(Grpc::new("").unwrap()), answers(SERVING, Some("0"))),
    ];
    for (name, probe, target) in probes {
        let door = Door::to(name, &target);
        assert_eq!(probe.probe(&door.1).await, Ok(Answer::Pass), "{name}");
    }
}

#[tokio::test]
async fn the_host_is_localhost() {
    let (tell, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let target = backend(move |mut stream| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(crate::support::read_head(&mut stream).await);
            let _ = stream.write_all(&answer(200, b"")).await;
        }
    });
    let door = Door::to("host", &target);
    assert_eq!(ask(&Http::get("/").build().unwrap(), &door.1).await, Ok(Answer::Pass));
    let head = heads.recv().await.unwrap();
    assert!(head.contains("\r\nhost: localhost\r\n"), "{head}");
}

#[tokio::test]
async fn nobody_there_is_a_failure_in_words() {
    let path = temp_dir().join(format!("probe-{}-dead.sock", std::process::id()));
    let target = Target::unix(UnixPath::new(&path).unwrap());
    assert!(words(&Tcp, &target).await.contains("No such file"));
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(ask(&Tcp, &target).await, Err(ProbeError::Refused));
    let _ = fs::remove_file(&path);
}
