//! Any bytes for a preamble: it is read within its bounds, more bytes never change what was decided, and
//! what was understood is written and read again.
#![no_main]

use equipoise_tokio::proxy_protocol::{Decoded, MAX_LENGTH, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let all = decode(input);
    match &all {
        Ok(Decoded::Whole(header, length)) => {
            assert!(*length <= input.len() && *length <= MAX_LENGTH);
            let again = header.encode();
            let Ok(Decoded::Whole(read, length)) = decode(&again) else { panic!("{header:?}") };
            assert_eq!((read.encode(), length), (again.clone(), again.len()));
            assert_eq!((&read.tlvs, read.crc32c), (&header.tlvs, header.crc32c));
        }
        Ok(Decoded::Incomplete { .. }) => assert!(input.len() < MAX_LENGTH),
        Ok(Decoded::Other) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    for end in 0..input.len().min(300) {
        match decode(&input[..end]) {
            Ok(Decoded::Incomplete { signed: false }) => {}
            Ok(Decoded::Incomplete { signed: true }) => assert_ne!(all, Ok(Decoded::Other)),
            decided => assert_eq!(decided, all),
        }
    }
});
