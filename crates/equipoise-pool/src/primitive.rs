//! The concurrency primitives, from `core` and `arc-swap`, or from loom when it models them.

#[cfg(not(equipoise_loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
#[cfg(equipoise_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

#[cfg(not(equipoise_loom))]
pub(crate) use arc_swap::ArcSwap as Swap;
#[cfg(not(equipoise_loom))]
pub(crate) use parking_lot::Mutex;

/// What `arc-swap` promises, for loom, and no more: an `Arc` that is replaced and read whole. A lock
/// around it would order more than that, and hide what the callers have to order themselves.
#[cfg(equipoise_loom)]
#[derive(Debug)]
pub(crate) struct Swap<T> {
    current: loom::sync::atomic::AtomicUsize,
    /// Every value there ever was. Not a loom type, so it orders nothing.
    values: parking_lot::Mutex<Vec<std::sync::Arc<T>>>,
}

#[cfg(equipoise_loom)]
impl<T> Swap<T> {
    pub(crate) fn new(value: std::sync::Arc<T>) -> Self {
        let current = loom::sync::atomic::AtomicUsize::new(0);
        Self { current, values: parking_lot::Mutex::new(vec![value]) }
    }

    pub(crate) fn store(&self, value: std::sync::Arc<T>) {
        let mut values = self.values.lock();
        values.push(value);
        let newest = values.len() - 1;
        drop(values);
        self.current.store(newest, Ordering::Release);
    }

    pub(crate) fn load_full(&self) -> std::sync::Arc<T> {
        let current = self.current.load(Ordering::Acquire);
        self.values.lock()[current].clone()
    }

    pub(crate) fn load(&self) -> std::sync::Arc<T> {
        self.load_full()
    }
}

/// A lock that loom sees, so that it also stops between it and what came before.
#[cfg(equipoise_loom)]
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

#[cfg(equipoise_loom)]
impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
