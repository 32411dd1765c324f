//! The backend that has the request's key.

use equipoise_core::{PickContext, Picker, Policy, Slot, View};
use equipoise_hash::ConsistentHash;

use crate::keyed::Keyed;
use crate::{Random, RandomPicker, RoundRobin, RoundRobinPicker};

/// Hashing: requests with the same key go to the same backend, over any table of `equipoise-hash`.
///
/// Made from an empty table, whose settings it keeps; or from one that was stored, where the table
/// depends on who left when.
///
/// The table is over all backends of a tier, whatever their health. One that is down, drained or
/// tried is passed over in the order of the key, so its keys spread over the others by weight, no
/// other key moves, and they return when it does. Only a change of membership or weight makes a new
/// table, from the old one where that is quicker. A backend whose weight in effect is less than its
/// weight, since it has just come back, has that part of its keys; as it grows, keys only return.
///
/// What a table can't take in is no failure, but most keys move: weights that add up to too much, for a
/// ring or an anchor's capacity, are reduced in proportion; and where there are more backends than slots
/// or buckets, or a weight that a compatible table could not have, all have keys by rendezvous until
/// that is mended. So give an anchor room for the weights of all that may ever join.
///
/// # Complexity
/// A pick: a lookup of the table, and a few more if the owner may not be picked; O(n) at worst.
/// Building: O(n) when only health has changed, else an update of the table.
///
/// In an explanation the score is the backend's place in the key's order: 0 for the owner. Without a
/// key, it is always 0.
///
/// ```
/// use equipoise_algorithms::Hashed;
/// use equipoise_hash::{Maglev, key::KeyHasher};
/// use equipoise_pool::{BackendId, Health, Pool, Request, Spec};
///
/// let pool = Pool::new(Hashed::<Maglev>::default(), 42);
/// pool.update(["a", "b", "c"].map(|name| Spec::new(BackendId::named(name), name)))?;
///
/// let user = KeyHasher::new(*b"a shared secret!").key(b"user-7").expect("it is not empty");
/// let request = Request::new().with_key(user);
/// let owner = pool.pick(&request)?.id();
/// assert_eq!(pool.pick(&request)?.id(), owner);
///
/// pool.set_health(owner, Health::Down)?;
/// assert_ne!(pool.pick(&request)?.id(), owner);
/// pool.set_health(owner, Health::Up)?;
/// assert_eq!(pool.pick(&request)?.id(), owner);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Hashed<T> {
    table: T,
    without_key: WithoutKey,
}

/// What becomes of a request that has no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum WithoutKey {
    /// Any backend takes it, by weight.
    #[default]
    Random,
    /// The next backend takes it, by smooth weighted round robin.
    RoundRobin,
    /// It is refused.
    Refuse,
}

impl<T: ConsistentHash> Hashed<T> {
    /// Hashing over a table of this kind and these settings.
    pub const fn new(table: T) -> Self {
        Self { table, without_key: WithoutKey::Random }
    }

    /// Sets what becomes of requests that have no key.
    pub const fn without_key(mut self, rule: WithoutKey) -> Self {
        self.without_key = rule;
        self
    }
}

/// The picker of [`Hashed`].
#[derive(Debug)]
pub struct HashedPicker<T> {
    pub(crate) keyed: Keyed<T>,
    unkeyed: Unkeyed,
}

#[derive(Debug)]
enum Unkeyed {
    Random(RandomPicker),
    RoundRobin(RoundRobinPicker),
}

impl<T: ConsistentHash + Send + Sync + 'static> Policy for Hashed<T> {
    type Picker = HashedPicker<T>;

    fn needs_key(&self) -> bool {
        true
    }

    fn refuses_without_key(&self) -> bool {
        self.without_key == WithoutKey::Refuse
    }

    fn build(&self, view: &View<'_>, previous: Option<&HashedPicker<T>>) -> HashedPicker<T> {
        let keyed = Keyed::new(view, &self.table, previous.map(|picker| &picker.keyed));
        let unkeyed = match self.without_key {
            // Nobody without a key comes here if they are refused; should somebody, any will do.
            WithoutKey::Random | WithoutKey::Refuse => Unkeyed::Random(Random.build(view, None)),
            WithoutKey::RoundRobin => Unkeyed::RoundRobin(RoundRobin.build(view, None)),
        };
        HashedPicker { keyed, unkeyed }
    }
}

impl<T: ConsistentHash + Send + Sync + 'static> Picker for HashedPicker<T> {
    #[inline(always)]
    fn pick(&self, context: &mut PickContext<'_>) -> Option<Slot> {
        if let Some(key) = context.key()
            && context.tried().is_empty()
            && !context.is_explained()
            && let Some(owner) = self.keyed.owner(key)
        {
            return self.keyed.slot(owner);
        }
        self.pick_on(context.reborrow(), |_| true)
    }
}

impl<T: ConsistentHash + Send + Sync + 'static> HashedPicker<T> {
    /// The first that may be picked and is `welcome`, and if there is none, the first that may be
    /// picked.
    #[cold]
    #[inline(never)]
    pub(crate) fn pick_on(
        &self,
        mut context: PickContext<'_>,
        welcome: impl Fn(usize) -> bool,
    ) -> Option<Slot> {
        let Some(key) = context.key() else {
            return match &self.unkeyed {
                Unkeyed::Random(picker) => picker.pick(&mut context),
                Unkeyed::RoundRobin(picker) => picker.pick(&mut context),
            };
        };
        let first = self.keyed.first(key, context.tried(), welcome);
        let first = first.or_else(|| self.keyed.first(key, context.tried(), |_| true))?;
        if context.is_explained() {
            for (place, index) in self.keyed.order(key).enumerate() {
                context.consider(self.keyed.slot(index)?, place as f64);
                if index == first {
                    break;
                }
            }
        }
        self.keyed.slot(first)
    }
}
