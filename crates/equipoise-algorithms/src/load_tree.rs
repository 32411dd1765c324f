//! The smallest load of many, kept up to date by whoever changes one.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use once_cell::race::OnceBox;

/// Children of a node: two cache lines of words.
const FANOUT: usize = 16;
/// Seats in a segment: three levels of nodes.
const SEGMENT: usize = FANOUT * FANOUT * FANOUT;
const SEGMENTS: usize = 16;

/// A load: a rank, a weight, and the requests in flight. They are ordered by rank, then by requests
/// in flight per weight.
///
/// In one word, so that requests are counted by adding 1: 8 bits of rank, 16 of weight, 40 of count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word(u64);

impl Word {
    const COUNT: u32 = 40;
    /// Nobody: behind everybody else.
    pub(crate) const NOBODY: Self = Self((u8::MAX as u64) << 56);

    const fn header(rank: u8, weight: u16) -> u64 {
        (rank as u64) << 56 | (weight as u64) << Self::COUNT
    }

    pub(crate) const fn rank(self) -> u8 {
        (self.0 >> 56) as u8
    }

    const fn weight(self) -> u64 {
        self.0 >> Self::COUNT & u16::MAX as u64
    }

    const fn count(self) -> u64 {
        self.0 & ((1 << Self::COUNT) - 1)
    }

    /// Whether this is strictly ahead of `other`.
    #[inline]
    pub(crate) const fn is_before(self, other: Self) -> bool {
        if self.rank() != other.rank() {
            return self.rank() < other.rank();
        }
        self.count() * other.weight() < other.count() * self.weight()
    }

    /// Requests in flight per weight.
    pub(crate) fn load(self) -> f64 {
        self.count() as f64 / self.weight().max(1) as f64
    }
}

/// A tournament among up to 65,536 seats: each node holds the best word among its 16 children, so
/// the best of all is found in a few steps, and a change of one seat is passed up only as far as it
/// matters, which is mostly nowhere.
///
/// # Concurrency
/// Whoever changes a seat then settles the nodes above it: looks at a node, at its children, and
/// swaps the node's word if it isn't the best of them. A swap may be out of date as it lands; so
/// after each one the children are compared again, and **whoever changed a node last has checked it
/// last**. A settler that finds its swap refused may leave: the node was changed after it wrote its
/// seat, so whoever did that sees the seat when checking. (The idea of helping a node along is that
/// of Jayanti's f-arrays, PODC 2002.) Hence, once all is quiet, every node is right; while things
/// move, a word may be behind by the changes under way, as any count read by another thread is.
///
/// `SeqCst`, since each settler writes one place and then reads another that others write: under a
/// weaker order two of them could each miss the other's write.
#[derive(Debug)]
pub(crate) struct LoadTree {
    segments: [OnceBox<Segment>; SEGMENTS],
}

#[derive(Debug)]
struct Segment {
    /// From the seats up: 4096, 256, 16 and 1 words.
    levels: [Box<[AtomicU64]>; 4],
    /// Which seats are somebody's, a bit each.
    taken: Box<[AtomicU64]>,
}

impl LoadTree {
    pub(crate) fn new() -> Self {
        Self { segments: [const { OnceBox::new() }; SEGMENTS] }
    }

    /// Gives out a seat; `None` if all are taken.
    pub(crate) fn take_seat(&self) -> Option<u32> {
        for (s, segment) in self.segments.iter().enumerate() {
            let segment = segment.get_or_init(|| Box::new(Segment::new()));
            for (w, word) in segment.taken.iter().enumerate() {
                let taken = word.fetch_update(SeqCst, SeqCst, |bits| {
                    (bits != u64::MAX).then(|| bits | (bits + 1))
                });
                if let Ok(bits) = taken {
                    return Some((s * SEGMENT + w * 64) as u32 + bits.trailing_ones());
                }
            }
        }
        None
    }

    /// Takes a seat back. Its count must be 0.
    pub(crate) fn give_back(&self, seat: u32) {
        self.exclude(seat);
        let (segment, index) = self.locate(seat);
        segment.taken[index / 64].fetch_and(!(1 << (index % 64)), SeqCst);
    }

    /// Lets a seat take part, with this rank and weight. Only one thread at a time may set seats.
    pub(crate) fn admit(&self, seat: u32, rank: u8, weight: u16) {
        self.set_header(seat, Word::header(rank, weight));
    }

    /// Keeps a seat from being the best.
    pub(crate) fn exclude(&self, seat: u32) {
        self.set_header(seat, Word::NOBODY.0);
    }

    fn set_header(&self, seat: u32, header: u64) {
        let (segment, index) = self.locate(seat);
        let leaf = &segment.levels[0][index];
        let old = leaf.load(SeqCst) & !((1 << Word::COUNT) - 1);
        if old != header {
            // The count below may move meanwhile; adding the difference leaves it alone.
            leaf.fetch_add(header.wrapping_sub(old), SeqCst);
            segment.settle(index);
        }
    }

    /// One more request in flight.
    #[inline]
    pub(crate) fn begin(&self, seat: u32) {
        let (segment, index) = self.locate(seat);
        let before = Word(segment.levels[0][index].fetch_add(1, SeqCst));
        // Who wasn't the best and got worse changes nothing above.
        if !segment.parent(0, index).is_before(before) {
            segment.settle(index);
        }
    }

    /// One request fewer.
    #[inline]
    pub(crate) fn end(&self, seat: u32) {
        let (segment, index) = self.locate(seat);
        let before = segment.levels[0][index].fetch_sub(1, SeqCst);
        // Who got better without becoming the best changes nothing above.
        if Word(before - 1).is_before(segment.parent(0, index)) {
            segment.settle(index);
        }
    }

    /// What a seat holds.
    #[inline]
    pub(crate) fn word(&self, seat: u32) -> Word {
        let (segment, index) = self.locate(seat);
        segment.word(0, index)
    }

    /// A seat with the best word: `near` if it has it, else one of those that have. `None` if
    /// nobody takes part.
    #[inline]
    pub(crate) fn best(&self, near: u32) -> Option<u32> {
        let roots = self.segments.iter().map_while(OnceBox::get).map(|segment| segment.word(3, 0));
        let best = roots.reduce(|best, root| if root.is_before(best) { root } else { best })?;
        if !best.is_before(self.word(near)) && best.rank() != u8::MAX {
            return Some(near);
        }
        self.search(best, near)
    }

    fn search(&self, best: Word, near: u32) -> Option<u32> {
        if best.rank() == u8::MAX {
            return None;
        }
        let holder = |segment: &&Segment| !best.is_before(segment.word(3, 0));
        let (own, index) = self.locate(near);
        let segments = || self.segments.iter().map_while(OnceBox::get);
        let (number, segment) = if holder(&own) {
            (near as usize / SEGMENT, own)
        } else {
            // None when the best has just been taken: its own segment will do.
            segments()
                .enumerate()
                .find(|(_, s)| holder(s))
                .unwrap_or((near as usize / SEGMENT, own))
        };
        Some((number * SEGMENT + segment.descend(best, index)) as u32)
    }

    fn locate(&self, seat: u32) -> (&Segment, usize) {
        let (segment, index) = (seat as usize / SEGMENT, seat as usize % SEGMENT);
        let segment = self.segments[segment % SEGMENTS].get_or_init(|| Box::new(Segment::new()));
        (segment, index)
    }
}

impl Segment {
    fn new() -> Self {
        let level = |len| (0..len).map(|_| AtomicU64::new(Word::NOBODY.0)).collect();
        Self {
            levels: [SEGMENT, FANOUT * FANOUT, FANOUT, 1].map(level),
            taken: (0..SEGMENT / 64).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    #[inline]
    fn word(&self, level: usize, index: usize) -> Word {
        Word(self.levels[level][index].load(SeqCst))
    }

    #[inline]
    fn parent(&self, level: usize, index: usize) -> Word {
        self.word(level + 1, index / FANOUT)
    }

    /// The first child with `best`, from `start` on, or else the best child there is.
    #[inline]
    fn child(&self, level: usize, node: usize, best: Word, start: usize) -> (usize, Word) {
        let children = &self.levels[level][node * FANOUT..][..FANOUT];
        let mut found = (start, Word(children[start].load(SeqCst)));
        for i in 1..FANOUT {
            if !best.is_before(found.1) {
                break;
            }
            let i = (start + i) % FANOUT;
            let word = Word(children[i].load(SeqCst));
            if word.is_before(found.1) {
                found = (i, word);
            }
        }
        (node * FANOUT + found.0, found.1)
    }

    /// From the root down to a seat with `best`, on the path to the seat `near` where it leads to
    /// one.
    #[inline]
    fn descend(&self, best: Word, near: usize) -> usize {
        let mut node = 0;
        for (level, stride) in [(2, FANOUT * FANOUT), (1, FANOUT), (0, 1)] {
            (node, _) = self.child(level, node, best, near / stride % FANOUT);
        }
        node
    }

    /// Brings the nodes above a seat in line with it.
    fn settle(&self, seat: usize) {
        let mut index = seat;
        for level in 0..3 {
            let (child, node) = (index % FANOUT, index / FANOUT);
            let cell = &self.levels[level + 1][node];
            let mut swapped = false;
            loop {
                let held = Word(cell.load(SeqCst));
                let (_, best) = self.child(level, node, held, child);
                if !held.is_before(best) && !best.is_before(held) {
                    break;
                }
                if cell.compare_exchange(held.0, best.0, SeqCst, SeqCst).is_err() {
                    return;
                }
                swapped = true;
            }
            if !swapped {
                return;
            }
            index = node;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use equipoise_core::Rng;
    use proptest::prelude::*;

    fn naive(tree: &LoadTree, seats: &[u32]) -> Word {
        let words = seats.iter().map(|&seat| tree.word(seat));
        words.reduce(|a, b| if b.is_before(a) { b } else { a }).unwrap()
    }

    fn assert_right(tree: &LoadTree, seats: &[u32], near: u32) {
        let want = naive(tree, seats);
        let got = tree.best(near).map(|seat| tree.word(seat));
        match got {
            None => assert_eq!(want.rank(), u8::MAX),
            Some(got) => assert!(!want.is_before(got), "{got:?} is not the best: {want:?}"),
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Begin(usize),
        End(usize),
        Admit(usize, u8, u16),
        Exclude(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            8 => any::<usize>().prop_map(Op::Begin),
            6 => any::<usize>().prop_map(Op::End),
            2 => (any::<usize>(), 0_u8..3, 1_u16..).prop_map(|(i, r, w)| Op::Admit(i, r, w)),
            1 => any::<usize>().prop_map(Op::Exclude),
        ]
    }

    proptest! {
        #[test]
        fn the_best_is_the_best(n in 1_usize..600, ops in prop::collection::vec(op(), 1..400)) {
            let tree = LoadTree::new();
            let seats: Vec<u32> = (0..n).map(|_| tree.take_seat().unwrap()).collect();
            let mut counts = alloc::vec![0_u32; n];
            for (i, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Begin(s) => { tree.begin(seats[s % n]); counts[s % n] += 1; }
                    Op::End(s) if counts[s % n] > 0 => { tree.end(seats[s % n]); counts[s % n] -= 1; }
                    Op::End(_) => {}
                    Op::Admit(s, rank, weight) => tree.admit(seats[s % n], rank, weight),
                    Op::Exclude(s) => tree.exclude(seats[s % n]),
                }
                assert_right(&tree, &seats, seats[i % n]);
            }
            for (seat, count) in seats.iter().zip(counts) {
                prop_assert_eq!(tree.word(*seat).count(), u64::from(count));
            }
        }
    }

    #[test]
    fn seats_are_given_out_once_and_again_after_they_came_back() {
        let tree = LoadTree::new();
        let all: Vec<u32> = core::iter::from_fn(|| tree.take_seat()).collect();
        assert!(all.iter().copied().eq(0..65_536));
        tree.give_back(70);
        assert_eq!(tree.take_seat(), Some(70));
    }

    #[test]
    fn all_is_right_after_threads_have_fought_over_it() {
        extern crate std;
        let (n, rounds) = (300, 20_000);
        let tree = LoadTree::new();
        let seats: Vec<u32> = (0..n).map(|_| tree.take_seat().unwrap()).collect();
        for &seat in &seats {
            tree.admit(seat, 0, 1 + (seat % 3) as u16);
        }
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (tree, seats) = (&tree, &seats);
                scope.spawn(move || {
                    let mut rng = Rng::seeded(thread);
                    let mut held = alloc::collections::VecDeque::new();
                    for _ in 0..rounds {
                        let seat = tree.best(seats[rng.below(n) as usize]).unwrap();
                        tree.begin(seat);
                        held.push_back(seat);
                        if held.len() > 40 {
                            tree.end(held.pop_front().unwrap());
                        }
                    }
                    // Leave some in flight.
                    for seat in held.drain(..20) {
                        tree.end(seat);
                    }
                });
            }
        });
        for &seat in &seats {
            assert_right(&tree, &seats, seat);
        }
        let count: u64 = seats.iter().map(|&seat| tree.word(seat).count()).sum();
        assert_eq!(count, 4 * 20);
    }
}
