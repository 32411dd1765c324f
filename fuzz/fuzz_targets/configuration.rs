//! Any text is a good configuration, or is refused in one line.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for result in [l7_proxy::check(text), l4_proxy::check(text)] {
        if let Err(error) = result {
            let line = error.to_string();
            assert!(!line.is_empty() && !line.chars().any(char::is_control), "{line:?}");
        }
    }
});
