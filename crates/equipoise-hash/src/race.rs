//! The race that rendezvous hashing runs for each key: every node draws an exponential time over
//! its weight, and the first one wins.

use alloc::boxed::Box;

use wide::{CmpGt, i16x8, u16x8};

use crate::exponential::exponential;
use crate::mix::{draw, fold};
use crate::node::Live;

/// Nodes that race for keys, by id: of equals the first wins.
#[derive(Clone, Debug)]
pub(crate) struct Race {
    lanes: Box<[Lanes]>,
    members: Box<[Live]>,
    seeds: Box<[u64]>,
    /// The weight that paces refer to.
    reference: u16,
}

/// Eight nodes side by side, on one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Lanes {
    /// The low and the high half of a node's seed.
    low: u16x8,
    high: u16x8,
    /// 2¹⁵ · reference / weight, rounded down; at most [`PACE`].
    pace: u16x8,
}

const LANES: usize = 8;

/// The largest pace.
const PACE: u16 = (1 << 15) - 1;

/// How many lanes are looked at before the winner among them is determined.
const HEAT: usize = 16;

/// When a node comes in: its exponential variate over its weight, in units of 2⁻⁵⁸.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Time(u64);

impl Time {
    /// Earlier and later than any other.
    pub(crate) const ZERO: Self = Self(0);
    const NEVER: Self = Self(u64::MAX);

    fn new(draw: u32, weight: u16) -> Self {
        // An exponential is less than 2⁴⁵.
        Self((exponential(draw) << 18) / u64::from(weight))
    }
}

/// Who came in, and when: the earlier, and of equals the first by id, is less.
pub(crate) type Arrival = (Time, usize);

/// The high half of what a node draws for a key. Two multiplications, of which SSE2 does eight at a
/// time.
///
/// The product of two uniform numbers is uniform when folded, but for an excess around some values:
/// zero above all, for the product is zero when either factor is. The constant moves what wins,
/// small draws, to a place where the distribution is flat: of all constants the one with which no
/// initial interval of 2ᵏ draws is off by more than 0.15 %.
#[inline(always)]
const fn coarse(low: u16, high: u16, key: u64) -> u16 {
    let (a, b) = (low ^ key as u16, high ^ (key >> 16) as u16);
    a.wrapping_mul(b) ^ ((a as u32 * b as u32) >> 16) as u16 ^ FLAT
}

const FLAT: u16 = 0x038c;

/// What a node draws for a key: 32 bits, uniform, and independent of other nodes' draws.
#[inline(always)]
const fn fine(seed: u64, key: u64) -> u32 {
    let high = coarse(seed as u16, (seed >> 16) as u16, key) as u32;
    (high << 16) | (fold(seed ^ 0xa076_1d64_78bd_642f, key) >> 48) as u32
}

impl Lanes {
    fn new(nodes: &[Live], reference: u16) -> Self {
        let (mut low, mut high, mut paces) = ([0; LANES], [0; LANES], [PACE; LANES]);
        for (i, node) in nodes.iter().enumerate() {
            let seed = seed(node.id);
            (low[i], high[i]) = (seed as u16, (seed >> 16) as u16);
            paces[i] = pace(reference, node.weight);
        }
        Self { low: low.into(), high: high.into(), pace: paces.into() }
    }

    /// A little less than the nodes' times, in units of 2⁻¹⁵ over the reference weight, so at most
    /// 2¹⁵ - 1, which is the same signed: SSE2 has only signed minima and comparisons.
    #[inline(always)]
    fn early(&self, key: u64) -> i16x8 {
        let a = self.low ^ u16x8::splat(key as u16);
        let b = self.high ^ u16x8::splat((key >> 16) as u16);
        let coarse = (a * b) ^ a.mul_keep_high(b) ^ u16x8::splat(FLAT);
        bytemuck::cast(coarse.mul_keep_high(self.pace))
    }
}

fn pace(reference: u16, weight: u16) -> u16 {
    ((u32::from(reference) << 15) / u32::from(weight)).min(PACE.into()) as u16
}

/// A node's seed in all its races.
const fn seed(id: u64) -> u64 {
    draw(id, 1)
}

/// When the node of this id and weight comes in.
pub(crate) fn time(id: u64, weight: u16, key: u64) -> Time {
    Time::new(fine(seed(id), key), weight)
}

impl Race {
    /// A race of these nodes, which must be sorted by id.
    pub(crate) fn new(nodes: &[Live]) -> Self {
        let weights = || nodes.iter().map(|node| node.weight);
        let (lightest, heaviest) = (weights().min().unwrap_or(1), weights().max().unwrap_or(1));
        // The heaviest win mostly, so their paces need the digits. Lighter ones than a sixteenth
        // are taken for that at first.
        let reference = lightest.max(heaviest / 16);
        Self {
            lanes: nodes.chunks(LANES).map(|nodes| Lanes::new(nodes, reference)).collect(),
            members: nodes.into(),
            seeds: nodes.iter().map(|node| seed(node.id)).collect(),
            reference,
        }
    }

    /// Who takes part, by id.
    pub(crate) fn members(&self) -> &[Live] {
        &self.members
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The index of the winner in the caller's list.
    #[inline]
    pub(crate) fn winner(&self, key: u64) -> Option<usize> {
        self.first(key).map(|(_, at)| self.members[at].index as usize)
    }

    /// Who comes in first, and when.
    ///
    /// An exponential time is a little more than its uniform draw, and the winner's is little: so
    /// the high halves of the draws over the weights, in 16 bits and eight at a time, tell who may be
    /// first, and only these few (one, mostly) are compared exactly. The rounding can't show in the
    /// result.
    #[inline]
    pub(crate) fn first(&self, key: u64) -> Option<Arrival> {
        let mut first = (Time::NEVER, usize::MAX);
        let mut times = [i16x8::ZERO; HEAT];
        for (heat, lanes) in self.lanes.chunks(HEAT).enumerate() {
            let times = &mut times[..lanes.len()];
            let mut earliest = i16x8::splat(i16::MAX);
            for (time, lanes) in times.iter_mut().zip(lanes) {
                *time = lanes.early(key);
                earliest = earliest.min(*time);
            }
            let earliest = least(earliest.to_array());
            if earliest > self.bound(first.0) {
                continue;
            }
            // Whoever could be before the earliest is hardly later, so one pass is enough, mostly.
            let near = earliest.saturating_add(earliest / 16 + 2);
            self.compare(heat, times, near, key, &mut first);
            let bound = self.bound(first.0);
            if bound > near {
                self.compare(heat, times, bound, key, &mut first);
            }
        }
        (first.0 != Time::NEVER).then_some(first)
    }

    /// Compares the nodes of a heat that are not later than `bound` with the first one so far.
    #[inline(always)]
    fn compare(&self, heat: usize, times: &[i16x8], bound: i16, key: u64, first: &mut Arrival) {
        let bound = i16x8::splat(bound);
        for (i, time) in times.iter().enumerate() {
            let mut early = time.cmp_gt(bound).move_mask() as u32 ^ 0xff;
            while early != 0 {
                let at = (heat * HEAT + i) * LANES + early.trailing_zeros() as usize;
                early &= early - 1;
                // There may be no node in this lane.
                let Some(time) = self.time(at, key) else { break };
                *first = (*first).min((time, at));
            }
        }
    }

    /// A time in units of 2⁻¹⁵ over the reference weight, rounded up: whoever is later than that by
    /// its draw alone is later than the time.
    #[inline]
    fn bound(&self, time: Time) -> i16 {
        let bound = (((time.0 >> 20) + 1) * u64::from(self.reference)) >> 23;
        i16::try_from(bound).unwrap_or(i16::MAX)
    }

    /// When a node comes in; `None` if there is no such node.
    #[inline]
    fn time(&self, at: usize, key: u64) -> Option<Time> {
        let (seed, node) = (*self.seeds.get(at)?, self.members.get(at)?);
        Some(Time::new(fine(seed, key), node.weight))
    }

    /// Whether one node comes in before another.
    #[inline(never)]
    fn is_before(&self, key: u64, one: usize, other: usize) -> bool {
        (self.time(one, key), one) < (self.time(other, key), other)
    }

    fn arrivals(&self, key: u64) -> impl Iterator<Item = Arrival> + '_ {
        let members = self.members.iter().zip(&self.seeds).enumerate();
        members.map(move |(at, (node, &seed))| (Time::new(fine(seed, key), node.weight), at))
    }

    /// The index of the first one to come in, in the caller's list, of those `allowed`.
    pub(crate) fn winner_where(&self, key: u64, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        let (mut first, mut bound) = (None, i16::MAX);
        for (at, (node, &seed)) in self.members.iter().zip(&self.seeds).enumerate() {
            let pace = self.lanes[at / LANES].pace.as_array_ref()[at % LANES];
            let coarse = coarse(seed as u16, (seed >> 16) as u16, key);
            let early = ((u32::from(coarse) * u32::from(pace)) >> 16) as i16;
            // Most are later than the first so far, and need no closer look.
            if early <= bound && allowed(node.index as usize) {
                let arrival = (Time::new(fine(seed, key), node.weight), at);
                if first.is_none_or(|first| arrival < first) {
                    (first, bound) = (Some(arrival), self.bound(arrival.0));
                }
            }
        }
        first.map(|(_, at)| self.members[at].index as usize)
    }

    /// Who comes in next after an arrival; first, if there was none.
    pub(crate) fn next_after(&self, key: u64, last: Option<Arrival>) -> Option<Arrival> {
        match last {
            None => self.first(key),
            Some(last) => self.arrivals(key).filter(|&arrival| arrival > last).min(),
        }
    }
}

/// A node that joins a race whose winners are known.
#[derive(Debug)]
pub(crate) struct Newcomer {
    /// Its place among all.
    place: usize,
    seed: u64,
    pace: u16,
    /// No winner was later, in units of [`Race::bound`].
    bound: i16,
}

impl Newcomer {
    /// The newcomer at this place in the race of `all`; no winner so far was later than `slowest`.
    pub(crate) fn new(place: usize, all: &Race, slowest: Time) -> Self {
        let pace = pace(all.reference, all.members[place].weight);
        Self { place, seed: all.seeds[place], pace, bound: all.bound(slowest) }
    }

    /// Whether it is before the winner so far. Mostly it is later than any winner, so a
    /// multiplication or two tell.
    #[inline(always)]
    pub(crate) fn beats(&self, key: u64, all: &Race, winner: impl Fn() -> usize) -> bool {
        let coarse = coarse(self.seed as u16, (self.seed >> 16) as u16, key);
        let early = (u32::from(coarse) * u32::from(self.pace)) >> 16;
        early as i16 <= self.bound && all.is_before(key, self.place, winner())
    }
}

#[inline(always)]
fn least(times: [i16; LANES]) -> i16 {
    let [a, b, c, d, e, f, g, h] = times;
    a.min(b).min(c.min(d)).min(e.min(f).min(g.min(h)))
}
