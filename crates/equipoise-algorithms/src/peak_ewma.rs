//! The one that will answer soonest.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use equipoise_core::{
    BackendId, Instant, LoadReport, Outcome, PickContext, Picker, Policy, Sample, Slot, Tracker,
    View,
};

use crate::lottery::Lottery;
use crate::retry::first_allowed;

/// Peak EWMA: of two backends, the one that should answer sooner: the smaller product of latency and
/// requests in flight per weight, this one included.
///
/// The latency is an exponentially weighted moving average over time that jumps to a peak at once
/// and forgets it slowly (Finagle's `peakEwma`, which linkerd made known). What Finagle, tower and
/// their users learned the hard way is built in:
///
/// * **A failure raises the score.** It doubles it, up to [`penalty`](Self::with_penalty): a backend
///   that fails fast does not look fast, and one stray error does not banish a backend.
/// * **Idle backends are forgiven**: the average decays while nothing is measured, down to the level
///   of whomever it is compared with; so nobody falls upon a backend that comes back.
/// * **Nobody starves**: one pick in 64 goes to whom the weights alone would pick.
/// * **A newcomer is taken to be as fast as its rival**, until its first answer: it is neither
///   flooded nor shunned.
///
/// It needs the time of each pick and each end ([`Instant`]).
///
/// # Complexity
/// A pick: O(1), two loads of each of two backends. An ended request: one compare-and-swap.
/// Building: O(n). Memory: about 90 bytes a backend.
///
/// In an explanation the score is the expected wait: nanoseconds of latency, times one more than the
/// requests in flight per weight. While nothing was measured, the latency counts as 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeakEwma {
    decay: Duration,
    penalty: Duration,
}

impl PeakEwma {
    /// The default decay: what a peak weighs after 10 s has fallen to 1/e, as in Finagle.
    pub const DEFAULT_DECAY: Duration = Duration::from_secs(10);
    /// The default penalty of repeated failures: 5 s, as in linkerd.
    pub const DEFAULT_PENALTY: Duration = Duration::from_secs(5);
    /// The shortest and the longest decay and penalty.
    pub const RANGE: core::ops::RangeInclusive<Duration> =
        Duration::from_millis(1)..=Duration::from_secs(3600);

    /// The time in which an old measurement's weight falls to 1/e.
    pub const fn decay(&self) -> Duration {
        self.decay
    }

    /// The latency that a backend which only fails is taken to have.
    pub const fn penalty(&self) -> Duration {
        self.penalty
    }

    /// Sets the time in which an old measurement's weight falls to 1/e; it is brought into
    /// [`RANGE`](Self::RANGE).
    pub fn with_decay(mut self, decay: Duration) -> Self {
        self.decay = decay.clamp(*Self::RANGE.start(), *Self::RANGE.end());
        self
    }

    /// Sets the latency that a backend which only fails is taken to have; it is brought into
    /// [`RANGE`](Self::RANGE).
    pub fn with_penalty(mut self, penalty: Duration) -> Self {
        self.penalty = penalty.clamp(*Self::RANGE.start(), *Self::RANGE.end());
        self
    }
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self { decay: Self::DEFAULT_DECAY, penalty: Self::DEFAULT_PENALTY }
    }
}

/// The picker of [`PeakEwma`].
#[derive(Debug)]
pub struct PeakEwmaPicker {
    lottery: Lottery,
    /// By index in the lottery.
    rivals: Box<[Rival]>,
    decay: Decay,
}

#[derive(Debug)]
struct Rival {
    load: equipoise_core::Load,
    latency: Arc<Latency>,
    weight: f32,
}

impl Policy for PeakEwma {
    type Picker = PeakEwmaPicker;

    fn track(&self, _: BackendId) -> Option<Arc<dyn Tracker>> {
        Some(Arc::new(Latency::new(*self)))
    }

    fn build(&self, view: &View<'_>, _: Option<&PeakEwmaPicker>) -> PeakEwmaPicker {
        let rivals = view.admitted().map(|(_, member, weight)| Rival {
            load: member.load.clone(),
            // A member that is not tracked stays unmeasured.
            latency: member.tracker().unwrap_or_else(|| Arc::new(Latency::new(*self))),
            weight: f32::from(weight.get()),
        });
        PeakEwmaPicker {
            rivals: rivals.collect(),
            lottery: Lottery::new(view),
            decay: Decay::new(self.decay),
        }
    }
}

/// One pick in so many is drawn by weight alone.
const EXPLORE: u64 = 64;

impl Picker for PeakEwmaPicker {
    #[inline(always)]
    fn pick(&self, context: &mut PickContext<'_>) -> Option<Slot> {
        let slots = self.lottery.slots();
        let random = context.rng.next_u64();
        // The lowest bits, which hardly decide who is drawn.
        let explore = random.is_multiple_of(EXPLORE);
        let (first, second) = if context.tried().is_empty() && slots.len() > 1 {
            self.lottery.draw_pair(random, context.rng)
        } else {
            self.draw_untried(context.reborrow())?
        };
        let now = Tick::of(context.now());
        let (a, b) = (&self.rivals[first], &self.rivals[second]);
        let (cost_a, cost_b) = costs(a.latency.at(now, self.decay), b.latency.at(now, self.decay));
        // Weight divides the load and not the latency: where all are idle and equally fast, the
        // first drawn stays, so that shares follow the weights.
        let score =
            |cost: f32, rival: &Rival| cost * (1.0 + rival.load.in_flight() as f32 / rival.weight);
        let (score_a, score_b) = (score(cost_a, a), score(cost_b, b));
        if context.is_explained() {
            let mut context = context.reborrow();
            context.consider(slots[first], f64::from(score_a));
            if second != first {
                context.consider(slots[second], f64::from(score_b));
            }
        }
        Some(slots[if score_b < score_a && !explore { second } else { first }])
    }
}

/// What two rivals cost, given each one's average as it was measured and as it has decayed.
///
/// One that was not measured counts as fast as the other. And decay forgives a slow backend, but
/// does not make a fast one of it: it decays to the other's level, or to its own if that is better.
/// Otherwise everybody would fall upon a backend that comes back from a long absence.
#[inline]
fn costs((raw_a, now_a): (f32, f32), (raw_b, now_b): (f32, f32)) -> (f32, f32) {
    if raw_a == 0.0 || raw_b == 0.0 {
        let known = if raw_a + raw_b == 0.0 { 1.0 } else { now_a + now_b };
        return (known, known);
    }
    (now_a.max(raw_a.min(now_b)), now_b.max(raw_b.min(now_a)))
}

impl PeakEwmaPicker {
    /// Two indices that were not tried; the same one twice, if no other was found.
    #[cold]
    #[inline(never)]
    fn draw_untried(&self, mut context: PickContext<'_>) -> Option<(usize, usize)> {
        let slots = self.lottery.slots();
        let mut draw =
            || first_allowed(&mut context, slots, |cx| self.lottery.draw_index(cx.rng.next_u64()));
        Some((draw()?, draw()?))
    }
}

/// A backend's average latency.
///
/// One word: the average in nanoseconds as an `f32` (0: nothing was measured), and when it was last
/// brought up to date, as a [`Tick`]. So it is read whole, and written by one compare-and-swap.
#[derive(Debug)]
struct Latency {
    word: AtomicU64,
    decay: Decay,
    penalty: f32,
}

impl Latency {
    fn new(settings: PeakEwma) -> Self {
        Self {
            word: AtomicU64::new(0),
            decay: Decay::new(settings.decay),
            penalty: settings.penalty.as_nanos() as f32,
        }
    }

    /// The average in nanoseconds, as it was measured last, and as it has decayed since. 0 if
    /// nothing was measured.
    #[inline]
    fn at(&self, now: Tick, decay: Decay) -> (f32, f32) {
        let (average, then) = unpack(self.word.load(Ordering::Relaxed));
        (average, average * decay.over(now.since(then)))
    }

    /// Moves the average by what `change` makes of it. `change` gets the average, 0 for none, and
    /// what the old average still weighs.
    fn change(&self, now: Instant, change: impl Fn(f32, f32) -> f32) {
        let now = Tick::of(now);
        // Relaxed: the word stands for itself. A reader may miss the last sample.
        let _ = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let (average, then) = unpack(word);
            let weight = self.decay.over(now.since(then));
            let changed = change(average, weight);
            // Within one tick nothing decays, so the tick's first sample stands for it; but a peak
            // counts at once. The clock does not run backwards, nor does the stamp.
            let stamp = if now.since(then).0 == 0 { then } else { now };
            let next = pack(changed.clamp(1.0, 1e15), stamp);
            (next != word).then_some(next)
        });
    }

    fn observe(&self, now: Instant, latency: f32) {
        self.change(now, |average, weight| {
            if average == 0.0 || latency > average {
                latency
            } else {
                average * weight + latency * (1.0 - weight)
            }
        });
    }
}

impl Tracker for Latency {
    fn counts_requests(&self) -> bool {
        false
    }

    fn on_sample(&self, sample: &Sample) {
        let latency = nanos(sample.latency);
        match sample.outcome {
            Outcome::Success => self.observe(sample.now, latency),
            Outcome::Failure(_) => self.change(sample.now, |average, weight| {
                let doubled = (average * weight * 2.0).max(self.penalty / 1024.0);
                doubled.min(self.penalty).max(average * weight).max(latency)
            }),
        }
    }

    fn on_report(&self, now: Instant, report: &LoadReport) {
        if let Some(latency) = report.latency {
            self.observe(now, latency.as_nanos() as f32);
        }
    }
}

/// Through `f32` halves: `as_nanos() as f32` calls a 128-bit conversion routine.
#[inline]
fn nanos(latency: Duration) -> f32 {
    latency.as_secs() as f32 * 1e9 + latency.subsec_nanos() as f32
}

#[inline]
fn unpack(word: u64) -> (f32, Tick) {
    (f32::from_bits((word >> 32) as u32), Tick(word as u32))
}

#[inline]
fn pack(average: f32, at: Tick) -> u64 {
    u64::from(average.to_bits()) << 32 | u64::from(at.0)
}

/// Time in units of 2¹⁸ ns (262 µs), modulo 2³² of them (13 days): a stamp this coarse fits beside
/// the average.
#[derive(Clone, Copy, Debug)]
struct Tick(u32);

impl Tick {
    const SHIFT: u32 = 18;

    #[inline]
    const fn of(now: Instant) -> Self {
        Self((now.as_nanos() >> Self::SHIFT) as u32)
    }

    /// How far ahead a stamp may lie: two threads read the clock and write in the other order, or a
    /// clock is set back. Four minutes; anything else is a long time past.
    const AHEAD: u32 = 1 << 20;

    /// Ticks since `then`; 0 if it lies ahead.
    #[inline]
    const fn since(self, then: Self) -> Self {
        let ticks = self.0.wrapping_sub(then.0);
        Self(if ticks > u32::MAX - Self::AHEAD { 0 } else { ticks })
    }
}

/// Exponential decay over ticks.
#[derive(Clone, Copy, Debug)]
struct Decay {
    /// log₂ e / (decay time in ticks).
    halvings_per_tick: f32,
}

impl Decay {
    fn new(time: Duration) -> Self {
        let ticks = time.as_nanos() as f32 / (1_u64 << Tick::SHIFT) as f32;
        Self { halvings_per_tick: core::f32::consts::LOG2_E / ticks }
    }

    /// What is left of a weight of 1 after so many ticks.
    #[inline]
    fn over(self, ticks: Tick) -> f32 {
        if ticks.0 == 0 {
            return 1.0;
        }
        exp2_neg(ticks.0 as f32 * self.halvings_per_tick)
    }
}

/// 2⁻ˣ for x ≥ 0, within 0.07 %; 0 from x = 126 on. `core` has no `exp2`.
#[inline]
fn exp2_neg(x: f32) -> f32 {
    if x >= 126.0 {
        return 0.0;
    }
    // By way of `i32`: one instruction, where `u32` takes several.
    let whole = x as i32 as u32;
    let part = x - whole as i32 as f32;
    // The cubic through 2⁻ˣ and its slope at 0 and 1.
    let (ln2, half) = (core::f32::consts::LN_2, 0.5);
    let (c2, c3) = (2.5 * ln2 - 1.5, 1.0 - 1.5 * ln2);
    let fraction = 1.0 + part * (-ln2 + part * (c2 + part * c3));
    debug_assert!((half..=1.0).contains(&fraction));
    fraction * f32::from_bits((127 - whole) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp2_is_close_enough() {
        for i in 0..4_000_u16 {
            let x = f32::from(i) / 100.0;
            let exact = libm_exp2(-x);
            let got = exp2_neg(x);
            assert!((got / exact - 1.0).abs() < 0.001, "2^-{x}: {got}, not {exact}");
        }
        assert_eq!(exp2_neg(1e9), 0.0);
    }

    fn libm_exp2(x: f32) -> f32 {
        extern crate std;
        f32::exp2(x)
    }

    fn sample(at_ms: u64, latency_ms: u64, outcome: Outcome) -> Sample {
        let (now, latency) =
            (Instant::from_nanos(at_ms * 1_000_000), Duration::from_millis(latency_ms));
        Sample { now, latency, outcome }
    }

    fn millis(latency: &Latency, at_ms: u64) -> f32 {
        latency.at(Tick::of(Instant::from_nanos(at_ms * 1_000_000)), latency.decay).1 / 1e6
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let latency = Latency::new(PeakEwma::default());
        latency.on_sample(&sample(0, 10, Outcome::Success));
        latency.on_sample(&sample(1, 500, Outcome::Success));
        assert!((millis(&latency, 1) - 500.0).abs() < 1.0);
        latency.on_sample(&sample(10_001, 10, Outcome::Success));
        // exp(-1) of the peak and the rest of the sample.
        let want = 500.0 * 0.3679 + 10.0 * 0.6321;
        assert!((millis(&latency, 10_001) / want - 1.0).abs() < 0.01);
        // And with no samples at all it decays to nothing.
        assert!(millis(&latency, 200_000) < 0.01);
    }

    #[test]
    fn failures_double_up_to_the_penalty_and_never_help() {
        let failure = Outcome::Failure(equipoise_core::Failure::Response(500));
        let latency = Latency::new(PeakEwma::default());
        latency.on_sample(&sample(0, 20, Outcome::Success));
        let mut before = millis(&latency, 0);
        for _ in 0..20 {
            latency.on_sample(&sample(0, 0, failure));
            let now = millis(&latency, 0);
            assert!(now >= before && now <= 5_000.1, "{before} -> {now}");
            before = now;
        }
        assert!((before - 5_000.0).abs() < 1.0, "{before}");
    }

    #[test]
    fn a_week_of_silence_is_a_long_time() {
        let latency = Latency::new(PeakEwma::default());
        latency.on_sample(&sample(1, 4_000, Outcome::Success));
        let week = 8 * 24 * 3_600_000;
        assert!(millis(&latency, week) < 0.01);
        latency.on_sample(&sample(week, 20, Outcome::Success));
        assert!((millis(&latency, week) - 20.0).abs() < 0.1);
    }

    #[test]
    fn decay_forgives_and_no_more() {
        // Slow once, silent for long: as good as the other, not better.
        assert_eq!(costs((5_000.0, 0.1), (50.0, 50.0)), (50.0, 50.0));
        // Not yet forgiven.
        assert_eq!(costs((5_000.0, 800.0), (50.0, 50.0)), (800.0, 50.0));
        // Fast before, and still taken to be.
        assert_eq!(costs((10.0, 1.0), (50.0, 50.0)), (10.0, 50.0));
        // Not measured.
        assert_eq!(costs((0.0, 0.0), (50.0, 40.0)), (40.0, 40.0));
        assert_eq!(costs((0.0, 0.0), (0.0, 0.0)), (1.0, 1.0));
    }

    #[test]
    fn a_clock_that_steps_back_changes_nothing_for_the_better() {
        let latency = Latency::new(PeakEwma::default());
        latency.on_sample(&sample(60_000, 100, Outcome::Success));
        latency.on_sample(&sample(0, 1, Outcome::Success));
        assert!((millis(&latency, 60_000) - 100.0).abs() < 1.0);
    }
}
