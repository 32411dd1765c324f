//! The written form of the value types.
#![cfg(feature = "serde")]

use equipoise_core::{Admin, Admission, BackendId, Health, Instant, Weight};

#[test]
fn values_are_written_as_plain_numbers_and_words() {
    assert_eq!(serde_json::to_string(&BackendId::new(7)).unwrap(), "7");
    assert_eq!(serde_json::to_string(&Weight::new(3)).unwrap(), "3");
    assert_eq!(serde_json::to_string(&Instant::from_nanos(9)).unwrap(), "9");
    assert_eq!(serde_json::to_string(&Admin::Draining).unwrap(), "\"draining\"");
    assert_eq!(serde_json::to_string(&Health::Up).unwrap(), "\"up\"");
    assert_eq!(serde_json::to_string(&Admission::Established).unwrap(), "\"established\"");
}

#[test]
fn a_weight_out_of_range_is_refused_by_name() {
    assert_eq!(serde_json::from_str::<Weight>("65535").unwrap(), Weight::MAX);
    let error = serde_json::from_str::<Weight>("65536").unwrap_err().to_string();
    assert!(error.starts_with("weight 65536 is out of range: 0 to 65535 are allowed"), "{error}");
}
