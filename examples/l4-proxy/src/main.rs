//! A proxy of TCP, Unix sockets and UDP on Equipoise and tokio.

use std::process::ExitCode;

fn main() -> ExitCode {
    l4_proxy::main()
}
