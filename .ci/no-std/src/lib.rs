//! Links the crates that promise `no_std` where there is no std.
#![no_std]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};

use equipoise_algorithms::PolicyConfig;

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
