//! A map from backend ids.

use std::hash::BuildHasherDefault;

use equipoise_core::{BackendId, IdHasher};
use hashbrown::HashMap;

/// A map from backend ids.
pub(crate) type IdMap<V> = HashMap<BackendId, V, BuildHasherDefault<IdHasher>>;
