//! The concurrency primitives, from `core` and `arc-swap`, or from loom when it models them.

#[cfg(not(equipoise_loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(equipoise_loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(not(equipoise_loom))]
pub(crate) use arc_swap::ArcSwap as Swap;

/// What `arc-swap` promises, for loom: an `Arc` that is replaced and read whole.
#[cfg(equipoise_loom)]
#[derive(Debug)]
pub(crate) struct Swap<T>(loom::sync::Mutex<std::sync::Arc<T>>);

#[cfg(equipoise_loom)]
impl<T> Swap<T> {
    pub(crate) fn new(value: std::sync::Arc<T>) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn store(&self, value: std::sync::Arc<T>) {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = value;
    }

    pub(crate) fn load_full(&self) -> std::sync::Arc<T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    pub(crate) fn load(&self) -> std::sync::Arc<T> {
        self.load_full()
    }
}
