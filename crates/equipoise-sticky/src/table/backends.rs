//! The backends of a table: each has a place, and sessions know its number, which takes two bytes.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasherDefault;

use equipoise_core::{BackendId, IdHasher};
use hashbrown::HashMap;

use crate::primitive::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The places, which lookups read without a lock.
///
/// Whoever holds a session's entry, and the lock on it, may read the place of its backend: the entry
/// is among those that the place counts, and only a place that counts none is given away.
#[derive(Debug)]
pub(crate) struct Places {
    places: Box<[Place]>,
    /// Sessions of each place. Not in the places themselves: binding would take their cache lines from
    /// lookups.
    counts: Box<[AtomicU32]>,
}

#[derive(Debug)]
struct Place {
    id: AtomicU64,
    /// The backend was unbound: what is left of its sessions is dead.
    gone: AtomicBool,
}

impl Places {
    pub(crate) fn new(count: usize) -> Self {
        let place = |_| Place { id: AtomicU64::new(0), gone: AtomicBool::new(true) };
        Self {
            places: (0..count).map(place).collect(),
            counts: (0..count).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// The backend of a session; `None` if it was unbound.
    #[inline]
    pub(crate) fn backend(&self, place: u16) -> Option<BackendId> {
        let place = self.places.get(usize::from(place))?;
        if place.gone.load(Ordering::Acquire) {
            return None;
        }
        Some(BackendId::new(place.id.load(Ordering::Relaxed)))
    }

    /// The backend that a place is of, or was of until it was unbound.
    pub(crate) fn name(&self, place: u16) -> BackendId {
        let id =
            self.places.get(usize::from(place)).map_or(0, |place| place.id.load(Ordering::Relaxed));
        BackendId::new(id)
    }

    /// Counts a session that has left.
    pub(crate) fn leave(&self, place: u16) {
        if let Some(count) = self.counts.get(usize::from(place)) {
            // Whoever gives the place away has to see what was done here before.
            count.fetch_sub(1, Ordering::Release);
        }
    }

    fn enter(&self, place: u16) {
        if let Some(count) = self.counts.get(usize::from(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(&self, place: u16) -> u32 {
        self.counts.get(usize::from(place)).map_or(0, |count| count.load(Ordering::Acquire))
    }
}

/// Which backend has which place.
#[derive(Debug)]
pub(crate) struct Names {
    places: HashMap<BackendId, u16, BuildHasherDefault<IdHasher>>,
    free: Vec<u16>,
    /// Places from here on have never been used.
    next: u16,
    max: u16,
}

impl Names {
    pub(crate) fn new(max: u16) -> Self {
        Self { places: HashMap::default(), free: Vec::new(), next: 0, max }
    }

    /// Counts a session that comes to a backend, if that has a place.
    pub(crate) fn enter(&self, places: &Places, id: BackendId) -> Option<u16> {
        let place = *self.places.get(&id)?;
        places.enter(place);
        Some(place)
    }

    /// The same, and gives it a place if there is one left.
    pub(crate) fn enter_new(&mut self, places: &Places, id: BackendId) -> Option<u16> {
        if let Some(place) = self.enter(places, id) {
            return Some(place);
        }
        if self.free.is_empty() && self.next == self.max {
            self.reclaim(places);
        }
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.next < self.max => {
                self.next += 1;
                self.next - 1
            }
            None => return None,
        };
        if let Some(empty) = places.places.get(usize::from(place)) {
            empty.id.store(id.get(), Ordering::Relaxed);
            empty.gone.store(false, Ordering::Release);
        }
        self.places.insert(id, place);
        places.enter(place);
        Some(place)
    }

    /// Takes back the places without sessions. No session comes meanwhile: this has `&mut self`.
    fn reclaim(&mut self, places: &Places) {
        self.places.retain(|_, place| places.count(*place) > 0);
        self.free.extend((0..self.next).filter(|&place| places.count(place) == 0));
    }

    /// Forgets a backend: its sessions are dead from now on. Says how many there were.
    pub(crate) fn unbind(&mut self, places: &Places, id: BackendId) -> usize {
        let Some(place) = self.places.remove(&id) else { return 0 };
        if let Some(place) = places.places.get(usize::from(place)) {
            place.gone.store(true, Ordering::Release);
        }
        places.count(place) as usize
    }

    /// How many sessions a backend has.
    pub(crate) fn sessions_of(&self, places: &Places, id: BackendId) -> usize {
        self.places.get(&id).map_or(0, |&place| places.count(place) as usize)
    }
}
