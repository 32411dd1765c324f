//! Choosing a policy at run time.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;

use crate::{BackendId, PickContext, Picker, Policy, Slot, Tracker, View};

/// Any [`Policy`], its picker type erased. Every policy is one; nobody implements it by hand.
pub trait ErasedPolicy: Send + Sync {
    /// See [`Policy::needs_key`].
    fn needs_key(&self) -> bool;
    /// See [`Policy::refuses_without_key`].
    fn refuses_without_key(&self) -> bool;
    /// See [`Policy::track`].
    fn track(&self, id: BackendId) -> Option<Arc<dyn Tracker>>;
    /// See [`Policy::build`]. A `previous` picker of another policy counts as none.
    fn build(&self, view: &View<'_>, previous: Option<&dyn Picker>) -> Box<dyn Picker>;
}

impl<P: Policy<Picker: 'static>> ErasedPolicy for P {
    fn needs_key(&self) -> bool {
        Policy::needs_key(self)
    }

    fn refuses_without_key(&self) -> bool {
        Policy::refuses_without_key(self)
    }

    fn track(&self, id: BackendId) -> Option<Arc<dyn Tracker>> {
        Policy::track(self, id)
    }

    fn build(&self, view: &View<'_>, previous: Option<&dyn Picker>) -> Box<dyn Picker> {
        let previous = previous.and_then(|p| (p as &dyn Any).downcast_ref::<P::Picker>());
        Box::new(Policy::build(self, view, previous))
    }
}

/// A policy that was chosen at run time: by its name in a configuration, say.
///
/// It costs one indirect call a pick. It is a policy itself, so a pool takes it like any other.
pub struct BoxPolicy(Box<dyn ErasedPolicy>);

impl BoxPolicy {
    /// Erases the type of a policy.
    pub fn new<P: Policy<Picker: 'static> + 'static>(policy: P) -> Self {
        Self(Box::new(policy))
    }
}

impl core::fmt::Debug for BoxPolicy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BoxPolicy").finish_non_exhaustive()
    }
}

impl Policy for BoxPolicy {
    type Picker = Box<dyn Picker>;

    fn needs_key(&self) -> bool {
        self.0.needs_key()
    }

    fn refuses_without_key(&self) -> bool {
        self.0.refuses_without_key()
    }

    fn track(&self, id: BackendId) -> Option<Arc<dyn Tracker>> {
        self.0.track(id)
    }

    fn build(&self, view: &View<'_>, previous: Option<&Box<dyn Picker>>) -> Box<dyn Picker> {
        self.0.build(view, previous.map(|p| &**p))
    }
}

impl Picker for Box<dyn Picker> {
    #[inline]
    fn pick(&self, context: &mut PickContext<'_>) -> Option<Slot> {
        (**self).pick(context)
    }
}
