//! Links the crates that promise `no_std` where there is no std.
#![no_std]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};

use equipoise_algorithms::PolicyConfig;
use equipoise_core::{BackendId, Instant};
use equipoise_hash::compat::{Servers, envoy, nginx};
use equipoise_hash::{ConsistentHash, HashKey, key::KeyHasher};
use equipoise_health::monitor::{Monitor, MonitorConfig, Operator};
use equipoise_health::{CheckConfig, OutlierConfig};
use equipoise_sticky::affinity::cookie;
use equipoise_sticky::affinity::token::Tokens;
use equipoise_sticky::{SessionHasher, Table, TableConfig};

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

/// Keeps the health machines from being optimised away.
#[unsafe(no_mangle)]
pub extern "C" fn health(seed: u64) -> bool {
    let (check, outlier) = (Some(CheckConfig::default()), Some(OutlierConfig::default()));
    let config = MonitorConfig { check, outlier, ..MonitorConfig::default() };
    let (mut monitor, id) = (Monitor::new(config, seed), BackendId::new(1));
    monitor.insert(Instant::ZERO, id, Operator::default());
    let Some(deadline) = monitor.deadline() else { return false };
    monitor.poll(deadline, 1, |_| true, &mut alloc::vec::Vec::new());
    monitor.on_tallies(deadline, &[]);
    monitor.report(deadline, id).is_some_and(|report| report.reason.len() > 2)
}

/// Keeps the session tables, the tokens and the cookies from being optimised away.
#[unsafe(no_mangle)]
pub extern "C" fn sessions(secret: u8, now: u64) -> bool {
    let Ok(config) = TableConfig::builder().max_sessions(10).build() else { return false };
    let (mut table, id) = (Table::new(&config), BackendId::new(now));
    let Some(key) = SessionHasher::new([secret; 16]).key(b"a") else { return false };
    let bound = table.bind(&key, id, Instant::from_nanos(now)) == id;
    let idle = core::time::Duration::from_secs(60);
    let Ok(tokens) = Tokens::new("a", &[secret; 16], idle) else { return false };
    let (text, _) = tokens.issue(id, now, None);
    let mut values = cookie::values([text.as_str().as_bytes()], "a");
    bound && values.next().is_none() && tokens.open(text.as_str().as_bytes(), now).is_ok()
}
