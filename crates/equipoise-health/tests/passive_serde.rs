//! The written form of the settings of passive health.
#![cfg(feature = "serde")]

use core::time::Duration;

use equipoise_health::{BreakerConfig, OutlierConfig, RetryBudgetConfig};

#[test]
fn what_is_not_written_has_its_default() {
    assert_eq!(serde_json::from_str::<OutlierConfig>("{}").unwrap(), OutlierConfig::default());
    assert_eq!(serde_json::from_str::<BreakerConfig>("{}").unwrap(), BreakerConfig::default());
    let budget: RetryBudgetConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(budget, RetryBudgetConfig::default());
}

#[test]
fn times_are_milliseconds_and_names_are_those_of_the_builder() {
    let text = r#"{"consecutive": 3, "interval_ms": 2000, "recovery": "full"}"#;
    let config: OutlierConfig = serde_json::from_str(text).unwrap();
    let builder = OutlierConfig::builder().consecutive(3).interval(Duration::from_secs(2));
    let built = builder.recovery(equipoise_health::outlier::Recovery::Full).build().unwrap();
    assert_eq!(config, built);
    let again = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<OutlierConfig>(&again).unwrap(), config);

    let breaker: BreakerConfig = serde_json::from_str(r#"{"open_time_ms": 500}"#).unwrap();
    let built = BreakerConfig::builder().open_time(Duration::from_millis(500)).build().unwrap();
    assert_eq!(breaker, built);

    let budget: RetryBudgetConfig = serde_json::from_str(r#"{"ttl_ms": 500}"#).unwrap();
    assert_eq!(budget, RetryBudgetConfig::new(0.2, 10, Duration::from_millis(500)).unwrap());
}

#[test]
fn unknown_names_and_values_out_of_range_are_refused_by_name() {
    let refused = [
        (r#"{"consecutive_5xx": 3}"#, "consecutive_5xx"),
        (r#"{"max_ejection_percent": 101}"#, "max_ejection_percent"),
        (r#"{"may_eject_last": true}"#, "may_eject_last"),
    ];
    for (text, name) in refused {
        let error = serde_json::from_str::<OutlierConfig>(text).expect_err(text).to_string();
        assert!(error.contains(name), "{error}");
    }
    let error = serde_json::from_str::<BreakerConfig>(r#"{"max_in_flight": 0}"#).unwrap_err();
    assert!(error.to_string().contains("max_in_flight"), "{error}");
    let error = serde_json::from_str::<RetryBudgetConfig>(r#"{"ratio": -1}"#).unwrap_err();
    assert!(error.to_string().contains("ratio"), "{error}");
}
