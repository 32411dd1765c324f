//! Clients that go on asking, and remember what they got.
#![allow(clippy::disallowed_methods, reason = "a test measures real time")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::client::Connection;
use crate::wait;

/// What a client thinks between two requests, so that the load is the proxy's and not the machine's.
const PAUSE: Duration = Duration::from_millis(3);

/// A request, and what became of it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its number, from 0.
    pub number: usize,
    /// When it was sent.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// The status of the answer; 0 if there was none.
    pub status: u16,
    /// The body, or the error.
    pub text: String,
}

impl Sample {
    /// Whether it was answered by this demo backend.
    pub fn is_of(&self, name: &str) -> bool {
        self.text.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'))
    }
}

/// Clients that ask one request after the other, each over a connection that it keeps open.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Clients that GET `/`.
    pub fn gets(address: SocketAddr, clients: usize) -> Self {
        Self::new(address, clients, |_| "GET / HTTP/1.1\r\nHost: lab\r\n\r\n".to_owned())
    }

    /// Clients that send what `request` makes of a number.
    pub fn new(
        address: SocketAddr,
        clients: usize,
        request: impl Fn(usize) -> String + Send + Sync + 'static,
    ) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let samples = Arc::<Mutex<Vec<Sample>>>::default();
        let (next, request) = (Arc::<AtomicUsize>::default(), Arc::new(request));
        let client = |_| {
            let (stop, samples) = (Arc::clone(&stop), Arc::clone(&samples));
            let (next, request) = (Arc::clone(&next), Arc::clone(&request));
            thread::spawn(move || {
                let mut kept = None;
                while !stop.load(Relaxed) {
                    let number = next.fetch_add(1, Relaxed);
                    let at = Instant::now();
                    let mut connection = kept.take().unwrap_or_else(|| Connection::open(address));
                    let (status, text) = match connection.try_request(request(number)) {
                        Ok(reply) => (reply.status, reply.text()),
                        Err(error) => (0, error.to_string()),
                    };
                    let took = at.elapsed();
                    samples.lock().push(Sample { number, at, took, status, text });
                    if status != 0 {
                        kept = Some(connection);
                    }
                    wait::pause(PAUSE);
                }
            })
        };
        let threads = (0..clients).map(client).collect();
        let load = Self { stop, samples, threads };
        load.more(4 * clients);
        load
    }

    /// Waits until so many more requests have been answered.
    pub fn more(&self, count: usize) {
        let wanted = self.samples.lock().len() + count;
        wait::until("answers", || self.samples.lock().len() >= wanted);
    }

    /// What became of the requests so far.
    pub fn samples(&self) -> Vec<Sample> {
        self.samples.lock().clone()
    }

    /// Waits until this demo backend has answered a request that was sent at or after `since`, and says when
    /// that was.
    pub fn answered_by(&self, name: &str, since: Instant) -> Duration {
        wait::for_some(&format!("an answer of {name}"), || {
            let samples = self.samples.lock();
            let found = samples.iter().find(|sample| sample.at >= since && sample.is_of(name));
            found.map(|sample| sample.at + sample.took - since)
        })
    }

    /// Waits for the requests under way and ends.
    ///
    /// # Panics
    /// If a client has.
    pub fn end(mut self) -> Vec<Sample> {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client does not panic");
        }
        let samples = std::mem::take(&mut *self.samples.lock());
        println!("{} requests: {:?}", samples.len(), statuses(&samples));
        samples
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// How many had which status.
pub fn statuses(samples: &[Sample]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for sample in samples {
        *counts.entry(sample.status).or_insert(0) += 1;
    }
    counts
}

/// The one that took longest.
pub fn slowest(samples: &[Sample]) -> Duration {
    samples.iter().map(|sample| sample.took).max().unwrap_or_default()
}

/// Expects that all were answered with 200.
///
/// # Panics
/// With those that were not.
pub fn assert_no_errors(samples: &[Sample]) {
    let errors: Vec<_> = samples.iter().filter(|sample| sample.status != 200).collect();
    assert!(errors.is_empty(), "{} of {}: {errors:?}", errors.len(), samples.len());
}
