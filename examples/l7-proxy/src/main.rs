//! An HTTP reverse proxy on Equipoise, tokio and hyper.

use std::process::ExitCode;

fn main() -> ExitCode {
    l7_proxy::main()
}
