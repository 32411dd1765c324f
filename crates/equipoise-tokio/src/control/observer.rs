//! Who is told what happens.

use std::fmt;
use std::sync::Arc;

use equipoise_core::BackendId;
use equipoise_health::monitor::Notice;
use equipoise_pool::Event;

/// Is told what a [`Controller`](super::Controller) does: to log it, to count it, to close connections.
/// It is called from whichever thread did it, and should not take long. It may call the controller back.
/// What two threads did at the same time may be told in either order.
pub trait Observer<B: 'static>: Send + Sync + 'static {
    /// Something has happened that an operator may want to know. `backend` is the name and the value
    /// of the one that it is about; `words` say it, without the name.
    fn on_notice(&self, backend: Option<(&str, &B)>, notice: &Notice, words: &str) {
        let _ = (backend, notice, words);
    }

    /// The pool has changed.
    fn on_event(&self, name: Option<&str>, event: &Event) {
        let _ = (name, event);
    }

    /// A backend has left, or may take nothing any more: connections to it are of no use.
    fn on_close(&self, name: &str, backend: &B, event: &Event) {
        let _ = (name, backend, event);
    }

    /// Discovery has failed, or what it said was refused. The set of backends stays as it was.
    fn on_discovery(&self, error: &dyn fmt::Display) {
        let _ = error;
    }
}

/// Nobody is told.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl<B: 'static> Observer<B> for Silent {}

/// What is to be told, when no lock is held.
pub(super) enum Told<B> {
    Notice { backend: Option<(Arc<str>, B)>, notice: Notice, words: String },
    Event { backend: Option<(Arc<str>, B)>, event: Event },
}

impl<B: 'static> Told<B> {
    pub(super) fn tell(&self, observer: &dyn Observer<B>) {
        match self {
            Self::Notice { backend, notice, words } => {
                let backend = backend.as_ref().map(|(name, backend)| (&**name, backend));
                observer.on_notice(backend, notice, words);
            }
            Self::Event { backend, event } => {
                observer.on_event(backend.as_ref().map(|(name, _)| &**name), event);
                if let (Some(_), Some((name, backend))) = (event.closes(), backend) {
                    observer.on_close(name, backend, event);
                }
            }
        }
    }
}

/// Whom an event is about.
pub(super) const fn subject(event: &Event) -> Option<BackendId> {
    match *event {
        Event::Added { id, .. }
        | Event::Removed { id, .. }
        | Event::WeightChanged { id, .. }
        | Event::LimitChanged { id, .. }
        | Event::Moved { id, .. }
        | Event::AdmissionChanged { id, .. } => Some(id),
        _ => None,
    }
}
