//! A store that is slow to answer.

use std::sync::Arc;
use std::time::Duration;

use equipoise_core::BackendId;
use equipoise_sticky::{SessionKey, TableConfig};
use equipoise_tokio::sessions::{
    Held, KeepTimes, SessionStore, SharedConfig, SharedSessions, StoreError, StoreReplies,
    StoreReply, StoreRequest, Verb,
};
use parking_lot::Mutex;

use crate::support::Timeline;

#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Option<BackendId>>>);

impl SessionStore for Slow {
    async fn exchange(&self, _: KeepTimes, requests: &[StoreRequest]) -> StoreReplies {
        let mut replies = vec![];
        for request in requests {
            match request.verb {
                Verb::Bind { backend, .. } => {
                    let held = *self.0.lock().get_or_insert(backend);
                    // Done at once; the answer takes its time.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    replies.push(Ok(StoreReply {
                        held: Some(Held { backend: held, age: Duration::ZERO }),
                        ..StoreReply::default()
                    }));
                }
                Verb::Move { .. } => {
                    replies.push(Err(StoreError::Refused { reason: "OOM".into() }));
                }
                _ => {
                    let held = self.0.lock().map(|backend| Held { backend, age: Duration::ZERO });
                    replies.push(Ok(StoreReply { held, ..StoreReply::default() }));
                }
            }
        }
        Ok(replies)
    }

    fn reset(&self) {}
}

#[tokio::test]
async fn a_late_answer_does_not_undo_what_is_queued() {
    let timeline = Timeline::start("late");
    let now = || timeline.now();
    let config = SharedConfig::builder().time_limit(Duration::from_secs(5)).build().unwrap();
    let (table, store) = (TableConfig::default(), Slow::default());
    let sessions = SharedSessions::new(&table, store, config, 1, timeline.clone(), |_| {});
    assert!(sessions.reach().await);
    let (key, a, b) =
        (SessionKey::from_bytes([9; 8]), BackendId::named("a"), BackendId::named("b"));
    let first = tokio::spawn({
        let (sessions, now) = (sessions.clone(), now());
        async move { sessions.bind(&key, a, now).await }
    });
    while sessions.lookup(&key, now()).await != Some(a) {
        tokio::task::yield_now().await;
    }
    // Another request finds that backend out of service, and the store takes no writes.
    assert_eq!(sessions.rebind(&key, a, b, now()).await, b);
    first.await.unwrap();
    assert_eq!(sessions.lookup(&key, now()).await, Some(b));
}
