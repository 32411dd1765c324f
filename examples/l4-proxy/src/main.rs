//! A TCP proxy on Equipoise and tokio.

use std::process::ExitCode;

fn main() -> ExitCode {
    l4_proxy::main()
}
