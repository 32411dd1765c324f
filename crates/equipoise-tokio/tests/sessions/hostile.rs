//! Something that is no Redis.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Balancer, MARGIN, MS, Timeline, backend, config, store, timed};

/// What it does on each connection, for as long as anybody listens.
#[derive(Clone, Copy, Debug)]
enum Does {
    Closes,
    SaysNothing,
    Answers(&'static [u8]),
    /// A bulk string that has no end.
    NeverEnds,
    /// It shakes hands as Redis does, and then says this to each request.
    ShakesHands(&'static [u8]),
}

async fn serve(mut connection: TcpStream, does: Does) -> std::io::Result<()> {
    let mut buffer = [0; 4_096];
    match does {
        Does::Closes => {}
        Does::SaysNothing => while connection.read(&mut buffer).await? > 0 {},
        Does::Answers(answer) => {
            while connection.read(&mut buffer).await? > 0 {
                connection.write_all(answer).await?;
            }
        }
        Does::NeverEnds => {
            connection.write_all(b"$536870912\r\n").await?;
            loop {
                connection.write_all(&buffer).await?;
                tokio::time::sleep(MS).await;
            }
        }
        Does::ShakesHands(answer) => {
            while let read @ 1.. = connection.read(&mut buffer).await? {
                let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                for _ in 0..text.matches("CLIENT").count() {
                    connection.write_all(b"+OK\r\n").await?;
                }
                if text.contains("SCRIPT") {
                    let digest = "0123456789abcdef".repeat(3);
                    let answer = format!("$40\r\n{}\r\n", &digest[..40]);
                    connection.write_all(answer.as_bytes()).await?;
                }
                for _ in 0..text.matches("EVALSHA").count() {
                    connection.write_all(answer).await?;
                }
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_from_a_server_is_a_store_that_is_down_and_never_a_panic() {
    let all = [
        Does::Closes,
        Does::SaysNothing,
        Does::NeverEnds,
        Does::Answers(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        Does::Answers(b"\0\xff\xfe\r\n"),
        Does::Answers(b"*1000000000\r\n"),
        Does::Answers(b"$-2\r\n"),
        Does::Answers(b":99999999999999999999\r\n"),
        Does::Answers(b"-ERR \x1b[31mred\r\n"),
        Does::ShakesHands(b"$-1\r\n"),
        Does::ShakesHands(b"+OK\r\n"),
        Does::ShakesHands(b"*0\r\n"),
        Does::ShakesHands(b"*4\r\n$3\r\nabc\r\n:0\r\n$1\r\n1\r\n:0\r\n"),
        Does::ShakesHands(b"*4\r\n$16\r\n0123456789abcdeg\r\n:0\r\n$1\r\n1\r\n:0\r\n"),
        Does::ShakesHands(b"*4\r\n$16\r\n0123456789abcdef\r\n:-1\r\n$1\r\n1\r\n:0\r\n"),
        Does::ShakesHands(b"*4\r\n$16\r\n0123456789abcdef\r\n:0\r\n$1\r\n1\r\n:7\r\n"),
        Does::ShakesHands(b"*5\r\n$0\r\n\r\n:0\r\n$0\r\n\r\n:0\r\n:0\r\n"),
        Does::ShakesHands(b"*1\r\n*1\r\n*1\r\n*1\r\n"),
        Does::ShakesHands(b"-NOPERM this user has no permissions to run 'evalsha'\r\n"),
    ];
    for does in all {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, does));
            }
        });
        let timeline = Timeline::start("no Redis");
        timeline.say(format!("{does:?}"));
        let quick = config().batch_limit(100 * MS);
        let one = Balancer::start("one", &timeline, store(&format!("redis://{address}/")), quick);
        crate::support::until("the notice", || one.last().is_some()).await;
        let words = one.last().unwrap().to_string();
        assert!(words.starts_with("the session store is down: "), "{does:?}: {words}");
        assert!(!words.contains('\u{1b}'), "{words:?}");
        for session in 0..10 {
            let (pinned, time) = timed(one.pin(session, 1)).await;
            assert_eq!(pinned, backend(1));
            assert_eq!(one.find(session).await, Some(backend(1)));
            assert!(time < 50 * MS + MARGIN, "{does:?}: {time:?}");
        }
        assert_eq!(one.counters().queued, 10);
        server.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_turns_hostile_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    const NOBODY: &[u8] = b"*4\r\n$0\r\n\r\n:0\r\n$1\r\n1\r\n:0\r\n";
    let turned = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let server = tokio::spawn({
        let turned = std::sync::Arc::clone(&turned);
        async move {
            while let Ok((connection, _)) = listener.accept().await {
                let does = if turned.load(std::sync::atomic::Ordering::Relaxed) {
                    Does::NeverEnds
                } else {
                    Does::ShakesHands(NOBODY)
                };
                tokio::spawn(serve(connection, does));
            }
        }
    });
    let timeline = Timeline::start("turns hostile");
    let one = Balancer::start("one", &timeline, store(&format!("redis://{address}/")), config());
    one.until_up().await;
    assert_eq!(one.find(1).await, None);
    // A bind after which nobody has the session, as no Redis would answer.
    assert_eq!(one.pin(1, 1).await, backend(1));
    turned.store(true, std::sync::atomic::Ordering::Relaxed);
    server.abort();
    let _ = server.await;
    let start = tokio::time::Instant::now();
    for session in 100..200 {
        one.find(session).await;
        assert_eq!(one.pin(session, 1).await, backend(1));
    }
    timeline.say(format!("100 lookups and binds took {:?}", start.elapsed()));
    assert!(start.elapsed() < Duration::from_secs(20));
}
