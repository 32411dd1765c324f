//! When a balancer last heard from the store of a session.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use equipoise_core::Instant;
use equipoise_sticky::SessionKey;

/// The most marks: 8 MiB of them.
const MOST: usize = 1 << 20;

/// Marks that say "heard of a moment ago": one of 8 bytes for each place, so their memory is fixed.
/// Two sessions may share a place, and then the later one has it; the other is only asked for
/// once more than needed. A session is told from another by 32 bits and its place.
pub(super) struct Fresh {
    /// 32 bits of the key, and milliseconds since the epoch, modulo 2³².
    marks: Box<[AtomicU64]>,
    trust_ms: u32,
}

impl Fresh {
    pub(super) fn new(sessions: usize, trust: Duration) -> Self {
        let places = sessions.clamp(1, MOST).next_power_of_two();
        let marks = (0..places).map(|_| AtomicU64::new(0)).collect();
        Self { marks, trust_ms: u32::try_from(trust.as_millis()).unwrap_or(u32::MAX) }
    }

    pub(super) fn mark(&self, key: &SessionKey, now: Instant) {
        let (place, tag) = self.place(key);
        if let Some(mark) = place {
            mark.store(tag | u64::from(millis(now)), Ordering::Relaxed);
        }
    }

    pub(super) fn clear(&self, key: &SessionKey) {
        if let (Some(mark), _) = self.place(key) {
            mark.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the store was heard within the trusted time.
    pub(super) fn is_marked(&self, key: &SessionKey, now: Instant) -> bool {
        self.heard(key).is_some_and(|heard| millis(now).wrapping_sub(heard) < self.trust_ms)
    }

    /// Whether the store was heard after this moment, as far as one remembers.
    pub(super) fn is_marked_since(&self, key: &SessionKey, moment: Instant) -> bool {
        self.heard(key).is_some_and(|heard| (heard.wrapping_sub(millis(moment)) as i32) > 0)
    }

    fn heard(&self, key: &SessionKey) -> Option<u32> {
        let (place, tag) = self.place(key);
        let mark = place?.load(Ordering::Relaxed);
        // 0 is no mark, and the one key of 2³² whose tag is 0 is asked for each time.
        (tag != 0 && mark >> 32 == tag >> 32).then_some(mark as u32)
    }

    fn place(&self, key: &SessionKey) -> (Option<&AtomicU64>, u64) {
        let number = u64::from_le_bytes(*key.as_bytes());
        let index = number as usize & (self.marks.len() - 1);
        (self.marks.get(index), number & !u64::from(u32::MAX))
    }
}

fn millis(now: Instant) -> u32 {
    (now.as_nanos() / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn key(low: u32, high: u32) -> SessionKey {
        SessionKey::from_bytes((u64::from(high) << 32 | u64::from(low)).to_le_bytes())
    }

    #[test]
    fn a_mark_lasts_as_long_as_it_is_trusted() {
        let fresh = Fresh::new(100, 1_000 * MS);
        let (marked, now) = (key(5, 6), Instant::ZERO + 70 * MS);
        assert!(!fresh.is_marked(&marked, now));
        fresh.mark(&marked, now);
        assert!(fresh.is_marked(&marked, now) && fresh.is_marked(&marked, now + 999 * MS));
        assert!(!fresh.is_marked(&marked, now + 1_000 * MS));
        assert!(!fresh.is_marked(&marked, Instant::ZERO), "a clock that ran backwards asks anew");
        assert!(!fresh.is_marked_since(&marked, now));
        assert!(fresh.is_marked_since(&marked, Instant::ZERO + 69 * MS));
        fresh.clear(&marked);
        assert!(!fresh.is_marked(&marked, now));
    }

    #[test]
    fn two_sessions_in_one_place_are_told_apart() {
        let fresh = Fresh::new(128, 1_000 * MS);
        let (first, second) = (key(1, 1), key(1 + 128, 2));
        fresh.mark(&first, Instant::ZERO);
        assert!(!fresh.is_marked(&second, Instant::ZERO));
        fresh.mark(&second, Instant::ZERO);
        assert!(fresh.is_marked(&second, Instant::ZERO));
        assert!(!fresh.is_marked(&first, Instant::ZERO));
    }

    #[test]
    fn without_trust_every_session_is_asked_for() {
        let fresh = Fresh::new(0, Duration::ZERO);
        fresh.mark(&key(1, 1), Instant::ZERO);
        assert!(!fresh.is_marked(&key(1, 1), Instant::ZERO));
    }
}
