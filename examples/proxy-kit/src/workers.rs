//! Threads that serve connections by themselves.

use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use crate::StartError;

/// How long connections that are cut have to be dropped.
const CUT: Duration = Duration::from_secs(1);

/// Threads with a runtime of one thread each. A connection stays with the worker that accepted it: it never
/// moves to another core, and waking it is no business of another thread. The price is that a worker with
/// much to do gets no help from one with little.
///
/// Dropped, they end, and what they serve is cut.
#[derive(Debug, Default)]
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    handle: Handle,
    /// Dropped, the thread ends.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// Starts so many.
    ///
    /// # Errors
    /// The system has no thread left, or none of what a runtime needs.
    pub fn start(count: usize) -> Result<Self, StartError> {
        let worker =
            |index| Worker::start(index).map_err(|error| StartError::new("workers", error));
        (0..count).map(worker).collect::<Result<_, _>>().map(Self)
    }

    /// How many sockets each address has: one for each worker, or one that all threads share.
    pub fn sockets(&self) -> usize {
        self.0.len().max(1)
    }

    pub(crate) fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.0.iter().map(|worker| &worker.handle)
    }
}

impl Worker {
    fn start(index: usize) -> std::io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            let _ = runtime.block_on(stopped);
            runtime.shutdown_timeout(CUT);
        };
        let thread = Builder::new().name(format!("worker-{index}")).spawn(run)?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // All at once, then one after the other.
        self.0.iter_mut().for_each(|worker| drop(worker.stop.take()));
        for worker in &mut self.0 {
            let _ = worker.thread.take().map(JoinHandle::join);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn each_is_a_thread_of_its_own_and_ends() {
        let workers = Workers::start(2).unwrap();
        let (tell, told) = mpsc::channel();
        for handle in workers.handles() {
            let tell = tell.clone();
            handle.spawn(async move {
                tell.send(std::thread::current().name().map(str::to_owned)).unwrap();
                std::future::pending::<()>().await;
            });
        }
        let mut names: Vec<_> = (0..2).map(|_| told.recv().unwrap().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["worker-0", "worker-1"]);
        drop((workers, tell));
        // What they served is gone too.
        assert!(told.recv().is_err());
    }
}
