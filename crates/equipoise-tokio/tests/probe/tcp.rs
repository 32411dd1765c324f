use std::sync::Arc;

use equipoise_tokio::probe::{Answer, Probe, ProbeError, Tcp};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use crate::support::{ask, backend, nobody};

#[tokio::test]
async fn a_port_that_is_open_passes_and_the_backend_sees_an_orderly_end() {
    let (tell, mut ends) = mpsc::unbounded_channel();
    let target = backend(move |mut stream| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(stream.read(&mut [0; 16]).await.map_err(|e| e.kind()));
        }
    });
    assert_eq!(ask(&Tcp, &target).await, Ok(Answer::Pass));
    assert_eq!(ends.recv().await, Some(Ok(0)), "a FIN and not a RST");
}

#[tokio::test]
async fn a_port_that_is_closed_refuses() {
    let error = ask(&Tcp, &nobody()).await.unwrap_err();
    assert_eq!(error, ProbeError::Refused);
    assert_eq!(error.to_string(), "connection refused");
    assert!(!error.suggests_wrong_endpoint() && !error.is_local());
}

#[tokio::test]
async fn probes_of_all_kinds_can_be_kept_together() {
    let probes: Vec<Arc<dyn Probe>> = vec![Arc::new(Tcp)];
    let target = backend(|_| async {});
    for probe in &probes {
        assert_eq!(probe.describe(), "TCP connect");
        assert_eq!(probe.probe(&target).await, Ok(Answer::Pass));
    }
}

#[test]
fn what_this_machine_lacks_is_not_the_backends_fault() {
    for code in [23, 24] {
        let error = ProbeError::from(std::io::Error::from_raw_os_error(code));
        assert!(error.is_local(), "{error}");
        assert_eq!(error.to_string(), "could not ask: too many open files");
    }
    assert!(
        ProbeError::from(std::io::Error::from(std::io::ErrorKind::AddrNotAvailable)).is_local()
    );
}
