//! One connection: two directions, its limits, and who may break it off.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::direction::{Direction, Fault, Phase};
use super::end::{Bytes, End};
use super::limits::{Limits, Watch};
use super::pipe::Pipes;
use super::stream::Wire;

#[derive(Debug)]
pub(super) struct Session<'a> {
    client: Wire<'a>,
    backend: Wire<'a>,
    to_backend: Direction<'a>,
    to_client: Direction<'a>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        client: Wire<'a>,
        first: Vec<u8>,
        backend: Wire<'a>,
        pipes: &'a Arc<Pipes>,
        bytes: &'a Bytes,
    ) -> Self {
        Self {
            client,
            backend,
            to_backend: Direction::new(first, pipes, &bytes.from_client),
            to_client: Direction::new(Vec::new(), pipes, &bytes.from_backend),
        }
    }

    /// By reference, as what a future is called with has room in it for as long as it runs.
    pub(super) async fn run(
        &mut self,
        limits: &Limits,
        mut taken_out: Pin<&mut impl Future<Output = ()>>,
    ) -> End {
        // Both wait for an error on a side that is not being read from, where nobody else sees it.
        let mut client_broken = pin!(self.client.broken());
        let mut backend_broken = pin!(self.backend.broken());
        let mut watch = Watch::new(*limits);
        poll_fn(|cx| {
            if taken_out.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::TakenOut);
            }
            if let Some(end) = self.poll_bytes(cx, watch.as_mut()) {
                return Poll::Ready(end);
            }
            if is_unread(&self.to_backend) && poll(client_broken.as_mut(), cx) {
                return Poll::Ready(End::BrokenByClient);
            }
            if is_unread(&self.to_client) && poll(backend_broken.as_mut(), cx) {
                return Poll::Ready(End::BrokenByBackend);
            }
            watch.as_mut().map_or(Poll::Pending, |watch| watch.poll(cx))
        })
        .await
    }

    /// Passes on what there is in both directions. Some if that ends the connection.
    fn poll_bytes(&mut self, cx: &mut Context<'_>, watch: Option<&mut Watch>) -> Option<End> {
        let Self { client, backend, to_backend, to_client } = self;
        let (mut up, mut down) = (0, 0);
        let is_last = to_client.phase() == Phase::Ended;
        let forth = match to_backend.poll(cx, client, backend, is_last, &mut up) {
            Poll::Ready(Err(Fault::From)) => return Some(End::BrokenByClient),
            Poll::Ready(Err(Fault::To)) => return Some(End::BrokenByBackend),
            polled => polled.is_ready(),
        };
        let back = match to_client.poll(cx, backend, client, forth, &mut down) {
            Poll::Ready(Err(Fault::From)) => return Some(End::BrokenByBackend),
            Poll::Ready(Err(Fault::To)) => return Some(End::BrokenByClient),
            polled => polled.is_ready(),
        };
        if forth && back {
            return Some(End::Closed);
        }
        if let Some(watch) = watch {
            if up + down > 0 {
                watch.note_bytes();
            }
            if forth || back {
                watch.note_half_closed();
            }
        }
        None
    }
}

fn is_unread(direction: &Direction<'_>) -> bool {
    direction.phase() != Phase::Reading
}

fn poll(future: Pin<&mut impl Future<Output = ()>>, cx: &mut Context<'_>) -> bool {
    future.poll(cx).is_ready()
}
