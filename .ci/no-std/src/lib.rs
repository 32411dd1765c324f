//! Links the crates that promise `no_std` where there is no std.
#![no_std]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};

use equipoise_algorithms::PolicyConfig;
use equipoise_hash::compat::{Servers, envoy, nginx};
use equipoise_hash::{ConsistentHash, HashKey, key::KeyHasher};

struct Nothing;

// SAFETY: never gives out memory.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Nothing = Nothing;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Keeps the policies from being optimised away.
#[unsafe(no_mangle)]
pub extern "C" fn policies() -> bool {
    PolicyConfig::names().iter().all(|name| name.parse::<PolicyConfig>().is_ok())
}

/// Keeps the tables and keys from being optimised away.
#[unsafe(no_mangle)]
pub extern "C" fn tables(secret: u8, length: usize) -> bool {
    let key = KeyHasher::new([secret; 16])
        .key_of(["a".as_bytes(), "b".as_bytes()])
        .unwrap_or(HashKey::new(0));
    let Ok(servers) = Servers::named(["a:80"]) else { return false };
    let nginx = nginx::Consistent::new(&servers, &[]).map(|table| table.lookup(key));
    let envoy = envoy::Maglev::new(&servers, &[], length).map(|table| table.lookup(key));
    nginx == envoy
}
