//! A session's times in 48 bits, and the arithmetic on them.

use core::time::Duration;

use equipoise_core::Instant;

use super::TableConfig;

/// How times become ticks: two shifts, worked out once, since a lookup has no time to divide.
///
/// Ticks wrap around. An age is the difference of two of them, and what would be older than half of
/// the range is of the future: a clock was set back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    /// A tick is 2 to this power nanoseconds; `idle` is 2,048 to 4,095 of them.
    shift: u32,
    idle: u32,
    /// The same for births; `lifetime` is 8,192 to 16,384 of those ticks.
    birth_shift: u32,
    /// The largest age if there is no lifetime, so that no age is over it.
    lifetime: u16,
    /// Refreshes are reported when a tick's number over 2 to this power changes.
    report_shift: Option<u32>,
}

/// A point in time in both ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    tick: u32,
    birth: u16,
}

/// When a session was last used, when it was bound, and the place of its backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp(u64);

/// Births that are so many ticks old or more are of the future.
const FUTURE: u16 = 3 << 14;

impl Ticks {
    pub(crate) fn new(config: &TableConfig) -> Self {
        let (shift, idle) = in_ticks(config.idle(), 11);
        let (birth_shift, lifetime) = match config.lifetime() {
            Some(lifetime) => in_ticks(lifetime, 13),
            None => (0, u16::MAX.into()),
        };
        let report_shift = config.refreshes().then_some(8);
        Self { shift, idle, birth_shift, lifetime: lifetime as u16, report_shift }
    }

    #[inline]
    pub(crate) fn at(&self, now: Instant) -> Moment {
        let nanos = now.as_nanos();
        Moment { tick: (nanos >> self.shift) as u32, birth: (nanos >> self.birth_shift) as u16 }
    }

    #[inline]
    pub(crate) fn is_live(&self, stamp: Stamp, at: Moment) -> bool {
        let age = at.birth.wrapping_sub(stamp.birth());
        stamp.idle_ticks(at) <= self.idle as i32 && (age <= self.lifetime || age >= FUTURE)
    }

    /// When the session is used: what its stamp becomes, if it changes.
    ///
    /// A session of the near future keeps its time, for another thread had a later reading of the
    /// clock. One of the far future gets the time that is: the clock was set back, and it would live
    /// until that time comes again.
    #[inline]
    pub(crate) fn refreshed(&self, stamp: Stamp, at: Moment) -> Option<Stamp> {
        let idle = stamp.idle_ticks(at);
        (idle > 0 || self.is_far_ahead(stamp, at)).then(|| stamp.used_at(at))
    }

    #[inline]
    pub(crate) fn is_far_ahead(&self, stamp: Stamp, at: Moment) -> bool {
        stamp.idle_ticks(at) < -(self.idle as i32)
    }

    /// Whether a refresh from one stamp to another is to be told.
    #[inline]
    pub(crate) fn reports(&self, from: Stamp, to: Stamp) -> bool {
        self.report_shift.is_some_and(|shift| (from.used() ^ to.used()) >> shift != 0)
    }

    /// For how long the session has not been used.
    pub(crate) fn idle(&self, stamp: Stamp, at: Moment) -> Duration {
        let ticks = u64::try_from(stamp.idle_ticks(at)).unwrap_or(0);
        Duration::from_nanos(ticks << self.shift)
    }

    /// How long ago it was bound; `None` if it has no lifetime.
    pub(crate) fn age(&self, stamp: Stamp, at: Moment) -> Option<Duration> {
        let age = at.birth.wrapping_sub(stamp.birth());
        let age = if age >= FUTURE { 0 } else { u64::from(age) };
        (self.lifetime != u16::MAX).then(|| Duration::from_nanos(age << self.birth_shift))
    }

    /// The stamp of a session that has been idle for a time and was bound another time ago, with the
    /// place 0; `None` if it has expired.
    pub(crate) fn stamp(&self, now: Instant, idle: Duration, age: Duration) -> Option<Stamp> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let idle =
            u32::try_from(nanos(idle) >> self.shift).ok().filter(|&idle| idle <= self.idle)?;
        let age = u16::try_from(nanos(age) >> self.birth_shift);
        let age = if self.lifetime == u16::MAX {
            0
        } else {
            age.ok().filter(|&age| age <= self.lifetime)?
        };
        let Moment { tick, birth } = self.at(now);
        Some(Stamp::new(
            0,
            Moment { tick: tick.wrapping_sub(idle), birth: birth.wrapping_sub(age) },
        ))
    }

    /// The length of a tick.
    pub(crate) const fn resolution(&self) -> Duration {
        Duration::from_nanos(1 << self.shift)
    }
}

/// The shift that makes a time 2^bits to 2^(bits + 1) ticks, if it has as many nanoseconds, and those
/// ticks rounded up.
fn in_ticks(time: Duration, bits: u32) -> (u32, u32) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let shift = nanos.checked_ilog2().unwrap_or(0).saturating_sub(bits);
    (shift, nanos.div_ceil(1 << shift) as u32)
}

impl Stamp {
    pub(crate) const fn new(place: u16, at: Moment) -> Self {
        Self((at.tick as u64) << 32 | (at.birth as u64) << 16 | place as u64)
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn place(self) -> u16 {
        self.0 as u16
    }

    pub(crate) const fn at_place(self, place: u16) -> Self {
        Self(self.0 & !0xffff | place as u64)
    }

    const fn used(self) -> u32 {
        (self.0 >> 32) as u32
    }

    const fn birth(self) -> u16 {
        (self.0 >> 16) as u16
    }

    pub(crate) const fn used_at(self, at: Moment) -> Self {
        Self(self.0 & 0xffff_ffff | (at.tick as u64) << 32)
    }

    /// Ticks since it was used, negative if that is in the future.
    pub(crate) const fn idle_ticks(self, at: Moment) -> i32 {
        at.tick.wrapping_sub(self.used()) as i32
    }
}
