//! Handing a value to many readers, whole, without making them wait.

use std::ops::Deref;
use std::sync::Arc;

use crate::primitive::{AtomicU64, Ordering, Swap};

/// A value that one side replaces and many read.
#[derive(Debug)]
pub(crate) struct Published<T> {
    current: Swap<T>,
    /// Counts the publications, and moves only after `current` did: a reader that has seen the
    /// number finds at least that value.
    generation: AtomicU64,
}

impl<T> Published<T> {
    /// Publishes the first value.
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self { current: Swap::new(value), generation: AtomicU64::new(0) }
    }

    /// Replaces the value. Publishers must take turns among themselves.
    pub(crate) fn publish(&self, value: Arc<T>) {
        self.current.store(value);
        // Release: whoever acquires the number sees the store above.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The value now. Wait-free.
    pub(crate) fn load(&self) -> impl Deref<Target = Arc<T>> + '_ {
        #[cfg(equipoise_loom)]
        return Box::new(self.current.load());
        #[cfg(not(equipoise_loom))]
        self.current.load()
    }

    /// A reader's own copy of the value.
    pub(crate) fn cached(&self) -> Cached<T> {
        // In this order: the value is at least as new as the number, and if it is newer, the next
        // look at the number fetches it again, which is harmless.
        let generation = self.generation.load(Ordering::Acquire);
        Cached { value: self.current.load_full(), generation }
    }
}

/// One reader's copy of a [`Published`] value: looking at it again costs one load and a compare,
/// and touches no line that another reader writes.
#[derive(Debug)]
pub(crate) struct Cached<T> {
    value: Arc<T>,
    generation: u64,
}

impl<T> Cached<T> {
    /// The value now, or a moment ago; never an older one than the last call returned.
    #[inline]
    pub(crate) fn get(&mut self, published: &Published<T>) -> &Arc<T> {
        if published.generation.load(Ordering::Acquire) != self.generation {
            self.renew(published);
        }
        &self.value
    }

    #[cold]
    #[inline(never)]
    fn renew(&mut self, published: &Published<T>) {
        *self = published.cached();
    }
}
