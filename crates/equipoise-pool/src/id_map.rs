//! A map from backend ids.

use std::hash::{BuildHasherDefault, Hasher};

use equipoise_core::BackendId;
use hashbrown::HashMap;

/// A map from backend ids, which come from the operator and so need no flood-safe hash.
pub(crate) type IdMap<V> = HashMap<BackendId, V, BuildHasherDefault<IdHasher>>;

/// One multiplication: ids are hashes already, or small numbers.
#[derive(Clone, Copy, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write_u64(&mut self, id: u64) {
        let product = u128::from(id ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
