//! The smallest load of many, kept up to date by whoever changes one.

use alloc::boxed::Box;
use alloc::sync::Arc;
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
        // Mostly ranks and weights are the same: then the counts decide.
        if (self.0 ^ other.0) >> Self::COUNT == 0 {
            return self.0 < other.0;
        }
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
    segments: [OnceBox<Arc<Segment>>; SEGMENTS],
}

impl LoadTree {
    pub(crate) fn new() -> Self {
        Self { segments: [const { OnceBox::new() }; SEGMENTS] }
    }

    /// Gives out a seat; `None` if all are taken.
    pub(crate) fn take_seat(&self) -> Option<Seat> {
        self.segments.iter().enumerate().find_map(|(number, segment)| {
            let segment = segment.get_or_init(|| Box::new(Arc::new(Segment::new())));
            let index = segment.take()?;
            let number = (number * SEGMENT + index) as u32;
            Some(Seat { segment: Arc::clone(segment), index, number })
        })
    }

    /// All segments that have a seat which was ever taken.
    pub(crate) fn segments(&self) -> Box<[Arc<Segment>]> {
        self.segments.iter().map_while(|segment| segment.get().cloned()).collect()
    }
}

/// A place in a tree, for a backend. It is given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    segment: Arc<Segment>,
    index: usize,
    number: u32,
}

impl Seat {
    /// Which one of the tree's seats it is.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// Lets the seat take part, with this rank and weight. Only one thread at a time may set seats.
    pub(crate) fn admit(&self, rank: u8, weight: u16) {
        self.segment.set_header(self.index, Word::header(rank, weight));
    }

    /// One more request in flight.
    #[inline]
    pub(crate) fn begin(&self) {
        let before = Word(self.segment.cell(0, self.index).fetch_add(1, SeqCst));
        let parent = self.segment.parent(self.index);
        // Who wasn't the best and got worse changes nothing above; nor does who was, while another
        // is as good. Turns go from seat to seat, so the next one mostly is.
        if !parent.is_before(before) && parent.is_before(self.segment.next(self.index)) {
            self.segment.settle(self.index);
        }
    }

    /// One request fewer.
    #[inline]
    pub(crate) fn end(&self) {
        let before = self.segment.cell(0, self.index).fetch_sub(1, SeqCst);
        // Who got better without becoming the best changes nothing above.
        if Word(before - 1).is_before(self.segment.parent(self.index)) {
            self.segment.settle(self.index);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.segment.exclude(self.index);
        self.segment.give_back(self.index);
    }
}

/// What the seat of this number holds.
#[inline]
pub(crate) fn word(segments: &[Arc<Segment>], seat: u32) -> Word {
    segments
        .get(seat as usize / SEGMENT)
        .map_or(Word::NOBODY, |segment| segment.word(0, index(seat)))
}

/// Keeps the seat of this number from being the best.
pub(crate) fn exclude(segments: &[Arc<Segment>], seat: u32) {
    if let Some(segment) = segments.get(seat as usize / SEGMENT) {
        segment.exclude(index(seat));
    }
}

/// A seat with the best word: `near` if it has it, else one of those that have. `None` if nobody
/// takes part.
#[inline]
pub(crate) fn best(segments: &[Arc<Segment>], near: u32) -> Option<u32> {
    let roots = segments.iter().map(|segment| segment.word(ROOT, 0));
    let best = roots.reduce(|best, root| if root.is_before(best) { root } else { best })?;
    if best.rank() == u8::MAX {
        None
    } else if !best.is_before(word(segments, near)) {
        Some(near)
    } else {
        search(segments, best, near)
    }
}

fn search(segments: &[Arc<Segment>], best: Word, near: u32) -> Option<u32> {
    let own = near as usize / SEGMENT;
    let holds = |segment: &Segment| !best.is_before(segment.word(ROOT, 0));
    let number = if holds(segments.get(own)?) {
        own
    } else {
        // Nobody does when the best has just been taken; then this segment's best will do.
        segments.iter().position(|segment| holds(segment)).unwrap_or(own)
    };
    let found = segments[number].descend(best, index(near));
    Some((number * SEGMENT + found) as u32)
}

const fn index(seat: u32) -> usize {
    seat as usize % SEGMENT
}

/// Where each level begins among the cells: the seats, then the nodes above them, up to the root.
const LEVELS: [usize; 4] = [0, 4096, 4096 + 256, 4096 + 256 + 16];
/// The level of the root.
const ROOT: usize = 3;
const CELLS: usize = LEVELS[ROOT] + 1;

/// A tournament of 4,096 seats.
#[derive(Debug)]
pub(crate) struct Segment {
    cells: [AtomicU64; CELLS],
    /// Which seats are somebody's, a bit each.
    taken: [AtomicU64; SEGMENT / 64],
}

impl Segment {
    const fn new() -> Self {
        Self {
            cells: [const { AtomicU64::new(Word::NOBODY.0) }; CELLS],
            taken: [const { AtomicU64::new(0) }; SEGMENT / 64],
        }
    }

    /// Finds a free seat and takes it.
    fn take(&self) -> Option<usize> {
        self.taken.iter().enumerate().find_map(|(i, word)| {
            let lowest = |bits: u64| (bits != u64::MAX).then(|| bits | (bits + 1));
            let bits = word.fetch_update(SeqCst, SeqCst, lowest).ok()?;
            Some(i * 64 + bits.trailing_ones() as usize)
        })
    }

    fn give_back(&self, seat: usize) {
        self.taken[seat / 64].fetch_and(!(1 << (seat % 64)), SeqCst);
    }

    fn exclude(&self, seat: usize) {
        self.set_header(seat, Word::NOBODY.0);
    }

    fn set_header(&self, seat: usize, header: u64) {
        let cell = self.cell(0, seat);
        let old = cell.load(SeqCst) & !((1 << Word::COUNT) - 1);
        if old != header {
            // The count below may move meanwhile; adding the difference leaves it alone.
            cell.fetch_add(header.wrapping_sub(old), SeqCst);
            self.settle(seat);
        }
    }

    #[inline]
    fn cell(&self, level: usize, index: usize) -> &AtomicU64 {
        &self.cells[LEVELS[level] + index]
    }

    #[inline]
    fn word(&self, level: usize, index: usize) -> Word {
        Word(self.cell(level, index).load(SeqCst))
    }

    /// The node above a seat.
    #[inline]
    fn parent(&self, seat: usize) -> Word {
        self.word(1, seat / FANOUT)
    }

    /// The seat after this one, under the same node.
    #[inline]
    fn next(&self, seat: usize) -> Word {
        self.word(0, seat / FANOUT * FANOUT + (seat + 1) % FANOUT)
    }

    /// The first child with `best`, from `start` on, or else the best child there is.
    #[inline]
    fn child(&self, level: usize, node: usize, best: Word, start: usize) -> (usize, Word) {
        let children = &self.cells[LEVELS[level] + node * FANOUT..][..FANOUT];
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
        for level in 0..ROOT {
            let (child, node) = (index % FANOUT, index / FANOUT);
            let cell = self.cell(level + 1, node);
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

    fn held(seat: &Seat) -> Word {
        seat.segment.word(0, seat.index)
    }

    fn naive(seats: &[Seat]) -> Word {
        let words = seats.iter().map(held);
        words.reduce(|a, b| if b.is_before(a) { b } else { a }).unwrap()
    }

    fn assert_right(tree: &LoadTree, seats: &[Seat], near: &Seat) {
        let (want, segments) = (naive(seats), tree.segments());
        let got = best(&segments, near.number).map(|seat| word(&segments, seat));
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
            let seats: Vec<Seat> = (0..n).map(|_| tree.take_seat().unwrap()).collect();
            let mut counts = alloc::vec![0_u32; n];
            for (i, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Begin(s) => { seats[s % n].begin(); counts[s % n] += 1; }
                    Op::End(s) if counts[s % n] > 0 => { seats[s % n].end(); counts[s % n] -= 1; }
                    Op::End(_) => {}
                    Op::Admit(s, rank, weight) => seats[s % n].admit(rank, weight),
                    Op::Exclude(s) => exclude(&tree.segments(), seats[s % n].number),
                }
                assert_right(&tree, &seats, &seats[i % n]);
            }
            for (seat, count) in seats.iter().zip(counts) {
                prop_assert_eq!(held(seat).count(), u64::from(count));
            }
        }
    }

    #[test]
    fn seats_are_given_out_once_and_again_after_they_came_back() {
        let tree = LoadTree::new();
        let mut all: Vec<Seat> = core::iter::from_fn(|| tree.take_seat()).collect();
        assert!(all.iter().map(Seat::number).eq(0..65_536));
        drop(all.swap_remove(5_000));
        assert_eq!(tree.take_seat().map(|seat| seat.number), Some(5_000));
    }

    #[test]
    fn all_is_right_after_threads_have_fought_over_it() {
        extern crate std;
        let (n, rounds) = (300, 20_000);
        let tree = LoadTree::new();
        let seats: Vec<Seat> = (0..n).map(|_| tree.take_seat().unwrap()).collect();
        for seat in &seats {
            seat.admit(0, 1 + (seat.number % 3) as u16);
        }
        let segments = tree.segments();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (segments, seats) = (&segments, &seats);
                scope.spawn(move || {
                    let mut rng = Rng::seeded(thread);
                    let mut held = alloc::collections::VecDeque::new();
                    for _ in 0..rounds {
                        let near = seats[rng.below(n) as usize].number;
                        let seat = &seats[best(segments, near).unwrap() as usize];
                        seat.begin();
                        held.push_back(seat);
                        if held.len() > 40 {
                            held.pop_front().unwrap().end();
                        }
                    }
                    // Leave some in flight.
                    for seat in held.drain(..20) {
                        seat.end();
                    }
                });
            }
        });
        for seat in &seats {
            assert_right(&tree, &seats, seat);
        }
        let count: u64 = seats.iter().map(|seat| held(seat).count()).sum();
        assert_eq!(count, 4 * 20);
    }
}
